"""Files that are whole or not there, and the lock that keeps two runs out of one folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from stempede.errors import ResultsError

LOCK = ".lock"

_WORDS = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EACCES: "the folder is not writable; choose another",
    errno.EPERM: "the folder is not writable; choose another",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.ENOTDIR: "a file is in the way of the folder; choose another",
    errno.ENOENT: "the folder cannot be made there; choose another",
}


def write_error(path: Path, error: OSError) -> ResultsError:
    """Return an error that says which file could not be written, why, and what to do."""
    why = _WORDS.get(error.errno or 0, f"{error.strerror or error}; check the disk")
    return ResultsError(f"cannot write {path}: {why}")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a name that begins with a dot, flush it to disk, rename it.

    Raises
    ------
    ResultsError
        The disk is full or refuses; nothing half-written stays.
    """
    temporary = path.with_name(f".{path.name}-{uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise write_error(path, error) from error


def write_json(path: Path, content: Any) -> None:
    """Write JSON as ``write_bytes`` does."""
    write_bytes(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


class Lock:
    """Held by the process that writes a run folder; the kernel frees it when that one dies.

    A lock file left by a killed process is therefore no obstacle: its text is only for
    the message that a living one causes.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises
        ------
        ResultsError
            Another process holds it, or the folder is not writable.
        """
        while self._file is None:
            try:
                file = self.path.open("a+", encoding="utf-8")
            except OSError as error:
                raise write_error(self.path, error) from error
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                owner = file.read().strip() or "of unknown number"
                file.close()
                raise ResultsError(
                    f"wanted {self.path.parent} for this run alone, but another process "
                    f"({owner}) is writing into it; wait for it or choose another --out"
                ) from error
            if _is_at(file, self.path):
                self._file = file
            else:
                # the holder before us removed the file between open and lock
                file.close()
        self._sign(self._file)

    def _sign(self, file: IO[str]) -> None:
        file.truncate(0)
        file.write(
            f"pid {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M')}\n"
        )
        file.flush()

    def release(self) -> None:
        """Give the lock back; nothing if it is not held."""
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            self._file.close()
            self._file = None

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(file.fileno())
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)
