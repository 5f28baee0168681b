"""Sources: where frames appear while a run is watched, and when they are whole.

A file is taken when its writer has closed it, or when its size and time have not changed for a
while; whether it can be read is tried before it is measured. Times are of the monotonic clock:
a clock that is set while the microscope runs changes nothing.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import zlib
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from stempede.errors import InputError, StempedeError
from stempede.frames import FrameRecord, Frames
from stempede.stage import door

log = logging.getLogger("stempede")

Stamp = tuple[int, int, int, int]
"""Size, modification time in ns, device and inode of a file."""


@dataclass(frozen=True)
class Sight:
    """A file, or a page of a stack, that seems whole.

    Parameters
    ----------
    key : str
        What is seen once: the path, or the path and page of a stack.
    stamp : Stamp or None
        Of the file.
    seen_s : float
        Monotonic time at which it got its present content.
    page : int or None
        Of a growing stack.
    """

    key: str
    stamp: Stamp | None
    seen_s: float
    page: int | None = None


class Source(Protocol):
    """Where frames come from."""

    root: str

    def start(self) -> None:
        """Begin to listen."""
        ...

    def stop(self) -> None:
        """End it."""
        ...

    def look(self, known: Container[str]) -> list[Sight]:
        """Return what has become whole, in natural order, without what is known."""
        ...

    def open(self, sight: Sight, notes: list[str]) -> Frames:
        """Return the frames of a sight, numbered from 0."""
        ...

    def again(self, sight: Sight) -> None:
        """Take a sight back: it could not be opened and may not be whole yet."""
        ...

    def rewritten(self) -> list[str]:
        """Return keys that were written to after they were taken, each once."""
        ...

    @property
    def is_changing(self) -> bool:
        """Whether something is about to become whole, so that this is no time to end."""
        ...


def stamp_of(path: str) -> Stamp | None:
    """Return the stamp of a file, None where it is gone."""
    try:
        found = os.stat(path)  # noqa: PTH116 - called for every file at every look
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns, found.st_dev, found.st_ino)


@dataclass
class _Pending:
    """A file that is not whole yet."""

    stamp: Stamp | None
    since: float
    refused: bool = False


@dataclass
class FolderSource:
    """A folder that fills.

    Parameters
    ----------
    root : str
        Absolute path; looked through recursively by the rules of ``run``.
    options : mapping
        As ``open_frames`` takes them.
    quiet_s : float
        A file is whole when it has not changed for so long.
    poll_s : float
        The folder is read at least so often: network folders send no word of changes.
    listen : bool
        Be told of changes by the system (watchdog) where it does that.
    """

    root: str
    options: Mapping[str, Any]
    quiet_s: float = 0.5
    poll_s: float = 1.0
    listen: bool = True
    wake: threading.Event = field(default_factory=threading.Event)
    report: Callable[..., None] = lambda *_, **__: None

    def __post_init__(self) -> None:
        self._new_places, self._natural = door("new_places"), door("natural_key")
        self._open = door("open_arrived")
        self._pending: dict[str, _Pending] = {}
        self._touched: dict[str, float] = {}
        self._closed: set[str] = set()
        self._guard = threading.Lock()
        self._observer: Any = None
        self._next_poll, self._barred = 0.0, set[str]()
        self._dirty = True

    def start(self) -> None:
        """Begin to listen; without word from the system the folder is read at intervals."""
        if not self.listen:
            return
        from watchdog.observers import Observer

        observer = Observer()
        # watchdog's own handler class is imported only here, and asks for no more than dispatch
        listener: Any = _Listener(self._hear)
        try:
            observer.schedule(listener, self.root, recursive=True)
            observer.start()
        except OSError as error:
            log.info("%s is looked at every %g s (%s)", self.root, self.poll_s, error)
            return
        self._observer = observer

    def stop(self) -> None:
        """Stop listening."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(timeout=2)
            self._observer = None

    def _hear(self, path: str, *, closed: bool) -> None:
        """Take word of a change; called in the observer's thread."""
        with self._guard:
            self._touched[path] = time.monotonic()
            if closed:
                self._closed.add(path)
            self._dirty = True
        self.wake.set()

    def look(self, known: Container[str]) -> list[Sight]:
        """Return files that have become whole, in natural order."""
        now = time.monotonic()
        with self._guard:
            due = self._dirty or now >= self._next_poll
            self._dirty = False
            closed, self._closed = self._closed, set()
        if due:
            self._list(known, now)
        whole = [path for path in list(self._pending) if self._is_whole(path, now, path in closed)]
        whole.sort(key=lambda p: self._natural(os.path.relpath(p, self.root)))
        sights = []
        for path in whole:
            found = self._pending.pop(path)
            sights.append(Sight(path, found.stamp, found.since))
        return sights

    def _list(self, known: Container[str], now: float) -> None:
        """Read the folder; what costs long is done less often."""
        started = time.monotonic()
        barred: set[str] = set()

        def problem(folder: str, error: OSError) -> None:
            barred.add(folder)
            if folder not in self._barred:
                self.report("unreadable", path=folder, reason=str(error.strerror or error))

        for place in self._new_places(self.root, known, problem):
            if place.path not in self._pending:
                self._pending[place.path] = _Pending(stamp_of(place.path), now)
        self._barred = barred
        spent = time.monotonic() - started
        self._next_poll = time.monotonic() + max(self.poll_s, 10 * spent)

    def _is_whole(self, path: str, now: float, was_closed: bool) -> bool:  # noqa: FBT001
        """Whether a file is closed or has stopped changing; one that is gone is forgotten."""
        pending, stamp = self._pending[path], stamp_of(path)
        if stamp is None:
            del self._pending[path]
            self.report("gone", path=path, reason="deleted or renamed before it was whole")
            return False
        if stamp != pending.stamp:
            # of a file that is not open any more this is the last one
            pending.stamp, pending.since, pending.refused = stamp, now, False
            return was_closed and stamp[0] > 0
        if stamp[0] == 0:
            return False
        return (was_closed and not pending.refused) or now - pending.since >= self.quiet_s

    def open(self, sight: Sight, notes: list[str]) -> Frames:
        """Return the frames of a file."""
        found: Frames = self._open(self.root, [sight.key], self.options, notes)
        return found

    def again(self, sight: Sight) -> None:
        """Wait for a change of a file, or for another while."""
        self._pending[sight.key] = _Pending(sight.stamp, sight.seen_s, refused=True)

    def rewritten(self) -> list[str]:
        """Return files that were touched and have been left alone since."""
        now = time.monotonic()
        with self._guard:
            calm = [p for p, at in self._touched.items() if now - at >= self.quiet_s]
            for path in calm:
                del self._touched[path]
        return [p for p in calm if p not in self._pending]

    @property
    def pending(self) -> int:
        """Files that are not whole yet."""
        return len(self._pending)

    @property
    def is_changing(self) -> bool:
        """Whether a file has not been left alone for long enough to be tried."""
        return any(p.stamp and p.stamp[0] and not p.refused for p in self._pending.values())


class _Listener:
    """Passes the system's word on; watchdog calls ``dispatch`` in its own thread."""

    def __init__(self, hear: Callable[..., None]) -> None:
        self._hear = hear

    def dispatch(self, event: Any) -> None:
        """Take one event of watchdog."""
        if event.is_directory:
            if event.event_type in ("created", "moved"):
                self._hear(os.fsdecode(event.src_path), closed=False)
            return
        if event.event_type == "moved":
            self._hear(os.fsdecode(event.dest_path), closed=True)
        elif event.event_type in ("created", "modified", "closed"):
            self._hear(os.fsdecode(event.src_path), closed=event.event_type == "closed")


@dataclass
class StackSource:
    """A zarr stack that grows along its first axis.

    A plane is whole when two looks, ``quiet_s`` apart, find the same pixels and not all of
    them alike, or when a later plane is there.

    Parameters
    ----------
    root : str
        The array or image.
    options : mapping
        As ``open_frames`` takes them.
    quiet_s, poll_s : float
    """

    root: str
    options: Mapping[str, Any]
    quiet_s: float = 0.5
    poll_s: float = 0.5
    wake: threading.Event = field(default_factory=threading.Event)
    report: Callable[..., None] = lambda *_, **__: None

    def __post_init__(self) -> None:
        self._frames: Frames | None = None
        self._seen: dict[str, tuple[int, float]] = {}
        self._next = 0.0
        self._refused: set[str] = set()

    def start(self) -> None:
        """Nothing: a stack is looked at every ``poll_s``."""

    def stop(self) -> None:
        """Nothing."""

    def look(self, known: Container[str]) -> list[Sight]:
        """Return the planes that have become whole."""
        now = time.monotonic()
        if now < self._next:
            return []
        self._next = now + self.poll_s
        try:
            self._frames = door("open_frames")(self.root, **self.options)
        except InputError as error:
            log.debug("%s cannot be opened yet: %s", self.root, error)
            return []
        sights = []
        for record in self._frames.records:
            key = _plane_key(record)
            if key in known:
                continue
            since = self._whole_since(key, record, now)
            if since is not None:
                sights.append(Sight(key, None, since, record.frame))
        return sights

    def _whole_since(self, key: str, record: FrameRecord, now: float) -> float | None:
        """Return since when a plane is as it is, None while that is too short."""
        assert self._frames is not None
        try:
            pixels = self._frames.load(record)
        except StempedeError:
            return None
        check = zlib.crc32(np.ascontiguousarray(pixels))
        before, since = self._seen.get(key, (None, now))
        if before != check:
            since = now
        self._seen[key] = (check, since)
        return since if now - since >= self.quiet_s else None

    def open(self, sight: Sight, notes: list[str]) -> Frames:
        """Return the one plane of a sight."""
        assert self._frames is not None
        (record,) = [r for r in self._frames.records if r.frame == sight.page]
        return replace(self._frames, records=(replace(record, frame=0),))

    def again(self, sight: Sight) -> None:
        """Look at a plane again."""
        self._seen.pop(sight.key, None)

    def rewritten(self) -> list[str]:
        """Return nothing: planes are not written twice."""
        return []

    @property
    def is_changing(self) -> bool:
        """Nothing is known of planes between two looks."""
        return False

    @property
    def pending(self) -> int:
        """Planes that are not whole yet."""
        return 0 if self._frames is None else len(self._frames) - len(self._seen)


def _plane_key(record: FrameRecord) -> str:
    return f"{record.source}#{record.page}"


def source_of(text: str, options: Mapping[str, Any], **settings: Any) -> FolderSource | StackSource:
    """Return the source that a path means.

    Raises
    ------
    InputError
        Nothing is there, or it does not fill.
    """
    path = Path(text).expanduser().absolute()
    if path.suffix.lower() == ".zarr" or (path / "zarr.json").is_file():
        settings.pop("listen", None)
        return StackSource(path.as_posix(), options, **settings)
    if not path.is_dir():
        raise InputError(
            f"a folder or zarr stack that fills wanted, found "
            f"{'a file' if path.exists() else 'nothing'} at '{text}'; make the folder first"
        )
    return FolderSource(path.as_posix(), options, **settings)
