"""Turn: which frames of the queue are measured next."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from stempede.frames import FrameRecord
from stempede.live.intake import RETRY_S
from stempede.live.queue import Queue
from stempede.pipeline import Pipeline
from stempede.series import series_of

MOST_FRAMES = 8
MOST_PX = 1 << 24
SERIES_S = 30.0
"""A series to which nothing was added for so long is taken for whole."""


class Turn:
    """Chooses chunks: single frames while the queue is short, for they are on the page soonest.

    With the newest first they are single always: a frame that comes then waits for one frame at
    most, however many there are.

    Parameters
    ----------
    queue : Queue
    pipeline : Pipeline
    workers : int
    policy : {"all", "latest-first"}
    """

    def __init__(self, queue: Queue, pipeline: Pipeline, workers: int, policy: str) -> None:
        self.queue, self.workers, self.policy = queue, workers, policy
        self.is_newest_first = policy == "latest-first"
        self._whole_series = pipeline.whole_series
        self._not_before: dict[int, float] = {}

    def room(self, backlog: int) -> int:
        """Return how many chunks may be under way: one that is read ahead passes no newer one."""
        many = backlog > 2 * self.workers and not self.is_newest_first
        return self.workers * (2 if many else 1)

    def next(self, readable: Callable[[int], bool]) -> list[int]:
        """Return the frames of the next chunk, of one shape; none where none is ready.

        Parameters
        ----------
        readable : callable
            Tells whether a frame can be measured now; asked again after a while.
        """
        if self._whole_series:
            return self._next_series(readable)
        waiting = list(self.queue.waiting)
        order = reversed(waiting) if self.is_newest_first else iter(waiting)
        size = self._size(len(waiting))
        chosen: list[FrameRecord] = []
        for n in order:
            record = self.queue.records[n]
            if chosen and (record.shape != chosen[0].shape or not _fits(chosen, record)):
                continue
            if self._is_ready(n, readable):
                chosen.append(record)
            if len(chosen) >= size:
                break
        return sorted(r.frame for r in chosen)

    def number_of(self, frames: Sequence[int]) -> int | None:
        """Return the chunk that these frames belong to already, in part: a late scan's."""
        known = {self.queue.chunk_of(n) for n in frames} - {None}
        return min(k for k in known if k is not None) if known else None

    def _size(self, n: int) -> int:
        if n <= 2 * self.workers or self.is_newest_first:
            return 1
        return min(MOST_FRAMES, -(-n // (4 * self.workers)))

    def _is_ready(self, n: int, readable: Callable[[int], bool]) -> bool:
        now_s = time.monotonic()
        if now_s < self._not_before.get(n, 0.0):
            return False
        if readable(n):
            self._not_before.pop(n, None)
            return True
        self._not_before[n] = now_s + RETRY_S
        return False

    def _next_series(self, readable: Callable[[int], bool]) -> list[int]:
        """Return one whole series: another one has begun, or it has been left alone."""
        records = self.queue.records
        newest = max(records, default=-1)
        found = series_of(records.values())
        order = reversed(found) if self.is_newest_first else iter(found)
        for series in order:
            waiting = [n for n in series.frames if n in self.queue.waiting]
            if not waiting:
                continue
            named = any(records[n].labels.get("series") for n in waiting)
            if named and newest in series.frames and not self._is_left(series.frames):
                continue
            if all(self._is_ready(n, readable) for n in waiting):
                return sorted(series.frames)
        return []

    def _is_left(self, frames: Iterable[int]) -> bool:
        last = max(self.queue.seen_s.get(n, 0.0) for n in frames)
        return time.monotonic() - last > SERIES_S


def _fits(chosen: Sequence[FrameRecord], record: FrameRecord) -> bool:
    height, width = record.shape
    return (len(chosen) + 1) * height * width <= MOST_PX
