"""The course of a fit, the same on every side: starts, two rounds of fitting, choice, errors."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.superellipse.choose import (
    Candidates,
    as_state,
    canonical,
    chosen,
    errors,
    to_shapes,
)
from stempede_kernels.superellipse.plan import MAX_ITERATIONS, ORDERS, Floats, Ints, Outlines
from stempede_kernels.superellipse.starts import from_guess, from_harmonics

FIRST_ROUND = 4
"""Iterations of every start, before the ones far behind are dropped."""
FAR_BEHIND = 16.0
"""A start whose misfit is this many times the least of its region is dropped."""


def fit_regions(
    engine: Any, labels: Any, frame: Ints, label: Ints, box: Ints, guess: Floats | None
) -> tuple[NDArray[Any], ...]:
    """Return the columns of ``Fits`` in order.

    Parameters
    ----------
    engine : module
        ``cpu``, ``gpu`` or ``reference``.
    labels : (b, y, x) int32 array or tensor
        Where the engine works.
    """
    n = len(frame)
    outlines = engine.trace(labels, frame, label, box)
    region, order, theta = _starts(outlines, guess)
    theta, cost, iterations, state = _two_rounds(engine, outlines, region, order, theta)
    theta = canonical(theta, order)
    shapes = to_shapes(theta, order, outlines.middle[region])
    overlaps = np.zeros(len(region))
    run = np.isfinite(cost)
    overlaps[run] = engine.overlap(labels, frame, label, box, region[run], shapes[run])
    winner, other = chosen(Candidates(region, order, theta, cost, overlaps), n)
    place, found = np.maximum(winner, 0), winner >= 0
    rows = np.flatnonzero(found)
    picked = winner[rows]
    matrix, scores = engine.information(outlines, rows, order[picked], theta[picked])
    errors_found = np.full((n, 6), np.nan)
    errors_found[rows] = errors(theta[picked], order[picked], matrix, scores)
    circles = engine.overlap(labels, frame, label, box, rows, _circles(outlines, rows))
    return (
        _where(found, shapes, place),
        errors_found,
        _where(found, overlaps, place),
        np.where(found, other, np.nan),
        _spread(n, rows, circles),
        _where(found, np.sqrt(cost), place),
        as_state(winner, state),
        np.where(found, iterations[place] if len(iterations) else 0, 0).astype(np.int32),
    )


def _starts(outlines: Outlines, guess: Floats | None) -> tuple[Ints, Ints, Floats]:
    """Return region, order and parameters of every start, by region."""
    theta = from_harmonics(outlines)  # (n, orders, branches, 6)
    n, _, branches, _ = theta.shape
    tried = np.ones((n, len(ORDERS)), bool)
    if guess is not None:
        known = np.isfinite(guess).all(axis=1)
        distance = np.abs(np.array(ORDERS) - guess[:, 1:2])
        tried = ~known[:, None] | (distance < 1.0) | (np.array(ORDERS) == 2)
        theta = np.concatenate([theta, from_guess(outlines, guess)[:, :, None]], axis=2)
        branches += 1
    used = np.broadcast_to(tried[:, :, None], theta.shape[:3])
    used = used & np.isfinite(theta).all(axis=3)
    region, place, _ = np.nonzero(used)
    return region, np.array(ORDERS)[place], theta[used]


def _two_rounds(
    engine: Any, outlines: Outlines, region: Ints, order: Ints, theta: Floats
) -> tuple[Floats, Floats, NDArray[np.int32], NDArray[np.int8]]:
    """Fit all starts a little, then those to the end that are not far behind."""
    first = engine.fit(outlines, region, order, theta, FIRST_ROUND)
    least = np.full(len(outlines.begin) - 1, np.inf)
    np.minimum.at(least, region, first.cost)
    ahead = np.isfinite(first.cost) & (first.cost <= FAR_BEHIND * least[region])
    rows = np.flatnonzero(ahead)
    second = engine.fit(outlines, region[rows], order[rows], first.theta[rows], MAX_ITERATIONS)
    cost = np.full(len(region), np.inf)
    theta, iterations, state = first.theta, first.iterations, first.state
    theta[rows], cost[rows], state[rows] = second.theta, second.cost, second.state
    iterations[rows] += second.iterations
    return theta, cost, iterations, state


def _circles(outlines: Outlines, rows: Ints) -> Floats:
    """Return the circles of each region's mean log radius about its centroid."""
    shapes = np.ones((len(rows), 7))
    shapes[:, :2] = outlines.centroid[rows] + outlines.middle[rows]
    shapes[:, 2] = np.exp(outlines.harmonics[rows, 0, 0])
    shapes[:, 3], shapes[:, 4], shapes[:, 5] = 0.0, 2.0, 2.0
    return shapes


def _where(found: NDArray[np.bool_], values: Floats, place: Ints) -> Floats:
    """Return the value of each region's fit, NaN without one."""
    if not len(values):
        return np.full((len(found), *values.shape[1:]), np.nan)
    condition = found if values.ndim == 1 else found[:, None]
    return np.where(condition, values[place], np.nan)


def _spread(n: int, rows: Ints, values: Floats) -> Floats:
    result = np.full(n, np.nan)
    result[rows] = values
    return result
