"""Preparing: what frames are measured with, from the first frame on where the recipe allows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stempede.backend import Backend
from stempede.frames import FrameRecord
from stempede.live.events import Events
from stempede.live.intake import Intake
from stempede.live.queue import Queue
from stempede.prepare import FirstUsable, prepare_run
from stempede.recipe import Recipe
from stempede.stage import door

Prepared = Mapping[str, Mapping[str, Any]]


class Preparing:
    """Runs the Prepares once there are enough frames that can be read.

    Where every Prepare can tell whether two of its results agree, frames are measured before
    that with what the first of them gives.

    Parameters
    ----------
    results : Results
    recipe : Recipe
    queue : Queue
    intake : Intake
    events : Events
    backend : Backend
    """

    def __init__(
        self,
        results: Any,
        recipe: Recipe,
        queue: Queue,
        intake: Intake,
        events: Events,
        backend: Backend,
    ) -> None:
        self.results, self.recipe, self.backend = results, recipe, backend
        self.queue, self.intake, self.events = queue, intake, events
        self.found: Prepared | None = None
        self.is_settled = False
        self._prepares = recipe.of_kind("prepare")
        self._begins_early = all(hasattr(p, "agree") for p in self._prepares)

    @property
    def needs(self) -> int:
        """Frames that the Prepares are run on."""
        return self.recipe.prepare_frames if self._prepares else 0

    def look(self) -> bool:
        """Find what can be found now; whether it is something else than was found before."""
        if self.is_settled:
            return False
        if not self._prepares or self.results.run["prepared"]:
            return self._settle([])
        wanted = self.needs if self.found is not None or not self._begins_early else 1
        first = self._sound(self.needs)
        if len(first) == self.needs:
            return self._settle(first)
        if len(first) < wanted:
            return False
        frames = self.intake.frames(first[:wanted])
        self.found = FirstUsable(frames, wanted, self.backend).find_all(self._prepares)
        return True

    def _sound(self, most: int) -> list[FrameRecord]:
        """Return the first frames that can be read."""
        sound = (n for n in sorted(self.queue.records) if self.intake.is_sound(n))
        return [self.queue.records[n] for _, n in zip(range(most), sound)]

    def _settle(self, records: list[FrameRecord]) -> bool:
        """Keep for good what these frames give, in the order of an offline run."""
        records = sorted(records, key=_offline_order)
        if records:
            self.queue.prepared(r.frame for r in records)
            self.events("prepared", frames=[r.frame for r in records])
        frames = self.intake.frames(records)
        before, self.found = (
            self.found,
            prepare_run(self.results, self.recipe, frames, self.backend),
        )
        self.is_settled = True
        return before is None or not self._agree(before, self.found)

    def _agree(self, a: Prepared, b: Prepared) -> bool:
        return all(p.agree(a[p.name], b[p.name]) for p in self._prepares)


def _offline_order(record: FrameRecord) -> tuple[Any, int]:
    return door("natural_key")(record.source), record.page
