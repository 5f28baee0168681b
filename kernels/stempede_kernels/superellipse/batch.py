"""The course of a fit, the same on every side: starts, two rounds of fitting, choice, errors."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.superellipse.choose import (
    CIRCLE,
    Candidates,
    canonical,
    chosen,
    distinct,
    errors,
    to_shapes,
)
from stempede_kernels.superellipse.plan import (
    MAX_ITERATIONS,
    ORDERS,
    SINGULAR,
    Floats,
    Ints,
    Outlines,
    Trials,
)
from stempede_kernels.superellipse.starts import starts

FIRST_ROUND = 4
"""Iterations of every start, before the ones far behind are dropped."""
FAR_BEHIND = 16.0
"""A start whose misfit is this many times the least of its region is dropped."""


POOR = 0.9
"""Below this overlap, what a guess left out is tried too."""


def fit_regions(
    engine: Any, labels: Any, frame: Ints, label: Ints, box: Ints, guess: Floats | None
) -> dict[str, NDArray[Any]]:
    """Return the columns of ``Fits``.

    Parameters
    ----------
    engine : module
        ``cpu``, ``gpu`` or ``reference``.
    labels : (b, y, x) int32 array or tensor
        Where the engine works.
    """
    n = len(frame)
    regions = Regions(engine, labels, frame, label, box)
    outlines = engine.trace(labels, frame, label, box)
    found = _fitted(regions, outlines, starts(outlines, guess))
    circle = np.zeros(n)
    seen = np.unique(found.region)
    circle[seen] = regions.overlap(seen, _circles(outlines, seen))
    if guess is not None:
        region, order, theta = starts(outlines, None)
        again = _left_out(found, circle)[region, order]
        more = _fitted(regions, outlines, (region[again], order[again], theta[again]))
        found = Candidates.joined(found, more)
        late = np.setdiff1d(found.region, seen)
        circle[late] = regions.overlap(late, _circles(outlines, late))
    winner, other = chosen(found, circle)
    rows = np.flatnonzero(winner >= 0)
    picked = found.take(winner[rows])
    matrix, scores = engine.information(outlines, rows, picked.order, picked.theta)
    columns = {
        "shapes": to_shapes(picked.theta, picked.order, outlines.middle[rows]),
        "errors": errors(picked.theta, picked.order, matrix, scores),
        "jaccard": picked.overlap,
        "jaccard_other": other[rows],
        "jaccard_circle": circle[rows],
        "distance_px": np.sqrt(picked.cost),
    }
    result: dict[str, NDArray[Any]] = {}
    for name, values in columns.items():
        result[name] = np.full((n, *values.shape[1:]), np.nan)
        result[name][rows] = values
    result["state"] = np.full(n, SINGULAR, np.int8)
    result["state"][rows] = picked.state
    result["iterations"] = np.zeros(n, np.int32)
    result["iterations"][rows] = picked.iterations
    return result


def _left_out(found: Candidates, circle: Floats) -> NDArray[np.bool_]:
    """Return (n, 7) by region and d what is tried beside the guesses.

    Everything where the overlap is poor; d = 2, by which circles go, where a circle follows as
    well and the guess held it for unlikely.
    """
    best = np.zeros(len(circle))
    np.maximum.at(best, found.region, found.overlap)
    wanted = np.repeat((best < POOR)[:, None], max(ORDERS) + 1, axis=1)
    wanted[circle >= best - CIRCLE, 2] = True
    known = found.order == 2
    wanted[found.region[known], 2] = (best < POOR)[found.region[known]]
    return wanted


@dataclass(frozen=True)
class Regions:
    """Regions of a label map, and the side that reads it."""

    engine: Any
    labels: Any
    frame: Ints
    label: Ints
    box: Ints

    def overlap(self, region: Ints, shapes: Floats) -> Floats:
        """Return intersection over union of shapes (m, 7) with regions (m,)."""
        found: Floats = self.engine.overlap(
            self.labels, self.frame, self.label, self.box, region, shapes
        )
        return found


def _fitted(regions: Regions, outlines: Outlines, begin: tuple[Ints, Ints, Floats]) -> Candidates:
    """Fit from every start and hold what comes out against the regions."""
    region, order, theta = begin
    found = _two_rounds(regions.engine, outlines, region, order, theta)
    theta = canonical(found.theta, order)
    shapes = to_shapes(theta, order, outlines.middle[region])
    overlaps = np.zeros(len(region))
    run = np.flatnonzero(np.isfinite(found.cost) & distinct(region, order, theta, found.cost))
    overlaps[run] = regions.overlap(region[run], shapes[run])
    return Candidates(region, order, theta, found.cost, overlaps, found.state, found.iterations)


def _two_rounds(
    engine: Any, outlines: Outlines, region: Ints, order: Ints, theta: Floats
) -> Trials:
    """Fit all starts a little, then those to the end that are distinct and not far behind."""
    first: Trials = engine.fit(outlines, region, order, theta, FIRST_ROUND)
    least = np.full(len(outlines.begin) - 1, np.inf)
    np.minimum.at(least, region, first.cost)
    ahead = np.isfinite(first.cost) & (first.cost <= FAR_BEHIND * least[region])
    rows = np.flatnonzero(ahead & distinct(region, order, first.theta, first.cost))
    second = engine.fit(outlines, region[rows], order[rows], first.theta[rows], MAX_ITERATIONS)
    cost = np.full(len(region), np.inf)
    first.theta[rows], cost[rows], first.state[rows] = second.theta, second.cost, second.state
    first.iterations[rows] += second.iterations
    return Trials(first.theta, cost, first.state, first.iterations)


def _circles(outlines: Outlines, rows: Ints) -> Floats:
    """Return the circles of each region's mean log radius about its centroid."""
    shapes = np.ones((len(rows), 7))
    shapes[:, :2] = outlines.centroid[rows] + outlines.middle[rows]
    shapes[:, 2] = np.exp(outlines.harmonics[rows, 0, 0])
    shapes[:, 3], shapes[:, 4], shapes[:, 5] = 0.0, 2.0, 2.0
    return shapes
