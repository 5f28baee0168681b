"""Results: a run folder of Parquet parts, maps and ``run.json``.

``RUN/<table>/part-<chunk>.parquet`` holds the rows of one chunk of frames. The part of the
``frames`` table is written last and marks its chunk done, so that what a killed run left
behind is a set of whole chunks. Temporary names begin with a dot; readers of Parquet
folders skip them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stempede.arrow import from_arrow, to_arrow
from stempede.errors import ResultsError
from stempede.frames import Frames
from stempede.io.atomic import LOCK, Lock, write_bytes, write_error, write_json
from stempede.io.maps import MapStore
from stempede.io.records import read_frames, write_frames
from stempede.tables import SCHEMAS, Field, Schema, Table

RUN = "run.json"
PREPARED = "prepared"
LAST = "frames"
SUMMARY = b"summary"
FRAMES_FILE = "frames.json"


class Results:
    """A run folder that is there.

    Parameters
    ----------
    path : Path
        The folder; ``Results.create`` makes one.

    Raises
    ------
    ResultsError
        The folder holds no run.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self.lock = Lock(self.path)
        self._made: Path | None = None
        if not (self.path / RUN).is_file():
            raise ResultsError(
                f"wanted the folder of a run, found no {RUN} in {self.path}; check the path"
            )

    @classmethod
    def create(
        cls, path: Path | str, run: Mapping[str, Any], frames: Frames | None = None
    ) -> Results:
        """Make a run folder, lock it and write ``run.json``; on failure nothing is left behind.

        The records of ``frames`` are written just before: a folder is a run, and can be
        resumed, from the moment that ``run.json`` is there.

        Raises
        ------
        ResultsError
            The folder is not empty, not writable, or another run is being written into it.
        """
        path = Path(path).absolute()
        _refuse_occupied(path)
        made = _make_folder(path)
        lock = Lock(path)
        try:
            lock.acquire()
            _refuse_occupied(path)
            if frames is not None:
                write_frames(path / FRAMES_FILE, frames)
            write_json(path / RUN, dict(run))
        except BaseException:
            lock.release()
            if made is not None:
                shutil.rmtree(made, ignore_errors=True)
            raise
        results = cls(path)
        results.lock, results._made = lock, made
        return results

    def discard(self) -> None:
        """Remove a run that never started; a folder that was there before stays, empty."""
        self.lock.release()
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)
            return
        for entry in self.path.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    @property
    def run(self) -> dict[str, Any]:
        """Content of ``run.json``, read each time.

        Raises
        ------
        ResultsError
            The file is damaged.
        """
        try:
            found = json.loads((self.path / RUN).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ResultsError(
                f"cannot read {self.path / RUN}: {error}; start a new run"
            ) from error
        if not isinstance(found, dict):
            raise ResultsError(f"{self.path / RUN} wants an object; found {type(found).__name__}")
        return found

    def update(self, **changes: Any) -> None:
        """Change fields of ``run.json``, atomically."""
        write_json(self.path / RUN, {**self.run, **changes})

    def frames(self, given: Frames | None = None) -> Frames:
        """Return the frames the run began with; ``given`` lends a reader of the user's own."""
        return read_frames(self.path / FRAMES_FILE, given)

    @property
    def maps(self) -> MapStore:
        """The maps that were kept."""
        return MapStore(self.path)

    def tables(self) -> list[str]:
        """Return the names of the tables that have parts."""
        return sorted({p.parent.name for p in self.path.glob("*/part-*.parquet")})

    def done_chunks(self) -> set[int]:
        """Return the chunks whose parts are all there."""
        return set(self._parts(LAST))

    def _parts(self, table: str) -> dict[int, Path]:
        found = (self.path / table).glob("part-*.parquet")
        return dict(sorted((int(p.stem.removeprefix("part-")), p) for p in found))

    def write_chunk(
        self, chunk: int, tables: Mapping[str, Table], summary: Mapping[str, Any] | None = None
    ) -> None:
        """Write the parts of one chunk, the one that marks it done last.

        Parameters
        ----------
        chunk : int
        tables : mapping of str to Table
        summary : mapping, optional
            How it went, as JSON can hold it; kept in the metadata of the last part.

        Raises
        ------
        ResultsError
            The disk is full or refuses; the chunk then counts as not done.
        """
        for name in sorted(tables, key=lambda name: name == LAST):
            self._write_part(name, chunk, tables[name], summary if name == LAST else None)

    def summaries(self) -> list[dict[str, Any]]:
        """Return the summaries of the chunks that are done, in order."""
        import pyarrow.parquet as pq

        found = [
            (pq.read_schema(p).metadata or {}).get(SUMMARY) for p in self._parts(LAST).values()
        ]
        return [json.loads(text) for text in found if text]

    def _write_part(
        self, name: str, chunk: int, table: Table, summary: Mapping[str, Any] | None = None
    ) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder = self.path / name
        sink = pa.BufferOutputStream()
        arrow = to_arrow(table)
        if summary is not None:
            notes = {**arrow.schema.metadata, SUMMARY: json.dumps(summary)}
            arrow = arrow.replace_schema_metadata(notes)
        pq.write_table(arrow, sink, compression="zstd")
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise write_error(folder, error) from error
        write_bytes(folder / f"part-{chunk:05d}.parquet", sink.getvalue().to_pybytes())

    def read(self, table: str) -> Table:
        """Return a table of the run, in frame order.

        Raises
        ------
        ResultsError
            The run has no such table, or a part is damaged.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        parts = self._parts(table)
        if not parts:
            known = ", ".join(self.tables()) or "none yet"
            raise ResultsError(f"{self.path} has no table '{table}'; it has {known}")
        try:
            # a reduction that was killed while it added a field leaves parts without it
            found_parts = [pq.read_table(p) for p in parts.values()]
            arrow = pa.concat_tables(found_parts, promote_options="default")
        except (pa.ArrowException, OSError) as error:
            raise ResultsError(f"a part of table '{table}' is damaged: {error}") from error
        found = from_arrow(_schema(table, arrow), arrow)
        if len(parts) > 1 and "frame" in found.schema.names:
            return found.take(np.argsort(found["frame"], kind="stable"))
        return found

    def read_part(self, table: str, chunk: int, names: Iterable[str] = ()) -> Table | None:
        """Return the rows of one chunk, None where it has not been measured.

        Parameters
        ----------
        table : str
        chunk : int
        names : iterable of str
            Fields to read, all by default; those that the part lacks are passed over.

        Raises
        ------
        ResultsError
            The part is damaged.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.path / table / f"part-{chunk:05d}.parquet"
        try:
            with pq.ParquetFile(path) as part:
                arrow = part.read(list(names) or None)
        except FileNotFoundError:
            return None
        except (pa.ArrowException, OSError) as error:
            raise ResultsError(f"{path} is damaged: {error}") from error
        return from_arrow(_schema(table, arrow), arrow)

    def undo(self, chunk: int) -> None:
        """Have a chunk measured again: without its last part it counts as not done."""
        (self.path / LAST / f"part-{chunk:05d}.parquet").unlink(missing_ok=True)

    def write_frames(self, frames: Frames) -> None:
        """Replace the records of the run, of which a watched one has ever more."""
        write_frames(self.path / FRAMES_FILE, frames)

    def write_table(self, name: str, table: Table, chunks: Sequence[Sequence[int]] = ()) -> None:
        """Write a table of the whole run, replacing what was there part by part.

        Parameters
        ----------
        name : str
        table : Table
        chunks : sequence of sequence of int, optional
            Frame numbers per part, for a table that is written chunk by chunk; without it
            the table is one part.
        """
        if not chunks:
            self._write_part(name, 0, table)
            return
        summaries = {s["chunk"]: s for s in self.summaries()} if name == LAST else {}
        for chunk, frames in enumerate(chunks):
            rows = table.take(np.isin(table["frame"], frames))
            self._write_part(name, chunk, rows, summaries.get(chunk))

    def write_prepared(self, name: str, numbers: Mapping[str, Any]) -> None:
        """Keep the numbers of a Prepare as ``prepared/<name>.json``."""
        (self.path / PREPARED).mkdir(exist_ok=True)
        write_json(self.path / PREPARED / f"{name}.json", dict(numbers))

    def read_prepared(self, name: str) -> dict[str, Any] | None:
        """Return the numbers of a Prepare, None where it has not been called."""
        path = self.path / PREPARED / f"{name}.json"
        if not path.is_file():
            return None
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def sweep(self) -> None:
        """Remove what a killed run left half-written."""
        for entry in [*self.path.glob(".*"), *self.path.glob("*/.*"), *self.path.glob("*/*/.*")]:
            if entry.name == LOCK:
                continue
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink(missing_ok=True)


def _make_folder(path: Path) -> Path | None:
    """Make a folder; return the topmost one that was not there before."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if missing:
            shutil.rmtree(missing[-1], ignore_errors=True)
        raise write_error(path, error) from error
    return missing[-1] if missing else None


def _refuse_occupied(path: Path) -> None:
    """Raise unless the folder is absent or empty."""
    if path.exists() and not path.is_dir():
        raise ResultsError(f"wanted a folder for the run, found a file: {path}; choose another")
    entries = [p.name for p in path.iterdir()] if path.is_dir() else []
    if RUN not in entries:
        # a run killed before it began leaves these; it starts again
        temporary = (f".{RUN}-", f".{FRAMES_FILE}-")
        ours = [e for e in entries if e in (LOCK, FRAMES_FILE) or e.startswith(temporary)]
        entries = sorted(set(entries) - set(ours))
    if RUN in entries:
        with Lock(path):
            state = Results(path).run.get("state", "unknown")
        raise ResultsError(
            f"wanted an empty folder, found a run (state: {state}) in {path}; "
            f"continue it with 'stempede resume {path}' or choose another"
        )
    if entries:
        raise ResultsError(
            f"wanted an empty folder, found {len(entries)} entries in {path} "
            f"({', '.join(sorted(entries)[:3])}, ...); choose another"
        )


def _schema(name: str, arrow: Any) -> Schema:
    """Return the schema of a table on disk: declared fields as declared, others as found."""
    declared = {f.name: f for f in SCHEMAS[name].fields} if name in SCHEMAS else {}
    fields = []
    for f in arrow.schema:
        if f.name in declared:
            fields.append(declared[f.name])
            continue
        dtype = {"double": "float64", "float": "float32"}.get(str(f.type), str(f.type))
        notes = {k.decode(): v.decode() for k, v in (f.metadata or {}).items()}
        nullable = dtype.startswith("int") and arrow.column(f.name).null_count > 0
        fields.append(Field(f.name, dtype, notes.get("unit", ""), notes.get("doc", ""), nullable))
    return Schema(name, tuple(fields))
