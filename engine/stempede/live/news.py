"""News: what a watched run says of itself: events, flags, goals, and how far it is."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stempede.errors import StempedeError
from stempede.live.events import Events
from stempede.live.provisional import Provisional
from stempede.live.quality import Alerts
from stempede.live.queue import FOLDER
from stempede.live.stopping import Goal, Verdict
from stempede.live.tally import Tally, verdict_facts
from stempede.provenance import now
from stempede.stage import door

STATUS_S = 0.2
RATE_S = 30.0
"""Time over which frames per second are counted."""


class News:
    """Writes what is new of a watched run.

    Parameters
    ----------
    run : Path
        Run folder.
    alerts : Alerts
    tally : Tally
    events : Events
    goals : sequence of Goal
    """

    def __init__(
        self, run: Path, alerts: Alerts, tally: Tally, events: Events, goals: Sequence[Goal]
    ) -> None:
        self._run, self.tally, self.events, self._goals = run, tally, events, goals
        self.provisional = Provisional(run)
        self.reached: dict[str, int] = {}
        self._alerts = alerts
        self._verdicts: list[Verdict] = []
        self._latency: deque[float] = deque(maxlen=50)
        self._ended_at: deque[float] = deque(maxlen=200)
        self._next_status = 0.0

    def recovered(self) -> None:
        """Take what an earlier watcher has measured; none of it is news."""
        while self.tally.refresh():
            pass
        self._alerts.update(self.tally, at_once=True)

    def measured(self, frames: Sequence[int], seen_s: dict[int, float]) -> None:
        """Say that frames are measured, and how long that took since they were there."""
        now_s = time.monotonic()
        for frame in frames:
            facts = self.tally.frames[frame].facts
            latency = now_s - seen_s.get(frame, now_s)
            self._latency.append(latency)
            self._ended_at.append(now_s)
            items = "n_columns" if facts["n_particles"] in (None, -1) else "n_accepted"
            self.events(
                "measured",
                frame=frame,
                source=facts["source"],
                page=facts["page"],
                state=facts["state"],
                accepted=facts[items],
                latency_s=round(latency, 3),
            )
            if facts["state"] != "measured":
                reasons = [p for p in self.tally.problems if p["frame"] == frame]
                self.events("problem", **(reasons[0] if reasons else {"frame": frame}))
        self._judge()

    def refresh(self, *, can_reduce: bool) -> None:
        """Keep provisional results young, and say what they flag."""
        fresh = self.provisional.update(len(self.tally.frames), can_reduce)
        if self.provisional.failure:
            self.events("problem", stage="provisional results", reason=self.provisional.failure)
        self._flag()
        if fresh:
            self._judge()

    def stop(self) -> None:
        """End what is being made, and say what is still to be said."""
        self.provisional.stop()
        self._flag(at_once=True)

    def _flag(self, *, at_once: bool = False) -> None:
        known = self.provisional.tables().get("frames")
        for alert in self._alerts.update(self.tally, known, at_once=at_once):
            self.events("flag", **alert)

    def _judge(self) -> None:
        """See which goals are reached; each is said once."""
        if not self._goals:
            return
        tables = self.provisional.tables()
        self._verdicts = [self.tally.judge(g, tables) for g in self._goals]
        for verdict in self._verdicts:
            name = str(verdict.goal)
            if verdict.enough and name not in self.reached:
                self.reached[name] = verdict.n_frames
                self.events("enough", **verdict_facts(verdict))

    @property
    def enough(self) -> bool:
        """Whether every goal was reached, there being any."""
        return bool(self._goals) and len(self.reached) == len({str(g) for g in self._goals})

    def status(self, *, force: bool = False, **facts: Any) -> None:
        """Write how far this is, for the page and for scripts, a few times a second."""
        now_s = time.monotonic()
        if now_s < self._next_status and not force:
            return
        self._next_status = now_s + STATUS_S
        recent = [t for t in self._ended_at if now_s - t < RATE_S]
        span = max(now_s - recent[0], 1.0) if recent else 1.0
        latency = sorted(self._latency)
        status = {
            "at": now(),
            "frames_per_s": round(len(recent) / span, 3),
            "latency_s": round(latency[len(latency) // 2], 3) if latency else None,
            "latency_worst_s": round(latency[-1], 3) if latency else None,
            "goals": [
                {**verdict_facts(v), "reached_at": self.reached.get(str(v.goal))}
                for v in self._verdicts
            ],
            "events": list(self.events.last)[-20:],
            "provisional_frames": self.provisional.frames,
            **facts,
        }
        with contextlib.suppress(StempedeError):
            door("write_json")(self._run / FOLDER / "status.json", status)
