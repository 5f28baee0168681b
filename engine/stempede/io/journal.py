"""Journal: what a watched run has seen and decided, one JSON object a line, on disk at once.

It is the queue: a frame that was seen is in it before it is measured, so that a watcher that is
killed goes on where it was. A line that was cut off half-way counts as not written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stempede.errors import ResultsError
from stempede.frames import FrameRecord
from stempede.io.atomic import write_error
from stempede.io.records import as_json, from_json


class Journal:
    """A file of JSON lines that only grows.

    Parameters
    ----------
    path : Path
        Made with its folder on the first write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._end: int | None = None

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield what was written, oldest first.

        Raises
        ------
        ResultsError
            A line that is not the last is damaged.
        """
        self._end = 0
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise ResultsError(
                        f"{self.path} is damaged at byte {self._end} ({error}); "
                        f"measure its source anew with 'stempede run'"
                    ) from error
                self._end += len(line)

    def write(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Append entries and flush them to disk; all of them are there, or none.

        Raises
        ------
        ResultsError
            The disk is full or refuses; the journal is as it was.
        """
        content = b"".join(json.dumps(e, ensure_ascii=False).encode() + b"\n" for e in entries)
        if self._end is None:
            for _ in self.read():
                pass
        start = self._end or 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("r+b" if self.path.exists() else "w+b") as file:
                # over what a killed watcher left of a line
                file.truncate(start)
                file.seek(start)
                try:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(start)
                    raise
        except OSError as error:
            raise write_error(self.path, error) from error
        self._end = start + len(content)

    @staticmethod
    def as_json(record: FrameRecord) -> dict[str, Any]:
        """Return a record as a line can hold it."""
        return as_json(record)

    @staticmethod
    def from_json(raw: dict[str, Any]) -> FrameRecord:
        """Return the record of a line."""
        return from_json(raw)
