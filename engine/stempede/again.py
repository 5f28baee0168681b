"""Reductions, and the few frames that some of them measure again with parameters changed.

A reduction sees the frames numbered as the source lists them, whatever numbers they have in the
run: a session that was watched gives what it gives offline.

The tables of a variation lie in ``RUN/again/<reduction>/<variation>`` like those of a run, so
that a killed run goes on with them and a changed list of exclusions needs none of them anew.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stempede.backend import Backend, one_thread
from stempede.chunk import Chunk, Measuring
from stempede.errors import ResultsError
from stempede.frames import Frames
from stempede.plan import cores
from stempede.recipe import Recipe
from stempede.schedule import run_chunks
from stempede.series import units, wants_series
from stempede.stage import Again, OnDevice, Remeasuring, door
from stempede.tables import MISSING, Table

log = logging.getLogger("stempede")

FOLDER = "again"


class SourceOrder:
    """Numbers of frames in the run, and their places in its source.

    Parameters
    ----------
    frames : Frames
        Of the run, as its source lists them.
    """

    def __init__(self, frames: Frames) -> None:
        self._numbers = np.array([r.frame for r in frames.records], np.int64)
        self._is_same = bool((np.diff(self._numbers) > 0).all())
        self._places = np.empty(1 + int(self._numbers.max(initial=-1)), np.int64)
        self._places[self._numbers] = np.arange(len(self._numbers))

    def placed(self, table: Table) -> Table:
        """Return a table with places for numbers, in their order."""
        if self._is_same or "frame" not in table.schema.names:
            return table
        found = _replaced(table, self._places)
        return found.take(np.argsort(found["frame"], kind="stable"))

    def numbered(self, table: Table) -> Table:
        """Return a table with numbers for places."""
        if self._is_same or "frame" not in table.schema.names:
            return table
        return _replaced(table, self._numbers)

    def chosen(self, wanted: Again) -> Again:
        """Return a choice of places as one of numbers."""
        if self._is_same:
            return wanted
        return replace(wanted, frames=tuple(self._numbers[list(wanted.frames)].tolist()))


def _replaced(table: Table, by: np.ndarray) -> Table:
    """Return a table with other frame numbers; rows that are of no frame stay so."""
    frame = table["frame"]
    return table.with_columns({"frame": np.where(frame == MISSING, MISSING, by[frame])})


def reduced(
    reductions: Iterable[Any],
    read: Callable[[str], Table],
    again: Callable[[Again, str], dict[str, Table]],
    order: SourceOrder,
    backend: Backend,
) -> Iterator[dict[str, Table]]:
    """Yield what each reduction makes of the tables of a run.

    Parameters
    ----------
    reductions : iterable of Reduce
    read : callable
        Returns a table of the run by name.
    again : callable
        Measures what a ``Remeasuring`` reduction of that name asks for.
    order : SourceOrder
    backend : Backend
        Of the run, for reductions that are ``OnDevice``.

    Raises
    ------
    ResultsError
        A reduction failed; everything measured is kept.
    """
    for reduction in reductions:
        tables = {name: order.placed(read(name)) for name in reduction.reads}
        if isinstance(reduction, Remeasuring):
            wanted = order.chosen(reduction.again(tables))
            found = again(wanted, str(reduction.name))  # type: ignore[attr-defined]
            tables |= {name: order.placed(table) for name, table in found.items()}
        try:
            on_device = isinstance(reduction, OnDevice)
            with one_thread():
                made = reduction(tables, backend) if on_device else reduction(tables)
        except Exception as error:
            raise ResultsError(
                f"all frames are measured, but '{reduction.name}' failed "
                f"({type(error).__name__}: {error}); correct it, then resume"
            ) from error
        yield {name: order.numbered(table) for name, table in made.items()}


def measure_again(
    wanted: Again,
    reduction: str,
    recipe: Recipe,
    frames: Frames,
    work: Measuring,
    *,
    workers: int,
    scheduler: str | None,
) -> dict[str, Table]:
    """Measure frames with each variation of a recipe.

    Parameters
    ----------
    wanted : Again
        Frames and variations.
    reduction : str
        Name of the reduction that asks.
    recipe : Recipe
        Of the run.
    frames : Frames
        Of the run.
    work : Measuring
        As the run measured; its stages are replaced.
    workers : int
    scheduler : str or None

    Returns
    -------
    dict of str to Table
        ``frames, <variation>`` and so on, for every table the stages make.
    """
    if not wanted.frames:
        return {}
    whole = wants_series(recipe.of_kind("stage"))
    together = {n: u for u in units(frames.records, whole=whole) for n in u}
    chunks = [
        Chunk(k, replace(frames.select(sorted(together[n])), notes=()))
        for k, n in enumerate(wanted.frames)
    ]
    folders, works, tasks = {}, {}, []
    for variation, assignments in wanted.variations.items():
        changed = recipe.set(*assignments)
        results = folders[variation] = _folder(work.run, reduction, variation, changed, wanted)
        specs = changed.specs("stage")
        works[variation] = replace(work, run=str(results.path), specs=specs, keep=())
        done = results.done_chunks()
        tasks += [_VariedChunk(variation, c) for c in chunks if c.number not in done]
    if tasks:
        log.info("%s measures %d frames again, %s", reduction, len(chunks), _listed(wanted))
    place = {"workers": max(1, min(workers, len(tasks))), "threads": max(1, cores() // workers)}
    summaries = run_chunks(tasks, _Varied(works), scheduler=scheduler, **place)
    with contextlib.closing(summaries):
        for _ in summaries:
            pass
    return {
        f"{table}, {variation}": results.read(table)
        for variation, results in folders.items()
        for table in results.tables()
    }


@dataclass(frozen=True)
class _VariedChunk:
    """A chunk and the variation it is measured with."""

    variation: str
    chunk: Chunk


@dataclass(frozen=True)
class _Varied:
    """Work of several variations, done by one set of workers."""

    works: Mapping[str, Measuring]

    def read(self, task: _VariedChunk) -> Any:
        return self.works[task.variation].read(task.chunk)

    def compute(self, task: _VariedChunk, loaded: Any) -> dict[str, Any]:
        return self.works[task.variation].compute(task.chunk, loaded)

    def again(self, task: _VariedChunk) -> _VariedChunk:
        return replace(task, chunk=self.works[task.variation].again(task.chunk))


def _listed(wanted: Again) -> str:
    return " and ".join(f"with {variation}" for variation in wanted.variations)


def _folder(run: str, reduction: str, variation: str, recipe: Recipe, wanted: Again) -> Any:
    """Return the results of a variation: those that are there, or new ones."""
    home = door("results")(run).path / FOLDER / reduction / variation.replace(" ", "_")
    content: Mapping[str, Any] = {
        "recipe": recipe.to_toml(),
        "recipe_hash": recipe.hash,
        "frames": list(wanted.frames),
    }
    if (home / "run.json").is_file():
        results = door("results")(home)
        if all(results.run.get(k) == v for k, v in content.items()):
            return results
        results.discard()
    home.parent.mkdir(parents=True, exist_ok=True)
    results = door("results").create(home, content)
    results.lock.release()
    return results
