"""Watch: measure frames as they appear, by the stages and into the tables of ``run``."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stempede.backend import Backend
from stempede.chunk import Chunk
from stempede.errors import InputError, ResultsError
from stempede.frames import Frames
from stempede.live.loop import Loop
from stempede.live.sources import FolderSource, StackSource, source_of
from stempede.live.stopping import Goal
from stempede.pipeline import Pipeline
from stempede.plan import cores
from stempede.provenance import beginning, now, unchanged_recipe
from stempede.recipe import Recipe
from stempede.route import kept
from stempede.schedule import Standing
from stempede.session import RunOptions
from stempede.stage import door

log = logging.getLogger("stempede")

POLICIES = ("all", "latest-first")


@dataclass(frozen=True)
class Watching:
    """How a source is watched; none of it changes a number that is measured.

    Parameters
    ----------
    policy : {"all", "latest-first"}
        Order in which frames that wait are measured; none is left out.
    quiet_s : float
        A file that nobody closed is whole when it has not changed for so long.
    give_up_s : float
        A file that cannot be read and has not changed for so long becomes a problem row.
    poll_s : float
        The folder is read at least so often.
    idle_s : float, optional
        End when nothing has come for so long and everything is measured.
    frames : int, optional
        End after so many frames.
    goals : tuple of Goal
    end_when_enough : bool
        End when all goals are reached.
    listen : bool
        Be told of changes by the system where it does that.
    """

    policy: str = "all"
    quiet_s: float = 0.5
    give_up_s: float = 60.0
    poll_s: float = 1.0
    idle_s: float | None = None
    frames: int | None = None
    goals: tuple[Goal, ...] = ()
    end_when_enough: bool = False
    listen: bool = True

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise InputError(f"--policy is one of {', '.join(POLICIES)}; found '{self.policy}'")


class Watch:
    """A run over a source that fills; begun anew, or gone on with where it was left.

    Parameters
    ----------
    source : str
        Folder or zarr stack.
    recipe : Recipe
    out : path
        Run folder: new, empty, or one that was watched before.
    options : RunOptions
    watching : Watching
    source_options : mapping
        As ``open_frames`` takes them.
    events : str, optional
        Where events go besides the run folder: a file, or ``-``.
    provenance : mapping
        More for ``run.json``.

    Raises
    ------
    StempedeError
        Something cannot be had; nothing has been written.
    """

    def __init__(
        self,
        source: str,
        recipe: Recipe,
        out: str | Path,
        options: RunOptions | None = None,
        watching: Watching = Watching(),
        *,
        source_options: Mapping[str, Any] | None = None,
        events: str | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.recipe, self.watching = recipe, watching
        self.options = options = options or RunOptions()
        self.out = Path(out).absolute()
        self.source_options = {k: v for k, v in (source_options or {}).items() if v is not None}
        self.pipeline = Pipeline(recipe.of_kind("stage"))
        self.keep = kept(options.keep, self.pipeline.stages, recipe.of_kind("reduce"))
        self.backend = Backend.choose(options.device)
        self.workers = (
            (1 if self.backend.is_gpu else cores())
            if options.workers is None
            else (max(1, options.workers))
        )
        self.events_to, self._provenance = events, dict(provenance or {})
        settings: dict[str, Any] = {"quiet_s": watching.quiet_s}
        self.source: FolderSource | StackSource = source_of(
            source,
            self.source_options,
            poll_s=watching.poll_s,
            listen=watching.listen,
            **settings,
        )

    def run(self, stop: threading.Event | None = None) -> Any:
        """Measure what comes until told to stop; what is left is in the queue on disk.

        Parameters
        ----------
        stop : threading.Event, optional
            Set to end after the frames under way.

        Returns
        -------
        Results
            The run folder, not settled: ``stempede.live.resume`` does that.
        """
        results = self._opened()
        try:
            with self._standing() as standing:
                Loop(self, results, standing, stop or threading.Event()).run()
        finally:
            with contextlib.suppress(ResultsError):
                results.update(state="interrupted", finished_at=now())
            results.lock.release()
        return results

    @contextlib.contextmanager
    def _standing(self) -> Iterator[Standing[Chunk]]:
        threads = max(1, cores() // self.workers)
        standing: Standing[Chunk] = Standing(self.workers, self.options.scheduler, threads)
        try:
            yield standing
        finally:
            standing.close()

    def _opened(self) -> Any:
        """Return the run folder, locked: a new one, or the one that this goes on with."""
        there = (self.out / "run.json").is_file()
        results = door("results")(self.out) if there else self._created()
        if there:
            run = results.run
            if run.get("live", {}).get("source") != self.source.root:
                raise ResultsError(
                    f"wanted a run that watched {self.source.root}, found another in {self.out}; "
                    f"choose another --out"
                )
            unchanged_recipe(run, self.recipe)
            results.lock.acquire()
            results.sweep()
        try:
            results.update(state="running", watching=True, reduced=False)
        except BaseException:
            results.lock.release()
            raise
        return results

    def _created(self) -> Any:
        labels = door("announced_labels")(self.source_options)
        frames = Frames(
            (), door("reader")(self.source_options.get("signal")), self.source.root, (), labels
        )
        content = beginning(
            self.recipe,
            frames,
            {
                "options": {**asdict(self.options), "keep": list(self.keep)},
                "device": f"{self.backend.name} ({self.backend.reason})",
                "workers": self.workers,
                "threads": max(1, cores() // self.workers),
                "chunks": [],
                "source_options": self.source_options,
                "live": {
                    "source": self.source.root,
                    "policy": self.watching.policy,
                    "goals": [str(g) for g in self.watching.goals],
                },
                "watching": True,
                **self._provenance,
            },
        )
        return door("results").create(self.out, content, frames)
