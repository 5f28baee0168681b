"""Plan: which frames are measured together, and what that will take of the machine."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from stempede.backend import Backend
from stempede.errors import InputError
from stempede.frames import FrameRecord, Frames
from stempede.series import units

FRAME_BYTES_PER_PX = 80
"""Working memory of the stages per pixel of one frame: they take the frames of a chunk in turn."""

CHUNK_BYTES_PER_PX = 20
"""What stays of each pixel of a chunk: images and maps, and the chunk that is read ahead."""

PROCESS_BYTES = 340 << 20
"""Memory of a process with its libraries, before any image."""

CHUNK_PX = {"cpu": 1 << 24, "gpu": 1 << 28}
CHUNK_FRAMES = {"cpu": 32, "gpu": 128}
SHARE = 0.6
"""Share of the free memory that a run takes unless told otherwise."""

_TABLE_BYTES = 150_000
_MAP_BYTES_PER_PX = 0.1


@dataclass(frozen=True)
class Plan:
    """What a run will do; nothing in it changes a number that is measured.

    Parameters
    ----------
    frames : Frames
        With a problem noted for each frame that cannot fit in memory.
    chunks : tuple of tuple of int
        Frame numbers that are measured together.
    workers, threads : int
        Processes, and threads of each.
    backend : str
        Name and reason.
    memory_bytes, disk_bytes : int
        Estimates over all processes, and of the run folder.
    seconds : float or None
        Estimate, where one frame was measured for it.
    sample : tuple of int
        Frames to measure for that estimate: one, or one series where series are kept whole.
    """

    frames: Frames
    chunks: tuple[tuple[int, ...], ...]
    workers: int
    threads: int
    backend: str
    memory_bytes: int
    disk_bytes: int
    seconds: float | None = None
    sample: tuple[int, ...] = ()

    @property
    def shapes(self) -> Mapping[tuple[int, int], int]:
        """Number of readable frames by (height, width)."""
        return Counter(r.shape for r in self.frames.readable)

    def lines(self) -> list[str]:
        """Return the plan in words, one fact a line."""
        records = self.frames.records
        shapes = ", ".join(f"{n} of {h} x {w} px" for (h, w), n in self.shapes.items())
        sizes = [s for r in records if (s := r.calibration.pixel_size_nm) is not None]
        spread = f"{min(sizes):.4g} to {max(sizes):.4g} nm" if sizes else "none: lengths in px only"
        longest = max((len(c) for c in self.chunks), default=0)
        problems = len(records) - len(self.frames.readable)
        return [
            f"frames       {len(records)} ({shapes or 'none readable'})",
            f"problems     {problems} known before reading",
            f"pixel size   {spread} ({len(sizes)} of {len(records)} frames)",
            f"backend      {self.backend}",
            f"chunks       {len(self.chunks)} of at most {longest} frames",
            f"workers      {self.workers} with {self.threads} threads each",
            f"memory       about {_amount(self.memory_bytes)} over all processes",
            f"disk         about {_amount(self.disk_bytes)}",
            f"time         {'not measured' if self.seconds is None else _time(self.seconds)}",
        ]


def make_plan(
    frames: Frames,
    backend: Backend,
    *,
    workers: int | None = None,
    memory_bytes: int | None = None,
    n_maps: int = 0,
    whole_series: bool = False,
) -> Plan:
    """Cut frames into chunks that fit in memory.

    Parameters
    ----------
    frames : Frames
    backend : Backend
    workers : int, optional
        Processes; by default one per core on a CPU, one per card. Fewer are used where
        the memory holds no frame for each of them.
    memory_bytes : int, optional
        Of all processes together (of the card on a GPU); a share of what is free by default.
    n_maps : int
        Maps that are kept.
    whole_series : bool
        Keep the frames of a series in one chunk.

    Raises
    ------
    InputError
        There is no frame, or memory cannot hold a series that is to be kept whole.
    """
    if not len(frames):
        raise InputError(f"wanted frames, found none in {frames.origin or 'the session'}")
    budget = memory_bytes or int(SHARE * backend.free_bytes())
    chosen = workers if workers is not None else 1 if backend.is_gpu else cores()
    chosen = max(1, min(chosen, len(frames)))
    largest = max((h * w for h, w in (r.shape for r in frames.readable)), default=0)
    while workers is None and chosen > 1 and memory_of(chosen, largest, largest) > budget:
        chosen -= 1
    frames = replace(frames, records=tuple(_noted(r, budget, chosen) for r in frames.records))
    largest = max((h * w for h, w in (r.shape for r in frames.readable)), default=0)
    spare = (budget - memory_of(chosen, largest, 0)) // (chosen * CHUNK_BYTES_PER_PX)
    most = CHUNK_FRAMES[backend.name]
    # several chunks for each worker, so that all end at about the same time
    most = max(1, min(most, -(-len(frames.readable) // (4 * chosen))))
    together = units(frames.readable, whole=whole_series)
    if whole_series:
        _check_series(frames, together, spare, chosen)
        chunks = _packed(frames, together, most, min(spare, CHUNK_PX[backend.name]))
    else:
        chunks = frames.runs(most, min(spare, CHUNK_PX[backend.name]))
    problems = [r.frame for r in frames.records if r.problem]
    chunks += [problems[k : k + 256] for k in range(0, len(problems), 256)]
    chosen = min(chosen, len(chunks))
    return Plan(
        frames=frames,
        chunks=tuple(tuple(c) for c in chunks),
        workers=chosen,
        threads=max(1, cores() // chosen),
        backend=_described(backend),
        memory_bytes=_memory(frames, chunks, chosen),
        disk_bytes=_disk(frames, n_maps),
        sample=together[len(together) // 2] if together else (),
    )


def _check_series(
    frames: Frames, together: list[tuple[int, ...]], spare: int, workers: int
) -> None:
    """Raise where the memory of a worker cannot hold a series."""
    pixels = {r.frame: r.shape[0] * r.shape[1] for r in frames.readable}
    for series in together:
        need = len(series) * pixels[series[0]]
        if need > spare and len(series) > 1:
            h, w = frames.select(series[:1]).records[0].shape
            raise InputError(
                f"a series of {len(series)} frames of {h} x {w} px from frame {min(series)} needs "
                f"about {_amount(CHUNK_BYTES_PER_PX * need)} of chunk memory with {workers} "
                f"workers, found {_amount(max(spare, 0) * CHUNK_BYTES_PER_PX)}; raise --memory, "
                f"lower --workers, crop the frames, or cut the series with --frames"
            )


def _packed(
    frames: Frames, together: list[tuple[int, ...]], most: int, pixels: int
) -> list[list[int]]:
    """Return chunks of whole series of one shape, of at most so many frames and pixels.

    A series longer than that is a chunk of its own.
    """
    shapes = {r.frame: r.shape for r in frames.readable}
    chunks: dict[tuple[int, int], list[list[int]]] = {}
    for series in together:
        h, w = shapes[series[0]]
        mine = chunks.setdefault((h, w), [])
        size = len(mine[-1]) + len(series) if mine else 0
        if mine and size <= most and size * h * w <= pixels:
            mine[-1] += series
        else:
            mine.append(list(series))
    return sorted(chunk for mine in chunks.values() for chunk in mine)


def _described(backend: Backend) -> str:
    """Return the backend's name, its card if it has one, and why it was taken."""
    card = f"{backend.device}; " if backend.is_gpu else ""
    return f"{backend.name} ({card}{backend.reason})"


def cores() -> int:
    """Return the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_of(workers: int, frame_px: int, chunk_px: int) -> int:
    """Return the bytes that all processes take, for the largest frame and the largest chunk."""
    processes = workers + 1 if workers > 1 else 1
    each = FRAME_BYTES_PER_PX * frame_px + CHUNK_BYTES_PER_PX * chunk_px
    return processes * PROCESS_BYTES + workers * each


def _noted(record: FrameRecord, budget: int, workers: int) -> FrameRecord:
    """Return a record with a problem if its frame cannot fit in memory."""
    h, w = record.shape
    need = memory_of(workers, h * w, h * w)
    if record.problem or need <= budget:
        return record
    return replace(
        record,
        problem=(
            f"is {h} x {w} px and needs about {_amount(need)} with {workers} workers, "
            f"found {_amount(budget)}; raise --memory, lower --workers or crop it"
        ),
    )


def _memory(frames: Frames, chunks: list[list[int]], workers: int) -> int:
    pixels = {r.frame: r.shape[0] * r.shape[1] for r in frames.records if not r.problem}
    largest = max((sum(pixels.get(k, 0) for k in c) for c in chunks), default=0)
    return memory_of(workers, max(pixels.values(), default=0), largest)


def _disk(frames: Frames, n_maps: int) -> int:
    pixels = sum(r.shape[0] * r.shape[1] for r in frames.readable)
    return int(len(frames) * _TABLE_BYTES + n_maps * pixels * _MAP_BYTES_PER_PX)


def _amount(nbytes: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if nbytes < 1024:
            return f"{nbytes:.0f} {unit}"
        nbytes /= 1024
    return f"{nbytes:.1f} GiB"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 7200 else f"about {seconds / 3600:.1f} h"
