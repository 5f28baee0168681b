"""A session while it is built: in a hidden folder, renamed to its destination when whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr

from stempede.errors import InputError, ResultsError
from stempede.frames import FrameRecord
from stempede.io.atomic import LOCK, Lock, write_error, write_json
from stempede.io.sessions import TABLE, Row, finish_root, write_table

JOURNAL = ".journal"
_PLAN = ".plan.json"


@dataclass(frozen=True)
class Report:
    """What an ingest did.

    Parameters
    ----------
    destination : Path
    n_frames, n_stacks : int
    n_problems : int
        Frames that could not be read: rows with a problem and no pixels.
    n_resumed : int
        Frames that an earlier, interrupted ingest had finished.
    n_bytes : int
        Pixels written this time, before compression.
    seconds : float
    """

    destination: Path
    n_frames: int
    n_stacks: int
    n_problems: int
    n_resumed: int
    n_bytes: int
    seconds: float


@contextmanager
def building(destination: Path, fingerprint: str) -> Iterator[Path]:
    """Lend the hidden folder a session is built in; rename it to its destination at the end.

    A folder left by an interrupted ingest with the same fingerprint is used again.
    """
    destination = destination.absolute()
    folder = destination.with_name(f".{destination.name}.partial")
    try:
        _check_free(destination)
        folder.mkdir(parents=True, exist_ok=True)
        with Lock(folder):
            try:
                _claim(folder, fingerprint)
                yield folder
                _settle(folder, destination)
            except BaseException as error:
                if not fingerprint or not isinstance(error, OSError | KeyboardInterrupt):
                    shutil.rmtree(folder, ignore_errors=True)
                raise
    except OSError as error:
        kept = ""
        if (folder / JOURNAL).exists():
            kept = "; finished frames are kept, the same command goes on with the rest"
        raise ResultsError(f"{write_error(destination, error)}{kept}") from error


def _settle(folder: Path, destination: Path) -> None:
    """Give a whole session its name."""
    for name in (_PLAN, JOURNAL):
        (folder / name).unlink(missing_ok=True)
    if destination.exists():
        destination.rmdir()
    (folder / LOCK).unlink(missing_ok=True)
    folder.rename(destination)


def _check_free(destination: Path) -> None:
    if destination.is_file():
        raise ResultsError(
            f"a new or empty folder wanted, found the file {destination}; name another"
        )
    if destination.is_dir() and any(destination.iterdir()):
        raise ResultsError(
            f"a new or empty folder wanted, found {destination} with files in it; "
            f"choose another or delete it"
        )


def _claim(folder: Path, fingerprint: str) -> None:
    """Empty a folder of other frames' unfinished work; leave our own as it is."""
    plan = folder / _PLAN
    if fingerprint and plan.exists():
        try:
            if json.loads(plan.read_text(encoding="utf-8")).get("fingerprint") == fingerprint:
                return
        except ValueError:
            pass
    for entry in folder.iterdir():
        if entry.name == LOCK:
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    write_json(plan, {"fingerprint": fingerprint})


def finish(
    folder: Path, rows: Sequence[Row], label_names: Sequence[str], n: int, facts: Mapping[str, Any]
) -> None:
    """Write what makes a folder of stacks a session: root attributes and the frame table."""
    from stempede import __version__

    root = zarr.open_group(folder, mode="a")
    finish_root(root, n, {**facts, "label_names": list(label_names), "version": __version__})
    write_table(folder / TABLE, sorted(rows, key=lambda r: r.record.frame), label_names)


def check_unique(records: Sequence[FrameRecord]) -> None:
    """Raise where two frames have one number, or one place in one file."""
    for name, keys in (
        ("frame number", [r.frame for r in records]),
        ("source and page", [(r.source, r.page) for r in records]),
    ):
        if len(set(keys)) < len(keys):
            raise InputError(f"each frame wants its own {name}, found one twice; name files once")
