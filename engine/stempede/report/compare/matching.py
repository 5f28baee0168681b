"""Which group of one run is which of another: grouped anew together, or matched by centroid."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stempede.errors import StempedeError
from stempede.report.compare.sides import Source, regrouped
from stempede.report.folder import RunFolder
from stempede.stage import find
from stempede.tables import FRAMES, PARTICLES, Table

_REDUCE = "particles.groups"
_FAR = 1.5


@dataclass(frozen=True)
class Matched:
    """Runs whose groups have common numbers.

    Parameters
    ----------
    sources : tuple of Source
    groups : tuple of int
        Groups that any of them has; empty where they are not grouped.
    said : str
        How the groups were brought together.
    """

    sources: tuple[Source, ...]
    groups: tuple[int, ...]
    said: str


def within_one(source: Source) -> Matched:
    """Return a run as it is: its frames were grouped together from the start."""
    groups = _numbers([source])
    said = "Groups are those of the run, found jointly over all its frames." if groups else ""
    return Matched((source,), groups, said)


def match(sources: Sequence[Source], names: Sequence[str]) -> Matched:
    """Group the particles of several runs together; match by centroid where that cannot be."""
    if not all((s.group >= 0).any() for s in sources):
        return Matched(tuple(sources), (), "")
    if len({s.unit for s in sources}) == 1:
        try:
            return _jointly(sources)
        except (StempedeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            why = f"grouping them together failed: {error}"
    else:
        why = "their lengths have different units"
    return _by_centroid(sources, names, why)


def _numbers(sources: Sequence[Source]) -> tuple[int, ...]:
    found = np.unique(np.concatenate([s.group for s in sources]))
    return tuple(int(g) for g in found if g >= 0)


def _jointly(sources: Sequence[Source]) -> Matched:
    """Run the grouping of the first run's recipe over the particles of all."""
    frames, particles, starts = [], [], [0]
    shift = 0
    for source in sources:
        run = source.run
        f, p = _whole(run, FRAMES.name), _whole(run, PARTICLES.name)
        frames.append(f.with_columns({"frame": f["frame"] + shift}))
        particles.append(p.with_columns({"frame": p["frame"] + shift}))
        starts.append(starts[-1] + len(p))
        shift += int(f["frame"].max(initial=0)) + 1
    reduction = _reduction(sources[0].run)
    made = reduction({"frames": Table.concat(frames), "particles": Table.concat(particles)})
    group = np.asarray(made["particles"]["group"], np.int64)
    common = tuple(
        regrouped(s, group[start : starts[k + 1]][s.rows])
        for k, (s, start) in enumerate(zip(sources, starts, strict=False))
    )
    said = (
        "Groups were found jointly over all runs, with the grouping of the first one's recipe; "
        "numbers are not those of the single runs."
    )
    return Matched(common, _numbers(common), said)


def _whole(run: RunFolder, name: str) -> Table:
    """Return a table in the shipped schema: labels of one run's frames are no field of another."""
    schema = {"frames": FRAMES, "particles": PARTICLES}[name]
    columns = run.columns(name)
    return Table(schema, {n: columns[n] for n in schema.names if n in columns})


def _reduction(run: RunFolder) -> Any:
    """Make the grouping as a run's recipe has it, without the scores beside it."""
    entries = tomllib.loads(str(run.document.get("recipe", ""))).get("reduce", [])
    given = next((dict(e) for e in entries if e["use"] == _REDUCE), {})
    given.pop("use", None)
    folder = Path(str(run.document.get("recipe_folder", ".")))
    return find("reduce", _REDUCE, folder)(**{**given, "compare": False, "bootstraps": 0})


def _by_centroid(sources: Sequence[Source], names: Sequence[str], why: str) -> Matched:
    """Give the groups of each run the number of the nearest group of the first one."""
    from scipy.optimize import linear_sum_assignment

    first = _centroids(sources[0].run)
    made, words = [sources[0]], []
    following = 1 + max(first, default=-1)
    for source, name in zip(sources[1:], names[1:], strict=True):
        mine = _centroids(source.run)
        distance = _distances(first, mine)
        rows, columns = linear_sum_assignment(distance)
        keys, theirs = list(first), list(mine)
        renamed = {}
        for i, j in zip(rows, columns, strict=True):
            if distance[i, j] <= _FAR:
                renamed[theirs[j]] = keys[i]
                words.append(f"{name} {theirs[j]} is {keys[i]} ({distance[i, j]:.2f} apart)")
        for group in theirs:
            if group not in renamed:
                renamed[group] = following
                words.append(f"{name} {group} has no counterpart and is {following}")
                following += 1
        made.append(
            regrouped(source, np.array([renamed.get(int(g), -1) for g in source.group], np.int64))
        )
    said = (
        f"Groups of single runs were matched by centroid, because {why}. Distances are in "
        f"standard deviations per feature, above {_FAR:g} is no match: {'; '.join(words)}."
    )
    return Matched(tuple(made), _numbers(made), said)


Centroid = dict[str, tuple[float, float]]


def _centroids(run: RunFolder) -> dict[int, Centroid]:
    """Return mean and standard deviation of each pure-number feature of each group."""
    found: dict[int, Centroid] = {}
    for row in run.columns("groups").rows():
        feature, mean, sd = str(row["feature"]), float(row["mean"]), float(row["sd"])
        pure = not feature.endswith(("_px", "_px2", "_nm", "_nm2"))
        if pure and np.isfinite(mean) and np.isfinite(sd):
            found.setdefault(int(row["group"]), {})[feature] = (mean, sd)
    return found


def _distances(first: dict[int, Centroid], other: dict[int, Centroid]) -> np.ndarray:
    """Root mean square distance over common features, each in its pooled standard deviation."""
    distance = np.full((len(first), len(other)), 1e6)
    for i, a in enumerate(first.values()):
        for j, b in enumerate(other.values()):
            steps = []
            for name in a.keys() & b.keys():
                spread = np.hypot(a[name][1], b[name][1]) / np.sqrt(2)
                if spread > 0:
                    steps.append(((a[name][0] - b[name][0]) / spread) ** 2)
            if steps:
                distance[i, j] = float(np.sqrt(np.mean(steps)))
    return distance
