"""Intake: what has become whole goes into the queue, each frame once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from stempede.errors import StempedeError
from stempede.frames import FrameRecord, Frames
from stempede.live.events import Events
from stempede.live.queue import Queue
from stempede.live.sources import FolderSource, Sight, StackSource, stamp_of
from stempede.stage import door

LOOK_S = 0.1
"""Time in which new files are opened before frames that are done are looked at again."""
RETRY_S = 0.3
"""Pause before what could not be read is tried again."""


class Intake:
    """Takes frames from a source into the queue.

    Parameters
    ----------
    source : FolderSource or StackSource
    queue : Queue
    events : Events
    give_up_s : float
        What cannot be read and has not changed for so long is measured all the same: it
        becomes a problem row.
    """

    def __init__(
        self, source: FolderSource | StackSource, queue: Queue, events: Events, give_up_s: float
    ) -> None:
        self.source, self.queue, self.events, self._give_up_s = source, queue, events, give_up_s
        self.reader: Any = door("reader")(source.options.get("signal"))
        self.labels: list[str] = list(door("announced_labels")(source.options))
        self.sights: list[Sight] = []
        self.last_news_s = time.monotonic()
        self._first_seen: dict[str, float] = {}
        self._notes: list[str] = []
        self._sound: set[int] = set()
        self._unsound_until: dict[int, float] = {}

    def look(self) -> list[int]:
        """Take what is whole; returns frames that were measured and must be so again."""
        again: list[int] = []
        self.sights += self.source.look(_Known(self.queue.taken, self.sights))
        deadline = time.monotonic() + LOOK_S
        while self.sights and time.monotonic() < deadline:
            again += self._take(self.sights[0])
            self.sights.pop(0)
        for key in self.source.rewritten():
            again += self._retake(key)
        return again

    @property
    def pending(self) -> int:
        """Files that are there and not in the queue yet."""
        return self.source.pending + len(self.sights)

    def _take(self, sight: Sight) -> list[int]:
        was = self.queue.moved_from(sight)
        opened = self.source.open(sight, self._notes)
        waited = time.monotonic() - sight.seen_s
        if any(r.problem for r in opened.records) and waited < self._give_up_s:
            if sight.key not in self._first_seen:
                self.events("waiting", path=sight.key, reason=opened.records[0].problem)
                self._first_seen[sight.key] = sight.seen_s
            self.source.again(sight)
            return []
        self._first_seen.pop(sight.key, None)
        self.reader = opened.reader
        self.labels = list(dict.fromkeys([*self.labels, *opened.label_names]))
        numbers = self.queue.take(sight, opened.records, was)
        self.last_news_s = time.monotonic()
        if not was:
            return []
        self.events("renamed", path=sight.key, was=was)
        return numbers

    def _retake(self, key: str) -> list[int]:
        """Have a file measured again that was written to after it was taken."""
        known, stamp = self.queue.taken.get(key), stamp_of(key)
        if known is None or stamp is None or stamp == known[0]:
            return []
        sight = Sight(key, stamp, time.monotonic())
        opened = self.source.open(sight, self._notes)
        if any(r.problem for r in opened.records):
            return []
        self.events("rewritten", path=key)
        self.last_news_s = time.monotonic()
        return self.queue.take(sight, opened.records, key)

    def frames(self, records: Sequence[FrameRecord]) -> Frames:
        """Return records as frames that can be read."""
        return Frames(tuple(records), self.reader, self.source.root, (), tuple(self.labels))

    def is_sound(self, frame: int) -> bool:
        """Whether a frame can serve a Prepare."""
        if frame in self._sound:
            return True
        now_s = time.monotonic()
        if now_s < self._unsound_until.get(frame, 0.0):
            return False
        try:
            self.frames(()).load(self.queue.records[frame])
        except StempedeError:
            self._unsound_until[frame] = now_s + RETRY_S
            return False
        self._sound.add(frame)
        return True

    def is_readable(self, frame: int) -> bool:
        """Whether a frame can be measured now: read whole, or waited for long enough."""
        record = self.queue.records[frame]
        if record.problem:
            return True
        try:
            self.reader(record)
        except Exception as error:  # noqa: BLE001 - readers of half a file raise anything
            return self._is_given_up(record, error)
        return True

    def _is_given_up(self, record: FrameRecord, error: Exception) -> bool:
        key = self.queue.key_of(record.frame)
        now_s, stamp = time.monotonic(), stamp_of(key)
        seen = self.queue.seen_s.setdefault(record.frame, now_s)
        limit = self._give_up_s
        if stamp is None and self.queue.taken[key][0] is not None:
            # its new name, if it has one, is about to be seen
            limit = min(limit, 2 * (self.source.quiet_s + self.source.poll_s))
        if now_s - seen < limit:
            return False
        reason = "was deleted before it could be read" if stamp is None else str(error)
        self.events("given up", frame=record.frame, source=record.source, reason=reason)
        return True


class _Known:
    """Keys that are taken, or about to be."""

    def __init__(self, taken: Mapping[str, Any], sights: Sequence[Sight]) -> None:
        self._taken, self._sights = taken, {s.key for s in sights}

    def __contains__(self, key: object) -> bool:
        return key in self._taken or key in self._sights
