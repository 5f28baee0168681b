"""Microscope files into ``session.zarr``: parallel, atomic, and resumable after a kill."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from stempede.errors import InputError
from stempede.frames import FrameRecord, Frames
from stempede.io.listing import is_url
from stempede.io.session_build import JOURNAL, Report, building, check_unique, finish
from stempede.io.session_write import write_session
from stempede.io.sessions import FORMAT, Row, StackKey, create_stack, stack_key

__all__ = ["Report", "ingest", "write_session"]

Progress = Callable[[int, int], None]


def ingest(
    frames: Frames,
    destination: str | Path,
    *,
    workers: int | None = None,
    codec: str = "blosc-lz4",
    frames_per_shard: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Copy frames into a new session, in their native dtype, one frame per chunk.

    The session is built in a hidden folder beside ``destination`` and renamed when it is whole;
    the same call after an interruption goes on with the frames that are missing.

    Parameters
    ----------
    frames : Frames
    destination : path
        A new or empty folder, by custom ``….zarr``.
    workers : int, optional
        Threads that read, compress and write; one per core by default.
    codec : {"blosc-lz4", "zstd", "none"}
    frames_per_shard : int, optional
        Frames per file, for object stores; one file per frame by default.
    progress : callable (frames done, frames in all), optional

    Returns
    -------
    Report

    Raises
    ------
    InputError
        No frame can be read.
    ResultsError
        The destination is in use, not empty or not writable, or the disk is full.
    """
    started = time.perf_counter()
    if not frames.readable:
        first = frames.records[0].problem if frames.records else "there is none"
        raise InputError(f"frames to ingest wanted, found none that can be read ({first})")
    check_unique(frames.records)
    plan = _Plan.make(frames, codec, frames_per_shard)
    with building(Path(destination), plan.fingerprint) as folder:
        copy = _Copy(frames.reader, plan, folder)
        copy.run(workers or os.cpu_count() or 1, progress)
        rows = copy.rows(frames.records)
        if all(r.stack < 0 for r in rows):
            raise InputError(f"no frame could be read: {rows[0].record.problem}")
        facts = {"origin": frames.origin, "notes": list(frames.notes)}
        finish(folder, rows, frames.label_names, len(plan.keys), facts)
    return Report(
        Path(destination),
        len(frames),
        len(plan.keys),
        sum(r.stack < 0 for r in rows),
        copy.n_resumed,
        copy.n_bytes,
        time.perf_counter() - started,
    )


@dataclass(frozen=True)
class _Plan:
    """Which frame goes to which row of which stack; the fingerprint tells plans apart."""

    keys: tuple[StackKey, ...]
    tasks: tuple[tuple[tuple[FrameRecord, int, int], ...], ...]
    codec: str
    frames_per_shard: int | None
    fingerprint: str

    @classmethod
    def make(cls, frames: Frames, codec: str, frames_per_shard: int | None) -> _Plan:
        numbers: dict[StackKey, int] = {}
        lengths: dict[int, int] = {}
        tasks: dict[tuple[int, int], list[tuple[FrameRecord, int, int]]] = {}
        for record in frames.readable:
            number = numbers.setdefault(stack_key(record), len(numbers))
            row = lengths.get(number, 0)
            lengths[number] = row + 1
            # one shard is one file: its frames are written together
            tasks.setdefault((number, row // (frames_per_shard or 1)), []).append(
                (record, number, row)
            )
        stamps = [
            [r.source, r.page, r.shape, r.dtype, *_stamp(r.source), r.problem]
            for r in frames.records
        ]
        text = json.dumps([FORMAT, codec, frames_per_shard, list(numbers), stamps])
        fingerprint = hashlib.sha256(text.encode()).hexdigest()
        ordered = tuple(tuple(t) for t in tasks.values())
        return cls(tuple(numbers), ordered, codec, frames_per_shard, fingerprint)

    def length(self, number: int) -> int:
        """Return how many frames a stack holds."""
        return sum(1 for task in self.tasks for _, k, _ in task if k == number)


def _stamp(source: str) -> tuple[int, int]:
    if is_url(source):
        return 0, 0
    try:
        found = Path(source).stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


@dataclass
class _Copy:
    """Copies the frames of a plan into a folder, with a journal of what is done."""

    reader: Any
    plan: _Plan
    folder: Path
    done: dict[int, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    n_resumed: int = 0
    n_bytes: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def run(self, workers: int, progress: Progress | None) -> None:
        """Copy what the journal does not name yet."""
        self._read_journal()
        arrays = self._arrays()
        total = sum(len(t) for t in self.plan.tasks)
        pending = [t for t in self.plan.tasks if any(r.frame not in self.done for r, _, _ in t)]
        self.n_resumed = len(self.done)
        if progress:
            progress(self.n_resumed, total)
        with (self.folder / JOURNAL).open("a", encoding="utf-8") as journal:
            for _ in _in_threads(workers, pending, lambda t: self._copy(t, arrays, journal)):
                if progress:
                    progress(len(self.done), total)

    def rows(self, records: Sequence[FrameRecord]) -> list[Row]:
        """Return where each record lies now; those that could not be read have a problem."""
        places = {r.frame: (k, row) for task in self.plan.tasks for r, k, row in task}
        rows = []
        for record in records:
            problem = record.problem or self.done[record.frame]
            stack, row = (-1, -1) if problem else places[record.frame]
            facts = self.facts.get(record.source, "")
            rows.append(Row(replace(record, problem=problem), stack, row, facts))
        return rows

    def _arrays(self) -> list[Any]:
        root = zarr.open_group(self.folder, mode="a")
        arrays = []
        for number, key in enumerate(self.plan.keys):
            path = f"stacks/{number}/frames"
            if path in root:
                arrays.append(root[path])
            else:
                n = self.plan.length(number)
                shard = self.plan.frames_per_shard
                arrays.append(create_stack(root, number, key, n, self.plan.codec, shard))
        return arrays

    def _copy(
        self, task: Sequence[tuple[FrameRecord, int, int]], arrays: list[Any], journal: Any
    ) -> None:
        _, number, first = task[0]
        array = arrays[number]
        images = np.zeros((len(task), *array.shape[1:]), array.dtype)
        lines = []
        for k, (record, _, _) in enumerate(task):
            problem, facts = self._read(record, images[k])
            lines.append((record, problem, facts))
        array[first : first + len(task)] = images
        with self._guard:
            for record, problem, facts in lines:
                line = {"frame": record.frame, "problem": problem}
                if facts:
                    line |= {"source": record.source, "facts": facts}
                journal.write(json.dumps(line) + "\n")
                self._note(line)
            journal.flush()
            self.n_bytes += images.nbytes

    def _read(self, record: FrameRecord, into: np.ndarray) -> tuple[str, str]:
        """Read a frame; return why it cannot be read, and its file's metadata if not yet known."""
        try:
            image = self.reader(record)
            if image.shape != record.shape:
                raise InputError(f"is {image.shape} px, but its file announced {record.shape}")
            np.copyto(into, image, casting="safe")
        except InputError as error:
            return str(error), ""
        except Exception as error:  # noqa: BLE001 - readers raise anything on a broken file
            return f"cannot be read ({type(error).__name__}: {error})", ""
        return "", "" if record.source in self.facts else self._file_facts(record)

    def _file_facts(self, record: FrameRecord) -> str:
        """Return the file's own metadata as JSON; a file whose pixels are read may have none."""
        if not hasattr(self.reader, "facts"):
            return ""
        try:
            return json.dumps(self.reader.facts(record))
        except Exception as error:  # noqa: BLE001 - metadata must not cost a frame
            return json.dumps({"unreadable": f"{type(error).__name__}: {error}"})

    def _note(self, line: Mapping[str, Any]) -> None:
        self.done[line["frame"]] = line["problem"]
        if line.get("facts"):
            self.facts.setdefault(line["source"], line["facts"])

    def _read_journal(self) -> None:
        """Take over what an interrupted ingest had finished, but for a torn last line."""
        path = self.folder / JOURNAL
        if not path.exists():
            return
        whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
        path.write_text(whole + "\n" if whole else "", encoding="utf-8")
        for line in whole.splitlines():
            self._note(json.loads(line))


def _in_threads(
    workers: int, tasks: Sequence[Any], function: Callable[[Any], None]
) -> Iterator[None]:
    """Call a function on tasks in threads, few ahead at a time; the first error stops all."""
    if workers == 1:
        for task in tasks:
            function(task)
            yield
        return
    remaining = iter(tasks)
    with ThreadPoolExecutor(workers, thread_name_prefix="ingest") as pool:
        running = {pool.submit(function, t) for t in islice(remaining, 2 * workers)}
        try:
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                    yield
                    running |= {pool.submit(function, t) for t in islice(remaining, 1)}
        finally:
            for future in running:
                future.cancel()
