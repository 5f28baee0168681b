"""Tally: what the frames of a watched run say so far, kept up to date part by part.

It reads the parts that chunks have written, each once, so that any process can have it: the
watcher for its stopping rule, the page for its curves.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stempede.arrow import from_arrow, to_arrow
from stempede.live.stopping import Estimate, Goal, Running, Verdict, judge, judge_difference
from stempede.live.tilts import TILT_FIELDS, core_shell, oriented_tilts
from stempede.stage import door
from stempede.tables import FRAMES, Table

FACTS = (
    "frame source page state sample area series acquired_at pixel_size_nm height_px width_px "
    "polarity n_particles n_accepted n_columns focus noise background valid_fraction scale_px "
    "saturated_fraction unevenness streaks dose_e_per_A2 cumulative_dose_e_per_A2"
).split()
"""Fields of ``frames`` that are kept of each frame."""

PROBLEM = ("frame", "stage", "reason", "source")


@dataclass(frozen=True)
class Seen:
    """One measured frame.

    Parameters
    ----------
    facts : mapping
        Its row of ``frames``.
    sizes : (n,) float64 array
        Headline sizes of accepted particles, in ``unit``; of the columns route staggered tilts,
        oriented, in deg.
    weights : (n,) float64 array
    unit : str
    """

    facts: Mapping[str, Any]
    sizes: np.ndarray
    weights: np.ndarray
    unit: str

    @property
    def sums(self) -> np.ndarray:
        """Sums of weights, weighted sizes and their squares."""
        w, x = self.weights, self.sizes
        return np.array([w.sum(), (w * x).sum(), (w * x * x).sum()])


@dataclass
class Curve:
    """The estimates after each frame, in the order in which they were measured."""

    n: list[int] = field(default_factory=list)
    mean: list[Estimate] = field(default_factory=list)
    spread: list[Estimate] = field(default_factory=list)


class Tally:
    """Frames of a run and the running estimates over them.

    Parameters
    ----------
    results : Results
        Run folder.
    size : str
        Headline size measure.
    """

    def __init__(self, results: Any, size: str = "major_axis") -> None:
        self.results, self.size = results, size
        self.frames: dict[int, Seen] = {}
        self.problems: list[dict[str, Any]] = []
        self.curve = Curve()
        self.version = 0
        self._parts: dict[int, tuple[int, ...]] = {}
        self._stamps: dict[int, int] = {}
        self._reset()

    def _reset(self) -> None:
        self._mean, self._spread = Running(), Running("relative_sd")
        self._samples: dict[str, Running] = {}
        self.curve = Curve()
        self.unit = ""

    def refresh(self, most: int = 400) -> list[int]:
        """Read at most so many parts that are new or were written again; returns their frames."""
        fresh: list[int] = []
        for number, stamp in self._written().items():
            if self._stamps.get(number) == stamp:
                continue
            if len(fresh) >= most:
                break
            fresh += self.add(number)
            self._stamps[number] = stamp
        return fresh

    def _written(self) -> dict[int, int]:
        """Return when each part that marks a chunk done was written, in that order."""
        found = []
        for path in (self.results.path / "frames").glob("part-*.parquet"):
            try:
                found.append((path.stat().st_mtime_ns, int(path.stem.removeprefix("part-"))))
            except FileNotFoundError:
                continue
        return {number: stamp for stamp, number in sorted(found)}

    def add(self, number: int) -> list[int]:
        """Take the part of one chunk, which replaces what it said before."""
        frames = self.results.read_part("frames", number, FACTS)
        if frames is None:
            return []
        name = self._items
        items = self.results.read_part(name, number, _fields(name, self.size))
        problems = self.results.read_part("problems", number, PROBLEM)
        mine = set(frames["frame"].tolist())
        again = set(self._parts.get(number, ())) | (mine & set(self.frames))
        self._parts[number] = tuple(sorted(mine))
        self.problems = [p for p in self.problems if p["frame"] not in mine]
        if problems is not None:
            self.problems += _rows(problems, PROBLEM)
        for frame in again - mine:
            self.frames.pop(frame, None)
        for seen in _seen(frames, items, self.size):
            self.frames[int(seen.facts["frame"])] = seen
        self.version += 1
        if again or self._unit_changes(mine):
            self._recount()
        else:
            self._count(sorted(mine))
        return sorted(mine)

    @property
    def _items(self) -> str:
        return "octahedra" if (self.results.path / "octahedra").is_dir() else "particles"

    def _unit_changes(self, frames: Iterable[int]) -> bool:
        """Whether these frames are the first that carry nm."""
        return self.unit == "px" and any(self.frames[n].unit == "nm" for n in frames)

    def _recount(self) -> None:
        self._reset()
        if any(s.unit == "nm" for s in self.frames.values()):
            self.unit = "nm"
        self._count(list(self.frames))

    def _count(self, frames: Iterable[int]) -> None:
        """Add frames to the running estimates; problem frames and other units are left out."""
        for n in frames:
            seen = self.frames[n]
            if seen.facts["state"] != "measured":
                continue
            if seen.unit and not self.unit:
                self.unit = seen.unit
            sums = seen.sums if seen.unit in (self.unit, "") else np.zeros(3)
            sample, unit = str(seen.facts["sample"]), self.place(n)
            self._mean.add(unit, sums[:2])
            self._spread.add(unit, sums)
            self._samples.setdefault(sample, Running()).add(unit, sums[:2])
            self.curve.n.append(self._mean.n_frames)
            self.curve.mean.append(self._mean.estimate())
            self.curve.spread.append(self._spread.estimate())

    def place(self, frame: int) -> Hashable:
        """Return the sampling unit of a frame: its area where it names one, its series, itself."""
        seen = self.frames.get(frame)
        if seen is None:
            return frame
        sample, area, series = (str(seen.facts[name]) for name in ("sample", "area", "series"))
        if area:
            return sample, area
        return ("series", series) if series else frame

    def part_of(self, frame: int) -> int | None:
        """Return the chunk whose part holds a frame."""
        return next((k for k, frames in self._parts.items() if frame in frames), None)

    def written_at(self, frame: int) -> int:
        """Return when the part of a frame was written, in ns."""
        number = self.part_of(frame)
        return 0 if number is None else self._stamps.get(number, 0)

    @property
    def n_areas(self) -> int | None:
        """Areas that frames name, None where none does."""
        named = {
            (s.facts["sample"], s.facts["area"]) for s in self.frames.values() if s.facts["area"]
        }
        return len(named) or None

    def table(self) -> list[dict[str, Any]]:
        """Return the rows of all frames, by number."""
        return [dict(self.frames[n].facts) for n in sorted(self.frames)]

    def sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all sizes in the run's unit and their weights."""
        of_unit = [s for s in self.frames.values() if s.unit == self.unit and len(s.sizes)]
        if not of_unit:
            return np.zeros(0), np.zeros(0)
        return np.concatenate([s.sizes for s in of_unit]), np.concatenate(
            [s.weights for s in of_unit]
        )

    def judge(self, goal: Goal, provisional: Mapping[str, Table]) -> Verdict:
        """Return how far a goal is.

        Parameters
        ----------
        goal : Goal
        provisional : mapping of str to Table
            What the reductions say of the frames so far: groups, layers.
        """
        if goal.quantity in ("mean_size", "tilt"):
            return judge(goal, self._mean, n_areas=self.n_areas)
        if goal.quantity == "relative_sd":
            return judge(goal, self._spread, n_areas=self.n_areas)
        if goal.quantity == "difference":
            a, b = (self._samples.get(s, Running()) for s in goal.samples)
            return judge_difference(goal, a, b)
        if goal.quantity == "core_shell":
            return judge(goal, core_shell(provisional.get("layers"), self.place))
        return judge(goal, self._share(goal, provisional.get("particles")), n_areas=self.n_areas)

    def _share(self, goal: Goal, particles: Table | None) -> Running:
        """Share of one group among the accepted particles, by frame."""
        running = Running()
        if particles is None:
            return running
        kept = particles.take(np.asarray(particles["accepted"] & (particles["group"] >= 0)))
        wanted = int(goal.quantity.removeprefix("group_"))
        weight = np.nan_to_num(kept["weight"], nan=1.0)
        frames, of = np.unique(kept["frame"], return_inverse=True)
        total = np.bincount(of, weight, len(frames))
        inside = np.bincount(of, weight * (kept["group"] == wanted), len(frames))
        for n, *sums in zip(frames.tolist(), total, inside, strict=True):
            running.add(self.place(n), sums)
        return running


def load_libraries() -> None:
    """Load what the first part and the first interval take: seconds that a frame would wait."""
    door("results")
    from_arrow(FRAMES, to_arrow(Table.empty(FRAMES)))
    Running().estimate()


def _rows(table: Table, names: Iterable[str]) -> list[dict[str, Any]]:
    kept = [name for name in names if name in table.schema.names]
    columns = {name: table[name].tolist() for name in kept}
    return [{name: columns[name][k] for name in kept} for k in range(len(table))]


def _seen(frames: Table, items: Table | None, size: str) -> list[Seen]:
    """Return what a part says of each of its frames."""
    found = []
    for facts in _rows(frames, FACTS):
        facts = {name: facts.get(name) for name in FACTS}
        facts |= {name: facts[name] or "" for name in ("sample", "area", "series")}
        if items is None:
            unit, x, w = "", np.zeros(0), np.zeros(0)
        elif items.schema.name == "octahedra":
            x = oriented_tilts(items, facts["frame"])
            unit, w = "deg", np.ones(len(x))
        else:
            unit, x, w = _sizes(items, facts["frame"], size)
        found.append(Seen(facts, x, w, unit))
    return found


def _fields(items: str, size: str) -> tuple[str, ...]:
    """Return the fields of particles or octahedra that are read."""
    if items == "octahedra":
        return TILT_FIELDS
    return ("frame", "accepted", "weight", f"{size}_nm", f"{size}_px")


def _sizes(particles: Table, frame: int, size: str) -> tuple[str, np.ndarray, np.ndarray]:
    kept = (particles["frame"] == frame) & particles["accepted"]
    field_of = {unit: f"{size}_{unit}" for unit in ("nm", "px")}
    unit, x = "nm", particles[field_of["nm"]][kept]
    if not np.isfinite(x).any():
        unit, x = "px", particles[field_of["px"]][kept]
    there = np.isfinite(x) & (x > 0)
    weight = particles["weight"][kept][there]
    return unit if len(x) else "", x[there], np.where(weight > 0, weight, 1.0)


def verdict_facts(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as JSON can hold it."""
    found = verdict.estimate

    def plain(number: float) -> float | None:
        return float(number) if math.isfinite(number) else None

    return {
        "goal": str(verdict.goal),
        "value": plain(found.value),
        "half_width": plain(found.half_width),
        "band": plain(found.band) if found.n_units > 1 else None,
        "n_frames": verdict.n_frames,
        "n_units": found.n_units,
        "enough": verdict.enough,
        "more_frames": verdict.more_frames,
        "caution": verdict.caution,
    }
