"""Replay: feed a recorded session into a folder as a microscope would."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stempede.errors import InputError
from stempede.frames import FrameRecord, Frames

TROUBLES = ("bursts", "pauses", "late", "partial", "duplicates", "disorder")


@dataclass(frozen=True)
class Step:
    """One thing that happens: at a time, a file is written whole or in part.

    Parameters
    ----------
    at_s : float
        Seconds from the start.
    frame : int
        Place in the session.
    share : float
        Part of the file that is there afterwards.
    """

    at_s: float
    frame: int
    share: float = 1.0


def steps(
    n: int, rate: float, troubles: Sequence[str] = (), seed: int = 0, frames_per_burst: int = 6
) -> list[Step]:
    """Return what happens when, n frames long.

    Parameters
    ----------
    n : int
    rate : float
        Frames per second on average, pauses left out.
    troubles : sequence of str
        ``bursts`` (several at once, then none), ``pauses``, ``late`` (some files come after
        the next ones), ``partial`` (half is there first), ``duplicates`` (written again,
        alike), ``disorder`` (neighbours change places).
    seed : int

    Raises
    ------
    InputError
        An unknown trouble, or a rate of 0.
    """
    unknown = sorted(set(troubles) - set(TROUBLES))
    if unknown or not rate > 0:
        raise InputError(
            f"a rate above 0 and troubles of {', '.join(TROUBLES)} wanted; "
            f"found rate {rate:g} and {', '.join(unknown) or 'known troubles'}"
        )
    rng = np.random.default_rng(seed)
    at = np.arange(n) / rate
    order = np.arange(n)
    if "bursts" in troubles:
        at = np.floor(np.arange(n) / frames_per_burst) * frames_per_burst / rate
        at = at + 0.02 * (np.arange(n) % frames_per_burst)
    if "pauses" in troubles:
        at = at + np.cumsum(rng.random(n) < 0.06) * 3.0 / rate
    if "disorder" in troubles:
        order = np.argsort(np.arange(n) + rng.uniform(0, 2.5, n), kind="stable")
    when = np.empty(n)
    when[order] = at
    if "late" in troubles:
        when = when + (rng.random(n) < 0.1) * 4.0 / rate
    found = []
    for k in range(n):
        whole = float(when[k])
        if "partial" in troubles and rng.random() < 0.2:
            found.append(Step(whole, k, 0.5))
            whole += float(rng.uniform(0.3, 1.5)) / rate
        found.append(Step(whole, k))
        if "duplicates" in troubles and rng.random() < 0.1:
            found.append(Step(whole + 2.5 / rate, k))
    return sorted(found, key=lambda s: (s.at_s, s.frame))


def replay(
    frames: Frames,
    into: Path,
    plan: Sequence[Step],
    *,
    told: Callable[[int, int], None] | None = None,
    speed: float = 1.0,
) -> int:
    """Write the frames of a session into a folder, step by step; returns how many files.

    Frames that are files of their own are copied byte by byte; pages of stacks become TIFF
    files with their pixel size.

    Parameters
    ----------
    frames : Frames
    into : Path
        Made if need be.
    plan : sequence of Step
    told : callable, optional
        Called with the steps that are done and their number.
    speed : float
        How many times faster than the plan says.
    """
    into.mkdir(parents=True, exist_ok=True)
    names = dict(enumerate(_names(frames.records)))
    started = time.monotonic()
    for k, step in enumerate(plan):
        time.sleep(max(0.0, step.at_s / speed - (time.monotonic() - started)))
        _write(frames, frames.records[step.frame], into / names[step.frame], step.share)
        if told is not None:
            told(k + 1, len(plan))
    return len({s.frame for s in plan})


def _names(records: Sequence[FrameRecord]) -> Iterator[str]:
    """Yield a file name per frame, in natural order of the session."""
    sources = [r.source for r in records]
    alone = {s for s in set(sources) if sources.count(s) == 1 and Path(s).is_file()}
    stems = [Path(s).name for s in alone]
    for k, record in enumerate(records):
        path = Path(record.source)
        unique = record.source in alone and stems.count(path.name) == 1
        yield path.name if unique else f"frame_{k:05d}.tif"


def _write(frames: Frames, record: FrameRecord, path: Path, share: float) -> None:
    if Path(record.source).is_file() and path.suffix == Path(record.source).suffix:
        content = Path(record.source).read_bytes()
    else:
        content = as_tiff(frames.reader(record), record)
    if share < 1:
        path.write_bytes(content[: int(share * len(content))])
        return
    if path.exists() and path.read_bytes() == content:
        shutil.copyfile(path, path.with_name(f".{path.name}"))
        path.with_name(f".{path.name}").replace(path)
        return
    path.write_bytes(content)


def as_tiff(image: np.ndarray, record: FrameRecord | None = None) -> bytes:
    """Return a TIFF file of an image, with its pixel size where the record has one."""
    import io

    import tifffile

    sink = io.BytesIO()
    scale: dict[str, Any] = {}
    size = None if record is None else record.calibration.pixel_size_x_nm
    if record is not None and size is not None:
        other = record.calibration.pixel_size_y_nm or size
        scale = {
            "imagej": image.dtype in (np.uint8, np.uint16, np.float32),
            "resolution": (1 / size, 1 / other),
            "metadata": {"unit": "nm"},
        }
    tifffile.imwrite(sink, image, **scale)
    return sink.getvalue()
