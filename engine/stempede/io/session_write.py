"""Frames that arrive one by one, from a simulator, into a session."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from stempede.errors import InputError
from stempede.frames import FrameRecord
from stempede.io.session_build import Report, building, check_unique, finish
from stempede.io.sessions import Row, StackKey, create_stack, stack_key


def write_session(
    destination: str | Path,
    images: Iterable[tuple[np.ndarray, FrameRecord]],
    *,
    codec: str = "blosc-lz4",
    label_names: Sequence[str] = (),
    notes: Sequence[str] = (),
    origin: str = "",
) -> Report:
    """Write frames that arrive one by one (from a simulator) as a session.

    One frame is held at a time; stacks grow as frames come.

    Parameters
    ----------
    destination : path
        A new or empty folder.
    images : iterable of ((y, x) array, FrameRecord)
        Shape and dtype are the array's; a record without ``source`` comes from the session
        itself, its page being its frame number.
    codec : {"blosc-lz4", "zstd", "none"}
    label_names : sequence of str
        Labels to give a column, beyond those the records carry.
    notes : sequence of str
    origin : str

    Returns
    -------
    Report

    Raises
    ------
    InputError
        No frame came.
    ResultsError
        The destination is in use, not empty or not writable, or the disk is full.
    """
    started = time.perf_counter()
    home = Path(destination).absolute().as_posix()
    stacks: dict[StackKey, _Growing] = {}
    rows: list[Row] = []
    n_bytes = 0
    with building(Path(destination), "") as folder:
        root = zarr.open_group(folder, mode="a")
        for image, given in images:
            record = replace(given, shape=image.shape, dtype=image.dtype.name)
            if not record.source:
                record = replace(record, source=home, page=record.frame)
            key = stack_key(record)
            if key not in stacks:
                array = create_stack(root, len(stacks), key, 16, codec, None)
                stacks[key] = _Growing(len(stacks), array)
            row = stacks[key].append(image)
            rows.append(Row(record, stacks[key].number, row))
            n_bytes += image.nbytes
        if not rows:
            raise InputError("frames to write wanted, found none; ask for at least one")
        check_unique([r.record for r in rows])
        for stack in stacks.values():
            stack.array.resize((stack.n, *stack.array.shape[1:]))
        carried = dict.fromkeys([*label_names, *(n for r in rows for n in r.record.labels)])
        facts = {"origin": origin, "notes": list(notes)}
        finish(folder, rows, tuple(carried), len(stacks), facts)
    seconds = time.perf_counter() - started
    return Report(Path(destination), len(rows), len(stacks), 0, 0, n_bytes, seconds)


@dataclass
class _Growing:
    """A stack whose length is not known yet."""

    number: int
    array: Any
    n: int = 0

    def append(self, image: np.ndarray) -> int:
        """Add a frame, doubling the array when it is full; return its row."""
        if self.n == self.array.shape[0]:
            self.array.resize((2 * self.n, *self.array.shape[1:]))
        self.array[self.n] = image
        self.n += 1
        return self.n - 1
