"""Loop: what goes on while a source is watched."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from stempede.chunk import Chunk, Measuring
from stempede.errors import ResultsError
from stempede.live.events import Events
from stempede.live.intake import Intake
from stempede.live.news import News
from stempede.live.preparing import Prepared, Preparing
from stempede.live.quality import Alerts, flagging, size_of
from stempede.live.queue import Queue
from stempede.live.rehearsal import rehearse
from stempede.live.tally import Tally, load_libraries
from stempede.live.turn import Turn
from stempede.schedule import Standing

if TYPE_CHECKING:
    from stempede.live.watch import Watch

log = logging.getLogger("stempede")

TICK_S = 0.03
LONGEST_PAUSE_S = 30.0


class Loop:
    """Takes frames, has them measured, says so; until told to stop.

    Parameters
    ----------
    watch : Watch
    results : Results
        Its run folder, locked.
    standing : Standing
    stop : threading.Event
    """

    def __init__(
        self, watch: Watch, results: Any, standing: Standing[Chunk], stop: threading.Event
    ) -> None:
        self.watch, self.results, self.standing, self.stop = watch, results, standing, stop
        how = watch.watching
        self.queue = Queue(results.path)
        self.events = Events(results.path, watch.events_to)
        text = watch.recipe.to_toml()
        self.tally = Tally(results, size_of(text))
        self.intake = Intake(watch.source, self.queue, self.events, how.give_up_s)
        self.preparing = Preparing(
            results, watch.recipe, self.queue, self.intake, self.events, watch.backend
        )
        self.turn = Turn(self.queue, watch.pipeline, watch.workers, how.policy)
        alerts = Alerts(flagging(text))
        self.news = News(results.path, alerts, self.tally, self.events, how.goals)
        self.work: Measuring | None = None
        self._done: set[int] = set()
        self._again: set[int] = set()
        self._pause_s, self._resume_at = 1.0, 0.0
        self._last_done_s, self._looked = time.monotonic(), False

    def run(self) -> None:
        """Turn until told to stop, or until there is an end."""
        source = self.watch.source
        source.report = self.events
        self.standing.when_done = source.wake.set
        self.standing.warm(partial(rehearse, self._measuring({})))
        load_libraries()
        source.start()
        self._recover()
        self.events("started", source=source.root, known=len(self.queue), policy=self.turn.policy)
        try:
            while not self.stop.is_set() and not self._is_over():
                if not self._turn():
                    source.wake.wait(TICK_S)
                    source.wake.clear()
            while len(self.standing):
                self._collect()
                time.sleep(TICK_S)
        finally:
            source.stop()
            self.news.stop()
            self._status("stopped", force=True)
            self.events("stopped", measured=len(self._done), waiting=len(self.queue.waiting))

    def _recover(self) -> None:
        """Go on where a watcher was left: chunks that are not done are measured."""
        if not self.results.run["prepared"] and self.preparing.needs:
            # measured with what the first frame gave, and nobody knows what that was
            for number in self.results.done_chunks():
                self.results.undo(number)
        done = self.results.done_chunks()
        self.news.recovered()
        self._done = self.queue.finished(done)
        self._again = set(range(len(self.queue.chunks))) - done

    def _turn(self) -> bool:
        """Do what there is to do; whether anything was."""
        before = len(self.queue), len(self._done), len(self.standing)
        try:
            self._collect()
            if time.monotonic() >= self._resume_at:
                for n in self.intake.look():
                    number = self.queue.chunk_of(n)
                    self._again |= set() if number is None else {number}
                if self._prepared():
                    self._start()
        except ResultsError as error:
            self._hold(error)
        self.news.refresh(can_reduce=self.work is not None)
        self._status("watching")
        self._looked = True
        return before != (len(self.queue), len(self._done), len(self.standing))

    def _hold(self, error: Exception) -> None:
        """Wait before the disk is tried again, longer each time; nothing is lost meanwhile."""
        self._resume_at = time.monotonic() + self._pause_s
        self.events("problem", stage="write", reason=str(error), retry_s=self._pause_s)
        log.warning("%s; tried again in %g s", error, self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _prepared(self) -> bool:
        """Whether there is something to measure frames with."""
        if self.preparing.look():
            if self.work is not None:
                self._again |= set(range(len(self.queue.chunks)))
            self.work = self._measuring(self.preparing.found or {})
        return self.work is not None

    def _measuring(self, prepared: Prepared) -> Measuring:
        run, specs = str(self.results.path), self.watch.recipe.specs("stage")
        return Measuring(run, specs, prepared, self.watch.backend.name, self.watch.keep)

    def _start(self) -> None:
        """Give chunks to workers that are free."""
        assert self.work is not None
        under_way = {c.number for c in self.standing.tasks}
        room = self.turn.room(len(self.queue.waiting) + len(self._again))
        while len(self.standing) < room:
            number = self._next(under_way)
            if number is None:
                return
            self._again.discard(number)
            self.results.undo(number)
            under_way.add(number)
            records = [self.queue.records[n] for n in self.queue.chunks[number]]
            self.standing.submit(Chunk(number, self.intake.frames(records)), self.work)

    def _next(self, under_way: set[int]) -> int | None:
        """Return a chunk: one that is measured again, or one of frames that wait."""
        again = min(self._again - under_way, default=None)
        if again is not None and not self.turn.is_newest_first:
            return again
        frames = self.turn.next(self.intake.is_readable)
        return self.queue.chunk(frames, self.turn.number_of(frames)) if frames else again

    def _collect(self) -> None:
        """Take what workers have finished."""
        for chunk, outcome in self.standing.finished():
            if isinstance(outcome, Exception):
                self._again.add(chunk.number)
                if not isinstance(outcome, ResultsError):
                    raise outcome
                self._hold(outcome)
                continue
            self._pause_s, self._last_done_s = 1.0, time.monotonic()
            frames = self.tally.add(chunk.number)
            self._done |= set(frames)
            self.news.measured(frames, self.queue.seen_s)

    def _is_over(self) -> bool:
        how = self.watch.watching
        if how.frames is not None and len(self._done) >= how.frames:
            return True
        if how.end_when_enough and self.news.enough:
            return True
        last = max(self.intake.last_news_s, self._last_done_s)
        idle = how.idle_s is not None and time.monotonic() - last > how.idle_s and self._looked
        coming = self.intake.sights or self.intake.source.is_changing
        empty = not len(self.standing) and not coming and not self._again
        return idle and empty and (not self.queue.waiting or self.work is None)

    def _status(self, state: str, *, force: bool = False) -> None:
        self.news.status(
            force=force,
            state=state,
            seen=len(self.queue),
            measured=len(self._done),
            backlog=len(self.queue) - len(self._done),
            incomplete=self.intake.pending,
            preparing=None if self.work is not None else [len(self.queue), self.preparing.needs],
            policy=self.turn.policy,
        )
