"""Queue: the frames of a watched run on disk, in the order in which they were first seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stempede.frames import FrameRecord
from stempede.live.sources import Sight, Stamp, stamp_of
from stempede.stage import door

FOLDER = "live"


class Queue:
    """What was seen, which chunk measures it, and what is still to be measured.

    Everything is in ``RUN/live/queue.jsonl`` before it counts.

    Parameters
    ----------
    run : Path
        Run folder.
    """

    def __init__(self, run: Path) -> None:
        self._journal = door("journal")(run / FOLDER / "queue.jsonl")
        self.records: dict[int, FrameRecord] = {}
        self.taken: dict[str, tuple[Stamp | None, tuple[int, ...]]] = {}
        self.chunks: list[tuple[int, ...]] = []
        self.waiting: dict[int, None] = {}
        self.prepared_on: tuple[int, ...] = ()
        self.seen_s: dict[int, float] = {}
        self._inodes: dict[tuple[int, int], str] = {}
        self._keys: dict[int, str] = {}
        self._chunk_of: dict[int, int] = {}
        for entry in self._journal.read():
            self._apply(entry)

    def __len__(self) -> int:
        return len(self.records)

    def _apply(self, entry: dict[str, Any]) -> None:
        if "took" in entry:
            records = [self._journal.from_json(r) for r in entry["frames"]]
            for record in records:
                if record.frame not in self.records:
                    self.waiting[record.frame] = None
                self.records[record.frame] = record
                self._keys[record.frame] = entry["took"]
            stamp = None if entry["stamp"] is None else _stamp(entry["stamp"])
            self._forget(entry.get("was", entry["took"]))
            self.taken[entry["took"]] = (stamp, tuple(r.frame for r in records))
            if stamp is not None:
                self._inodes[stamp[2:]] = entry["took"]
        elif "chunk" in entry:
            number, frames = int(entry["chunk"]), tuple(entry["frames"])
            self.chunks += [()] * (number + 1 - len(self.chunks))
            self.chunks[number] = frames
            self._chunk_of.update(dict.fromkeys(frames, number))
            for frame in frames:
                self.waiting.pop(frame, None)
        elif "prepared_on" in entry:
            self.prepared_on = tuple(entry["prepared_on"])

    def _forget(self, key: str) -> None:
        stamp, _ = self.taken.pop(key, (None, ()))
        if stamp is not None:
            self._inodes.pop(stamp[2:], None)

    def _write(self, *entries: dict[str, Any]) -> None:
        self._journal.write(entries)
        for entry in entries:
            self._apply(entry)

    def take(self, sight: Sight, records: Sequence[FrameRecord], was: str = "") -> list[int]:
        """Put the frames of a sight at the end; returns their numbers.

        Parameters
        ----------
        sight : Sight
        records : sequence of FrameRecord
            Their numbers are replaced.
        was : str
            Key of the same file before it was renamed, or rewritten: its frames keep their
            numbers.
        """
        old = self.taken[was][1] if was in self.taken else ()
        after = 1 + max(self.records, default=-1)
        fresh = range(after, after + max(0, len(records) - len(old)))
        numbers = [*old[: len(records)], *fresh]
        numbered = [replace(r, frame=n) for r, n in zip(records, numbers, strict=True)]
        entry: dict[str, Any] = {
            "took": sight.key,
            "stamp": sight.stamp,
            "frames": [self._journal.as_json(r) for r in numbered],
        }
        self._write({**entry, "was": was} if was else entry)
        self.seen_s.update(dict.fromkeys(numbers, sight.seen_s))
        return numbers

    def moved_from(self, sight: Sight) -> str:
        """Return the key of a taken file that is this one under its old name, or nothing."""
        if sight.stamp is None:
            return ""
        key = self._inodes.get(sight.stamp[2:], "")
        known = self.taken.get(key)
        same = known is not None and known[0] == sight.stamp and key != sight.key
        return key if same and not Path(key).exists() else ""

    def replace(self, record: FrameRecord) -> None:
        """Replace what is known of one frame."""
        key = self._keys[record.frame]
        stamp, frames = self.taken[key]
        records = [record if n == record.frame else self.records[n] for n in frames]
        as_json = self._journal.as_json
        self._write({"took": key, "stamp": stamp, "frames": [as_json(r) for r in records]})

    def chunk(self, frames: Iterable[int], number: int | None = None) -> int:
        """Give frames a chunk, the next one or a known one; returns its number."""
        number = len(self.chunks) if number is None else number
        self._write({"chunk": number, "frames": sorted(frames)})
        return number

    def chunk_of(self, frame: int) -> int | None:
        """Return the chunk of a frame, None while it waits."""
        return self._chunk_of.get(frame)

    def key_of(self, frame: int) -> str:
        """Return the key under which a frame was taken."""
        return self._keys[frame]

    def adopt(self, records: Iterable[FrameRecord], chunks: Sequence[Sequence[int]]) -> None:
        """Take the numbers and chunks that settling gave, so that a later watch goes on."""
        fresh: dict[str, list[FrameRecord]] = {}
        for r in records:
            if r.frame not in self.records:
                key = r.source if Path(r.source).is_file() else f"{r.source}#{r.page}"
                fresh.setdefault(key, []).append(r)
        entries: list[dict[str, Any]] = [
            {
                "took": key,
                "stamp": stamp_of(key),
                "frames": [self._journal.as_json(r) for r in found],
            }
            for key, found in fresh.items()
        ]
        known = dict(enumerate(self.chunks))
        entries += [
            {"chunk": k, "frames": list(numbers)}
            for k, numbers in enumerate(chunks)
            if known.get(k) != tuple(numbers)
        ]
        if entries:
            self._write(*entries)

    def prepared(self, frames: Iterable[int]) -> None:
        """Note on which frames the Prepares ran."""
        self._write({"prepared_on": list(frames)})

    def finished(self, done: set[int]) -> set[int]:
        """Return the frames whose chunks are done."""
        return {n for k in done if k < len(self.chunks) for n in self.chunks[k]}


def _stamp(raw: Sequence[int]) -> Stamp:
    size, modified, device, inode = raw
    return (size, modified, device, inode)
