"""Pipeline: a checked tuple of stages, and what becomes of a batch that fails in one.

A batch that runs out of memory is halved; one that a stage cannot take is retried frame
by frame. The frame that still fails is a row of ``problems`` and the others go on: since
a stage gives each frame the same result whatever else is in the batch, no number changes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stempede.backend import Backend
from stempede.errors import RecipeError, StempedeError
from stempede.frames import Batch, Frames, Problem, frames_schema, frames_table
from stempede.route import items_of, tables_of, unwritten
from stempede.series import units, wants_series
from stempede.stage import Stage, find
from stempede.tables import PROBLEMS, SCHEMAS, Table

log = logging.getLogger("stempede")

Spec = tuple[str, str, Mapping[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """What a chunk of frames gave, on the host.

    Parameters
    ----------
    tables : mapping of str to Table
        Every table of the route that is written, with its full schema, rows or none.
    maps : mapping of str to (b, y, x) array
        The maps that are kept.
    frames : (b,) int64 array
        Frame numbers of the maps.
    pixel_size_nm : (b, 2) float64 array
        Of the maps, NaN where unknown.
    timings_s : mapping of str to float
        Seconds per stage.
    notes : tuple of str
        What a user should know (a batch was halved).
    """

    tables: Mapping[str, Table]
    maps: Mapping[str, np.ndarray]
    frames: np.ndarray
    pixel_size_nm: np.ndarray
    timings_s: Mapping[str, float]
    notes: tuple[str, ...]


@dataclass
class _Book:
    """What is written down while a chunk is measured."""

    timings_s: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class _StageError(Exception):
    """A stage raised; which one, and what."""

    def __init__(self, stage: str, cause: Exception) -> None:
        super().__init__(stage, cause)
        self.stage, self.cause = stage, cause


@dataclass(frozen=True)
class Pipeline:
    """Stages in order, each of which reads what an earlier one writes.

    Raises
    ------
    RecipeError
        There is no stage, or one reads what no earlier stage writes.
    """

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        mistakes = unwritten([("stage", s) for s in self.stages])
        if not self.stages:
            mistakes.append("a pipeline needs at least one stage; found none")
        if mistakes:
            raise RecipeError("\n".join(mistakes))

    @classmethod
    def from_specs(cls, specs: Iterable[Spec]) -> Pipeline:
        """Build the stages from (use, folder, parameters), as a recipe gives them."""
        return cls(
            tuple(
                find("stage", use, Path(folder))(**{k: _frozen(v) for k, v in parameters.items()})
                for use, folder, parameters in specs
            )
        )

    def __repr__(self) -> str:
        return " → ".join(["read", *(s.name.rpartition(".")[2] for s in self.stages)])

    @property
    def whole_series(self) -> bool:
        """Whether frames of one series are to stay together."""
        return wants_series(self.stages)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables of the route, internal ones left out."""
        return tables_of(self.stages)

    @property
    def items(self) -> str:
        """Name of the table whose rows the route counts."""
        return items_of(self.tables)

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch after all stages; whatever a stage raises comes through."""
        for stage in self.stages:
            batch = stage(batch)
        return batch

    def measure(self, frames: Frames, batch: Batch, keep: Sequence[str] = ()) -> Outcome:
        """Measure a batch that was read, and give each frame that fails a problem row.

        Parameters
        ----------
        frames : Frames
            The frames that were to be read; those missing in the batch get their rows here.
        batch : Batch
            As ``frames.read`` gave it.
        keep : sequence of str
            Maps and internal tables to bring to the host.
        """
        book = _Book()
        parts = self._guarded(batch, book) if len(batch) else []
        started = time.perf_counter()
        tables = self._tables(frames, batch, parts, keep)
        whole = [p for p in parts if _finished(p)]
        maps = {name: _kept_map(name, whole) for name in keep if whole and name not in tables}
        book.timings_s["download"] = time.perf_counter() - started
        return Outcome(
            tables=tables,
            maps=maps,
            frames=np.concatenate([p.frames for p in whole]) if whole else np.zeros(0, np.int64),
            pixel_size_nm=np.concatenate([np.zeros((0, 2)), *(p.pixel_size_nm for p in whole)]),
            timings_s=book.timings_s,
            notes=tuple(book.notes),
        )

    def _guarded(self, batch: Batch, book: _Book) -> list[Batch]:
        """Run all stages on a batch, or on ever smaller parts of it where that fails."""
        try:
            return [self._timed(batch, book)]
        except _StageError as raised:
            stage, error = raised.stage, raised.cause.with_traceback(None)
        # out of the except block, where the failed arrays are free again
        exhausted = batch.backend.is_out_of_memory(error)
        if exhausted:
            batch.backend.release()
        whole = self.whole_series
        together = units(batch.records, whole=whole)
        n = len(together)
        if n == 1:
            return [_failed(batch, stage, error)]
        step = (n + 1) // 2 if exhausted else 1
        what = "ran out of memory on" if exhausted else "failed on"
        many = f"{len(batch)} frames" + (f" of {n} series" if whole else "")
        note = f"{stage} {what} {many} from {batch.frames[0]}; went on with {step} at a time"
        log.warning(note)
        book.notes.append(note)
        parts = [sum(together[k : k + step], ()) for k in range(0, n, step)]
        return [done for p in parts for done in self._guarded(_part(batch, p), book)]

    def _timed(self, batch: Batch, book: _Book) -> Batch:
        for stage in self.stages:
            started = time.perf_counter()
            try:
                batch = stage(batch)
                _wait(batch.backend)
            except Exception as error:
                # any stage may be a user's own; its failure is a row, not a crash
                raise _StageError(stage.name, error) from error
            finally:
                spent = time.perf_counter() - started
                book.timings_s[stage.name] = book.timings_s.get(stage.name, 0.0) + spent
        return batch

    def _tables(
        self, frames: Frames, batch: Batch, parts: Sequence[Batch], keep: Sequence[str]
    ) -> dict[str, Table]:
        """Return the tables of the route on the host, in frame order."""
        read = set(batch.frames.tolist())
        unread = [r for r in frames.records if r.frame not in read]
        schemas = {**SCHEMAS, "frames": frames_schema(frames.label_names)}
        tables = {}
        for name in tables_of(self.stages, keep):
            rows = [_host(p.tables[name], p.backend) for p in parts if name in p.tables]
            tables[name] = Table.concat([Table.empty(schemas[name]), *rows])
        lost = frames_table(unread, frames.label_names)
        lost = lost.with_columns({"state": np.full(len(lost), "problem", np.dtypes.StringDType())})
        tables["frames"] = _in_order(Table.concat([tables["frames"], lost]))
        problems = list(batch.problems)
        for p in parts:
            problems += p.problems[len(batch.problems) :]
        rows_ = problem_rows(problems, frames)
        tables["problems"] = _in_order(Table.concat([tables["problems"], rows_]))
        return tables


def merged(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the outcomes of parts of a chunk, in frame order, as one."""
    timings: dict[str, float] = {}
    for outcome in outcomes:
        for stage, seconds in outcome.timings_s.items():
            timings[stage] = timings.get(stage, 0.0) + seconds
    names = [name for o in outcomes for name in o.maps]
    return Outcome(
        tables={n: Table.concat([o.tables[n] for o in outcomes]) for n in outcomes[0].tables},
        maps={
            n: np.concatenate([o.maps[n] for o in outcomes if n in o.maps])
            for n in dict.fromkeys(names)
        },
        frames=np.concatenate([o.frames for o in outcomes]),
        pixel_size_nm=np.concatenate([o.pixel_size_nm for o in outcomes]),
        timings_s=timings,
        notes=tuple(note for o in outcomes for note in o.notes),
    )


def problem_rows(problems: Iterable[Problem], frames: Frames) -> Table:
    """Return the ``problems`` table, with source and page of each frame."""
    records = {r.frame: r for r in frames.records}
    return Table.from_rows(
        PROBLEMS,
        [
            {
                "frame": p.frame,
                "stage": p.stage,
                "reason": p.reason,
                "source": records[p.frame].source,
                "page": records[p.frame].page,
            }
            for p in problems
        ],
    )


def _in_order(table: Table) -> Table:
    return table.take(np.argsort(table["frame"], kind="stable"))


def _part(batch: Batch, frames: Sequence[int]) -> Batch:
    """Return some frames of a batch that has only been read, in its order."""
    rows = np.flatnonzero(np.isin(batch.frames, frames))
    adjoining = len(rows) == rows[-1] - rows[0] + 1
    # a slice shares the memory of the whole
    which = slice(int(rows[0]), int(rows[-1]) + 1) if adjoining else rows
    return Batch(
        images=batch.images[which],
        records=tuple(batch.records[k] for k in rows.tolist()),
        backend=batch.backend,
        maps={name: m[which] for name, m in batch.maps.items()},
        tables={name: t.take(which) for name, t in batch.tables.items()},
        prepared=batch.prepared,
        problems=batch.problems,
    )


def _failed(batch: Batch, stage: str, error: Exception) -> Batch:
    """Return a frame (or series) as a problem: its frames rows, no other row, no map."""
    words = str(error) or "no reason given"
    if not isinstance(error, StempedeError):
        words = f"{type(error).__name__}: {words}"
    frames = batch.tables["frames"].with_columns(
        {"state": np.full(len(batch), "problem", np.dtypes.StringDType())}
    )
    return Batch(
        images=None,
        records=batch.records,
        backend=batch.backend,
        tables={"frames": frames},
        prepared=batch.prepared,
        problems=(
            *batch.problems,
            *(Problem(frame, stage, words[:500]) for frame in batch.frames.tolist()),
        ),
    )


def _finished(batch: Batch) -> bool:
    return batch.images is not None


def _host(table: Table, backend: Backend) -> Table:
    """Return a table with its columns on the host, counted once; strings are there already."""
    columns = {
        name: column
        if backend.is_gpu and isinstance(column, np.ndarray)
        else backend.download(column, "tables")
        for name, column in table.columns.items()
    }
    return Table(table.schema, columns)


def _kept_map(name: str, parts: Sequence[Batch]) -> np.ndarray:
    if name != "images" and any(name not in p.maps for p in parts):
        raise RecipeError(
            f"map '{name}' is to be kept, but its stage wrote none, as its parameters ask; "
            "change them, or leave the map out of --keep"
        )
    maps = [p.images if name == "images" else p.maps[name] for p in parts]
    host = [p.backend.download(m, "maps") for p, m in zip(parts, maps)]
    return np.concatenate(host)


def _wait(backend: Backend) -> None:
    """Let the device finish, so that a stage is charged its own time."""
    if backend.is_gpu:
        backend.xp.cuda.get_current_stream().synchronize()


def _frozen(value: Any) -> Any:
    """Return lists as tuples: what a frozen dataclass holds."""
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value
