"""Session: one run of a recipe over frames into a folder; what a notebook uses too.

session = stempede.Session.open("images/", recipe="particles", out="run")
session.run()
session.table("particles").to_pandas()
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stempede.again import SourceOrder, measure_again, reduced
from stempede.backend import DEVICES, Backend
from stempede.chunk import Chunk, Measuring
from stempede.curate import curate, read_exclusions
from stempede.errors import InputError, ResultsError
from stempede.frames import Frames
from stempede.pipeline import Pipeline
from stempede.plan import Plan, cores, make_plan
from stempede.prepare import prepare_run
from stempede.provenance import beginning, now, totals, unchanged_recipe
from stempede.recipe import Recipe
from stempede.route import kept, maps_of
from stempede.schedule import run_chunks
from stempede.stage import Again, door
from stempede.tables import Table

log = logging.getLogger("stempede")

Progress = Callable[[int, int, int, float], None]
"""Called with frames done, frames in all, items found, seconds spent."""


@dataclass(frozen=True)
class RunOptions:
    """Where and how a run happens; none of it changes a number.

    Parameters
    ----------
    device : {"auto", "cpu", "gpu"}
    workers : int, optional
        Processes; 0 and 1 work in this one. By default one per core, or per card.
    scheduler : str, optional
        Address of a Dask scheduler.
    memory_bytes : int, optional
        Of all processes together; by default a share of what is free.
    keep : tuple of str, optional
        Maps and internal tables to write; by default ``labels`` where the recipe makes them.
    """

    device: str = "auto"
    workers: int | None = None
    scheduler: str | None = None
    memory_bytes: int | None = None
    keep: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise InputError(f"device is one of {', '.join(DEVICES)}; found '{self.device}'")
        if self.workers is not None and self.workers < 0:
            raise InputError(f"workers is 0 or more; found {self.workers}; correct --workers")
        if self.memory_bytes is not None and self.memory_bytes <= 0:
            raise InputError(f"memory is above 0; found {self.memory_bytes}; correct --memory")


class Session:
    """Recipe, frames, options and destination of one run.

    Parameters
    ----------
    recipe : Recipe, str or Path
        A recipe, the name of a shipped one, or a TOML file.
    frames : Frames
    out : str or Path
        Run folder; made by ``run``.
    options : RunOptions
    provenance : mapping
        More for ``run.json`` (``command``, ``source_options``).

    Raises
    ------
    RecipeError, InputError, BackendError
        Something cannot be had; nothing has been written.
    """

    def __init__(
        self,
        recipe: Recipe | str | Path,
        frames: Frames,
        out: str | Path,
        options: RunOptions = RunOptions(),
        *,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
        self.frames, self.options = frames, options
        self.out = Path(out).absolute()
        self.provenance = dict(provenance or {})
        self.pipeline = Pipeline(self.recipe.of_kind("stage"))
        reduces = self.recipe.of_kind("reduce")
        self.keep = kept(options.keep, self.pipeline.stages, reduces)
        self._results: Any = None
        self._exclusions: list[dict[str, Any]] | None = None

    @classmethod
    def open(
        cls,
        source: Any,
        recipe: Recipe | str | Path = "particles",
        out: str | Path = "run",
        options: RunOptions = RunOptions(),
        *,
        provenance: Mapping[str, Any] | None = None,
        **source_options: Any,
    ) -> Session:
        """Return a session over any source of images; ``source_options`` go to ``open_frames``."""
        frames = door("open_frames")(source, **source_options)
        given = {k: v for k, v in source_options.items() if v is not None}
        known = {"source_options": given, **(provenance or {})}
        return cls(recipe, frames, out, options, provenance=known)

    @classmethod
    def resume(
        cls,
        out: str | Path,
        *,
        exclude: str | Path | Iterable[Mapping[str, Any]] | None = None,
        frames: Frames | None = None,
        recipe: Recipe | str | Path | None = None,
        options: RunOptions | None = None,
    ) -> Session:
        """Return the session of a run folder, to be continued by ``run``.

        Parameters
        ----------
        out : path
        exclude : path or rows, optional
            ``frame, particle | y0 x0 y1 x1, reason``: particles to set aside. Only the
            reductions run again. A later list replaces an earlier one.
        frames : Frames, optional
            Lends its reader where the run's own was not one of this package.
        recipe : optional
            What the caller believes the recipe to be; refused where it differs.
        options : RunOptions, optional
            Workers and scheduler of the rest, where given; device, chunks and maps stay.

        Raises
        ------
        ResultsError
            There is no run, or its recipe has changed: the difference is shown.
        """
        results = door("results")(out)
        run = results.run
        if run.get("watching"):
            raise ResultsError(
                f"{results.path} was watched and is not settled; continue with "
                f"'stempede resume {results.path}', or stempede.live.resume from Python"
            )
        changes = {k: getattr(options, k, None) for k in ("workers", "scheduler")}
        changes = {k: v for k, v in changes.items() if v is not None}
        planned = {**run["options"], "keep": tuple(run["options"]["keep"])}
        stored = RunOptions(**{**planned, **changes})
        session = cls(unchanged_recipe(run, recipe), results.frames(frames), out, stored)
        session._results = results
        if exclude is not None:
            session._exclusions = read_exclusions(exclude)
        return session

    @property
    def results(self) -> Any:
        """The run folder; raises a ``ResultsError`` where nothing has run yet."""
        return self._results if self._results is not None else door("results")(self.out)

    def table(self, name: str) -> Table:
        """Return a table of the run; ``.to_pandas()`` and ``.to_polars()`` convert it."""
        found: Table = self.results.read(name)
        return found

    def plan(self, *, measure: bool = False) -> Plan:
        """Return what a run would do, without writing anything.

        Parameters
        ----------
        measure : bool
            Measure one frame to estimate the time.

        Raises
        ------
        StempedeError
            A stage cannot run here: each that can tell beforehand is asked.
        """
        backend = Backend.choose(self.options.device)
        for stage in self.pipeline.stages:
            if hasattr(stage, "check"):
                stage.check()
        plan = make_plan(
            self.frames,
            backend,
            workers=self.options.workers,
            memory_bytes=self.options.memory_bytes,
            n_maps=len(set(self.keep).intersection(maps_of(self.pipeline.stages))),
            whole_series=self.pipeline.whole_series,
        )
        if not measure or not plan.sample:
            return plan
        # the first call compiles; the second is what its frames cost
        for _ in range(2):
            started = time.perf_counter()
            some = plan.frames.select(plan.sample)
            self.pipeline.measure(some, some.read(plan.sample, backend), self.keep)
            spent = (time.perf_counter() - started) / len(plan.sample)
        return replace(plan, seconds=spent * len(plan.frames.readable) / plan.workers)

    def run(self, progress: Progress | None = None) -> Any:
        """Measure all frames that are not measured yet, then run the reductions.

        Returns
        -------
        Results
            The run folder.

        Raises
        ------
        StempedeError
            Nothing was started (no folder is left), or the run stopped and can be resumed.
        KeyboardInterrupt
            Ctrl-C; its text says how to resume.
        """
        fresh = self._results is None
        results = self._created() if fresh else self._results
        if self.finished and self._exclusions is None:
            log.info("%s is finished already; nothing is left to do", self.out)
            return results
        if not fresh:
            results.lock.acquire()
        with self._ending(results, fresh=fresh):
            results.sweep()
            run = results.run
            if len(results.done_chunks()) < len(run["chunks"]):
                results.update(state="running")
                self._measure(results, run, progress)
            self._reduce(results)
        return results

    @property
    def finished(self) -> bool:
        """Whether the run is measured and reduced."""
        return bool(self.results.run["state"] == "done" and self.results.run["reduced"])

    def _created(self) -> Any:
        """Plan the run and make its folder; until then nothing is written."""
        plan = self.plan()
        self.frames = plan.frames
        content = beginning(
            self.recipe,
            self.frames,
            {
                "options": {**asdict(self.options), "keep": list(self.keep)},
                "device": plan.backend,
                "workers": plan.workers,
                "threads": plan.threads,
                "chunks": [list(c) for c in plan.chunks],
                **self.provenance,
            },
        )
        self._results = door("results").create(self.out, content, self.frames)
        return self._results

    @contextlib.contextmanager
    def _ending(self, results: Any, *, fresh: bool) -> Iterator[None]:
        """Write down how the run ended, whatever ended it."""
        started, before = time.perf_counter(), results.run
        try:
            yield
            self._close(results, before, started, "done")
        except BaseException as error:
            if fresh and not results.done_chunks() and isinstance(error, Exception):
                results.discard()
                self._results = None
                raise
            # a list of exclusions that was refused leaves a finished run as it was
            untouched = before["state"] == "done" and results.run["reduced"]
            with contextlib.suppress(ResultsError):
                self._close(results, before, started, "done" if untouched else "interrupted")
            if isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt(self._how_to_resume(results)) from None
            raise
        finally:
            results.lock.release()

    def _close(self, results: Any, before: Mapping[str, Any], started: float, state: str) -> None:
        spent = before["wall_s"] + time.perf_counter() - started
        facts = totals(results.summaries())
        results.update(state=state, wall_s=spent, finished_at=now(), **facts)

    def _how_to_resume(self, results: Any) -> str:
        done, chunks = len(results.done_chunks()), len(results.run["chunks"])
        return (
            f"interrupted: {done} of {chunks} chunks are measured and kept; "
            f"continue with 'stempede resume {self.out}'"
        )

    def _measure(self, results: Any, run: Mapping[str, Any], progress: Progress | None) -> None:
        """Measure the chunks that are not done; workers write them, summaries come back."""
        started = time.perf_counter()
        work = self._work(results, run)
        done = results.done_chunks()
        tasks = self._chunks(run, done)
        workers = max(1, min(self._workers(run), len(tasks)))
        finished = sum(len(run["chunks"][k]) for k in done)
        items = sum(s[self.pipeline.items] for s in results.summaries()) if done else 0
        place = {"workers": workers, "threads": max(1, cores() // workers)}
        summaries = run_chunks(tasks, work, scheduler=self.options.scheduler, **place)
        with contextlib.closing(summaries):
            for summary in summaries:
                finished += summary["frames"]
                items += summary[self.pipeline.items]
                if progress is not None:
                    progress(finished, run["n_frames"], items, time.perf_counter() - started)
        results.update(measure_s=run["measure_s"] + time.perf_counter() - started)

    def _work(self, results: Any, run: Mapping[str, Any]) -> Measuring:
        """Return what a worker does with each chunk."""
        device = run["device"].partition(" ")[0]
        prepared = prepare_run(results, self.recipe, self.frames, Backend.choose(device))
        return Measuring(str(self.out), self.recipe.specs("stage"), prepared, device, self.keep)

    def _workers(self, run: Mapping[str, Any]) -> int:
        asked = self.options.workers
        return int(run["workers"]) if asked is None else asked

    def _chunks(self, run: Mapping[str, Any], done: set[int]) -> list[Chunk]:
        """Return the chunks of the plan that are still to be measured."""
        records = {r.frame: r for r in self.frames.records}
        return [
            Chunk(k, replace(self.frames, records=tuple(records[n] for n in numbers), notes=()))
            for k, numbers in enumerate(run["chunks"])
            if k not in done
        ]

    def _reduce(self, results: Any) -> None:
        """Apply exclusions, then run the reductions over the tables of the whole run."""
        run = results.run
        exclusions = run.get("exclusions") if self._exclusions is None else self._exclusions
        if exclusions is not None:
            curate(results, exclusions, run["chunks"])

        def again(wanted: Again, reduction: str) -> dict[str, Table]:
            return measure_again(
                wanted,
                reduction,
                self.recipe,
                self.frames,
                self._work(results, run),
                workers=self._workers(run),
                scheduler=self.options.scheduler,
            )

        backend = Backend.choose(run["device"].partition(" ")[0])
        order, reductions = SourceOrder(self.frames), self.recipe.of_kind("reduce")
        for made in reduced(reductions, results.read, again, order, backend):
            for name, table in made.items():
                whole = name in self.pipeline.tables
                results.write_table(name, table, run["chunks"] if whole else ())
        results.update(reduced=True)
