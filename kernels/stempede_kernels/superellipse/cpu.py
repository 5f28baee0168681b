"""Superellipses on the host: outlines, fits, overlaps and drawings, parallel over regions."""

from functools import partial
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stempede_kernels.superellipse.misfit import N_SYSTEM, evaluate, scratch
from stempede_kernels.superellipse.overlap_cpu import is_own, overlap
from stempede_kernels.superellipse.plan import (
    CONVERGED,
    FEWEST_POINTS,
    HIGH,
    LINES,
    LOW,
    N_FREE,
    N_HARMONICS,
    N_SECTORS,
    SINGULAR,
    TOLERANCE,
    UNFINISHED,
    Floats,
    Ints,
    Outlines,
    Trials,
)
from stempede_kernels.superellipse.raster import render
from stempede_kernels.threads import spread

__all__ = ["fit", "information", "overlap", "render", "trace"]

plain = njit(cache=True, nogil=True, error_model="numpy")
# a thread takes that many regions or fits at a time
_in_groups = partial(spread, at_once=16)


def trace(labels: NDArray[np.int32], frame: Ints, label: Ints, box: Ints) -> Outlines:
    """Read the outlines of regions from ``labels`` (b, y, x); see `Outlines`."""
    n = len(frame)
    count = np.zeros(n, np.int64)
    nothing = np.zeros((0, 3), np.float32)
    harmonics = np.zeros((n, 2, N_HARMONICS + 1))
    centroid = np.zeros((n, 2))
    begin = np.zeros(n + 1, np.int64)
    results = (count, harmonics, centroid)
    _in_groups(_trace, n, labels, frame, label, box, begin, nothing, *results)
    np.cumsum(count, out=begin[1:])
    points = np.empty((int(begin[-1]), 3), np.float32)
    _in_groups(_trace, n, labels, frame, label, box, begin, points, *results)
    middle = (box[:, :2] + box[:, 2:] - 1) / 2.0
    return Outlines(begin, points, middle, harmonics, centroid)


@plain
def _arc(labels: Any, frame: int, label: int, y: int, x: int, across: bool) -> float:
    """Return the arc length that one pixel edge, below or right of (y, x), stands for.

    It is the cosine between the edge's normal and that of the outline, from 5 x 4 pixels.
    """
    along, aside = 0, 0
    for a in range(-1, 3):
        for b in range(-2, 3):
            if across:
                inside = is_own(labels, frame, label, y + b, x + a)
            else:
                inside = is_own(labels, frame, label, y + a, x + b)
            along += inside if a > 0 else -inside
            aside += inside if b > 0 else (-inside if b < 0 else 0)
    if along == 0 and aside == 0:
        return 1.0
    return abs(along) / np.sqrt(float(along * along + aside * aside))


@plain
def _trace(
    start: int,
    stop: int,
    labels: Any,
    frame: Ints,
    label: Ints,
    box: Ints,
    begin: Ints,
    points: Any,
    count: Ints,
    harmonics: Floats,
    centroid: Floats,
) -> None:
    """Count outline points; with room in ``points`` write them, harmonics and centroids."""
    for k in range(start, stop):
        y0, x0, y1, x1 = box[k]
        step = max(1, max(y1 - y0, x1 - x0) // LINES)
        my, mx = 0.5 * (y0 + y1 - 1), 0.5 * (x0 + x1 - 1)
        f, own = frame[k], label[k]
        write = len(points) > 0
        place = begin[k]
        if write:
            n, sy, sx = 0, 0.0, 0.0
            for y in range(y0, y1):
                for x in range(x0, x1):
                    if labels[f, y, x] == own:
                        n += 1
                        sy += y - my
                        sx += x - mx
            centroid[k, 0], centroid[k, 1] = sy / max(n, 1), sx / max(n, 1)
        found = 0
        for y in range(y0 - 1, y1):
            row = (y - y0) % step == step // 2
            for x in range(x0 - 1, x1):
                column = (x - x0) % step == step // 2
                if not (row or column):
                    continue
                here = is_own(labels, f, own, y, x)
                if row and here != is_own(labels, f, own, y, x + 1):
                    if write:
                        at = place + found
                        points[at, 0], points[at, 1] = y - my, x + 0.5 - mx
                        points[at, 2] = step * _arc(labels, f, own, y, x, True)
                        _add_harmonics(
                            points[at, 0] - centroid[k, 0],
                            points[at, 1] - centroid[k, 1],
                            0.0,
                            step * (1.0 if here else -1.0),
                            harmonics[k],
                        )
                    found += 1
                if column and here != is_own(labels, f, own, y + 1, x):
                    if write:
                        at = place + found
                        points[at, 0], points[at, 1] = y + 0.5 - my, x - mx
                        points[at, 2] = step * _arc(labels, f, own, y, x, False)
                        _add_harmonics(
                            points[at, 0] - centroid[k, 0],
                            points[at, 1] - centroid[k, 1],
                            step * (1.0 if here else -1.0),
                            0.0,
                            harmonics[k],
                        )
                    found += 1
        count[k] = found


@plain
def _add_harmonics(dy: float, dx: float, ny: float, nx: float, sums: Floats) -> None:
    """Add one outline point: log distance times the angle that its edge is seen under."""
    square = dy * dy + dx * dx
    if square == 0.0:
        return
    seen = 0.5 * np.log(square) * (ny * dy + nx * dx) / square / (2.0 * np.pi)
    root = np.sqrt(square)
    c, s = dx / root, dy / root
    re, im = 1.0, 0.0
    for m in range(N_HARMONICS + 1):
        sums[0, m] += seen * re
        sums[1, m] -= seen * im
        re, im = re * c - im * s, re * s + im * c


def fit(outlines: Outlines, region: Ints, order: Ints, start: Floats, most: int) -> Trials:
    """Fit one shape from each start; ``region`` says whose outline, ``order`` is d."""
    n = len(region)
    theta = start.copy()
    cost = np.full(n, np.inf)
    state = np.zeros(n, np.int8)
    iterations = np.zeros(n, np.int32)
    results = (theta, cost, state, iterations)
    _in_groups(_fit, len(region), outlines.begin, outlines.points, region, order, *results, most)
    return Trials(theta, cost, state, iterations)


@plain
def _solve(system: Floats, damping: float, step: Floats) -> bool:
    """Solve the damped normal equations by Cholesky; False where they are singular."""
    factor = np.zeros((N_FREE, N_FREE))
    for a in range(N_FREE):
        for b in range(a + 1):
            value = system[a * (a + 1) // 2 + b]
            if a == b:
                value *= 1.0 + damping
                value += 1e-9 * system[5]
            for c in range(b):
                value -= factor[a, c] * factor[b, c]
            if a == b:
                if not value > 0.0:
                    return False
                factor[a, a] = np.sqrt(value)
            else:
                factor[a, b] = value / factor[b, b]
    for a in range(N_FREE):
        value = -system[21 + a]
        for c in range(a):
            value -= factor[a, c] * step[c]
        step[a] = value / factor[a, a]
    for a in range(N_FREE - 1, -1, -1):
        value = step[a]
        for c in range(a + 1, N_FREE):
            value -= factor[c, a] * step[c]
        step[a] = value / factor[a, a]
    return True


@plain
def _bound(theta: Floats, step: Floats, d: int, trial: Floats) -> None:
    """Add a step, none of its parts longer than a shape can stand, and keep the bounds."""
    radius = np.exp(theta[2])
    longest = (0.3 * radius, 0.3 * radius, 0.5, 0.6 / d, 1.0, 0.7)
    for a in range(N_FREE):
        part = min(max(step[a], -longest[a]), longest[a])
        trial[a] = min(max(theta[a] + part, LOW[a]), HIGH[a])


@plain
def _fit(
    start: int,
    stop: int,
    begin: Ints,
    points: Any,
    region: Ints,
    order: Ints,
    theta: Floats,
    cost: Floats,
    state: Any,
    iterations: Any,
    most: int,
) -> None:
    """Levenberg-Marquardt, one start each."""
    for k in range(start, stop):
        first, last = begin[region[k]], begin[region[k] + 1]
        usable = last - first >= FEWEST_POINTS
        for a in range(N_FREE):
            usable = usable and np.isfinite(theta[k, a])
        if not usable:
            state[k] = SINGULAR
            continue
        memory = scratch(points, first, last)
        d = order[k]
        system, other = np.empty(N_SYSTEM), np.empty(N_SYSTEM)
        trial, step = np.empty(N_FREE), np.empty(N_FREE)
        here = evaluate(memory, theta[k], d, system)
        damping, done = 1e-2, UNFINISHED
        for iteration in range(1, most + 1):
            iterations[k] = iteration
            if not _solve(system, damping, step):
                damping = max(10.0 * damping, 1e-3)
                if damping > 1e6:
                    done = SINGULAR
                    break
                continue
            _bound(theta[k], step, d, trial)
            there = evaluate(memory, trial, d, other)
            if there <= here:
                small = here - there <= TOLERANCE * here
                theta[k] = trial
                system, other = other, system
                here = there
                damping = max(0.2 * damping, 1e-6)
                if small:
                    done = CONVERGED
                    break
            else:
                damping = max(10.0 * damping, 1e-3)
                if damping > 1e3:
                    done = CONVERGED
                    break
        state[k] = done
        cost[k] = here / memory.weight.sum()


def information(
    outlines: Outlines, region: Ints, order: Ints, theta: Floats
) -> tuple[Floats, Floats]:
    """Return the normal matrix (n, 6, 6) and the gradient's sums by sector (n, 24, 6)."""
    n = len(region)
    matrix = np.zeros((n, N_FREE, N_FREE))
    scores = np.zeros((n, N_SECTORS, N_FREE))
    given = (outlines.begin, outlines.points, region, order, theta)
    _in_groups(_information, len(region), *given, matrix, scores)
    return matrix, scores


@plain
def _information(
    start: int,
    stop: int,
    begin: Ints,
    points: Any,
    region: Ints,
    order: Ints,
    theta: Floats,
    matrix: Floats,
    scores: Floats,
) -> None:
    for k in range(start, stop):
        first, last = begin[region[k]], begin[region[k] + 1]
        memory = scratch(points, first, last)
        system = np.empty(N_SYSTEM)
        evaluate(memory, theta[k], order[k], system)
        for i in range(memory.n):
            angle = np.arctan2(memory.y[i] - theta[k, 0], memory.x[i] - theta[k, 1])
            sector = int((angle / (2.0 * np.pi) + 0.5) * N_SECTORS) % N_SECTORS
            for a in range(N_FREE):
                part = memory.weight[i] * memory.misfit[i] * memory.rows[a, i]
                scores[k, sector, a] += part
        place = 0
        for a in range(N_FREE):
            for b in range(a + 1):
                matrix[k, a, b] = system[place]
                matrix[k, b, a] = system[place]
                place += 1
