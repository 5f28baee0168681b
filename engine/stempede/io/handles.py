"""A few open files per process, so that the pages of one stack do not reopen it."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MOST_OPEN = 8


class _Entry:
    """An open file with the lock that lets one thread at a time use it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.handle: Any = None
        self.closed = False
        self.dropped = False

    def close(self) -> None:
        """Close the file; the lock is held."""
        self.closed = True
        close = getattr(self.handle, "close", None)
        if close is not None:
            close()
        self.handle = None


_entries: OrderedDict[tuple[Any, ...], _Entry] = OrderedDict()
_guard = threading.Lock()


@contextmanager
def opened(
    kind: str, path: str, opener: Callable[[str], Any], *, witness: str | None = None
) -> Iterator[Any]:
    """Lend the open file of a path, opening it if need be; least recently used ones are closed.

    A file that was rewritten since is opened anew; ``witness`` is the file that tells, the
    path itself by default.
    """
    key = (os.getpid(), kind, path, _stamp(witness or path))
    while True:
        entry = _entry(key)
        with entry.lock:
            if entry.closed:
                continue
            if entry.handle is None:
                try:
                    entry.handle = opener(path)
                except BaseException:
                    _forget(key)
                    raise
            try:
                yield entry.handle
            finally:
                if entry.dropped:
                    entry.close()
            return


def close_all() -> None:
    """Close every cached file of this process."""
    with _guard:
        dropped = list(_entries.values())
        _entries.clear()
    for entry in dropped:
        _close(entry)


def _stamp(path: str) -> tuple[int, int]:
    """Return what changes when a file is rewritten; zeros for what is no local file."""
    try:
        found = Path(path).stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _entry(key: tuple[Any, ...]) -> _Entry:
    dropped: list[_Entry] = []
    with _guard:
        entry = _entries.setdefault(key, _Entry())
        _entries.move_to_end(key)
        while len(_entries) > MOST_OPEN:
            dropped.append(_entries.popitem(last=False)[1])
    for old in dropped:
        _close(old)
    return entry


def _forget(key: tuple[Any, ...]) -> None:
    with _guard:
        entry = _entries.pop(key, None)
    if entry is not None:
        entry.closed = True


def _close(entry: _Entry) -> None:
    """Close an entry now, or when the thread that uses it is done."""
    entry.dropped = True
    if entry.lock.acquire(blocking=False):
        try:
            entry.close()
        finally:
            entry.lock.release()


def _after_fork() -> None:
    global _guard
    _guard = threading.Lock()
    _entries.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
