"""Overlaps of superellipses with regions on the host, pixel by pixel."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stempede_kernels.superellipse.plan import FARTHEST, LEAST_SQUARE, OVERLAP_SIDE, Floats, Ints
from stempede_kernels.threads import spread

BINS = 64
"""Of the squared cosine of half d times the angle, by which outlines are bounded."""

# of a squared radius, far above rounding
_MARGIN = 1e-6
# shapes that a thread takes at a time
_AT_ONCE = 16

plain = njit(cache=True, nogil=True, error_model="numpy")


def overlap(
    labels: NDArray[np.int32], frame: Ints, label: Ints, box: Ints, region: Ints, shapes: Floats
) -> Floats:
    """Return intersection over union of shapes (m, 7), in frame coordinates, with regions."""
    result = np.zeros(len(region))
    arguments = (labels, frame, label, box, region, shapes, result)
    spread(_overlap_some, len(region), *arguments, at_once=_AT_ONCE)
    return result


@plain
def is_own(labels: Any, frame: int, label: int, y: int, x: int) -> int:
    """Return 1 on a pixel of the region, 0 elsewhere and beyond the frame."""
    if y < 0 or x < 0 or y >= labels.shape[1] or x >= labels.shape[2]:
        return 0
    return 1 if labels[frame, y, x] == label else 0


@plain
def _overlap_some(
    begin: int,
    end: int,
    labels: Any,
    frame: Ints,
    label: Ints,
    box: Ints,
    region: Ints,
    shapes: Floats,
    result: Floats,
) -> None:
    shape, inner, outer = np.empty(8), np.empty(BINS), np.empty(BINS)
    for k in range(begin, end):
        r = region[k]
        _prepare(shapes[k], shape)
        _bound(shape, inner, outer)
        reach = np.sqrt(outer.max())
        side = max(box[r, 2] - box[r, 0], box[r, 3] - box[r, 1])
        # bounds leave the very tip of a cusp out, as the equation is drawn here
        if max(reach, shapes[k, 2], shapes[k, 2] / shapes[k, 6]) < FARTHEST * side:
            step = max(1, side // OVERLAP_SIDE)
            where = (labels[frame[r]], label[r], box[r])
            result[k] = _overlap_one(where, step, reach, shape, inner, outer)


@plain
def _overlap_one(
    where: Any, step: int, reach: float, shape: Floats, inner: Floats, outer: Floats
) -> float:
    """Return the overlap, counted on every ``step``-th pixel of the frame."""
    labels, label, box = where
    own = 0
    for y in range(_on_grid(box[0], step), box[2], step):
        for x in range(_on_grid(box[1], step), box[3], step):
            own += labels[y, x] == label
    both, drawn = 0, 0
    beyond = outer.max()
    row = np.empty((6, int(2.0 * reach) // step + 2))
    for y in range(_on_grid(shape[0] - reach, step), int(np.floor(shape[0] + reach)) + 1, step):
        half = np.sqrt(max(beyond - (y - shape[0]) ** 2, 0.0))
        first = _on_grid(shape[1] - half, step)
        n = max((int(np.floor(shape[1] + half)) - first) // step + 1, 0)
        seen = 0 <= y < labels.shape[0]
        inside = _row_inside(y - shape[0], first - shape[1], step, shape, inner, outer, row[:, :n])
        for i in range(n):
            if inside[i]:
                x = first + i * step
                drawn += 1
                if seen and 0 <= x < labels.shape[1]:
                    both += labels[y, x] == label
    return both / (own + drawn - both) if own + drawn else 0.0


@plain
def _on_grid(at: float, step: int) -> int:
    """Return the first multiple of the step at a place or beyond it."""
    return int(np.ceil(at / step)) * step


@plain
def _row_inside(
    dy: float, dx: float, step: int, shape: Floats, inner: Floats, outer: Floats, row: Any
) -> Any:
    """Return 1 for pixels of a row inside, in vectors; ``row`` is (6, n) of memory.

    Logarithms are taken only where the bounds leave it open.
    """
    share, square, ux, uy, re, im = row[0], row[1], row[2], row[3], row[4], row[5]
    n = row.shape[1]
    d, turn_c, turn_s = int(shape[5]), shape[6], shape[7]
    for i in range(n):
        x, y = dx + i * step, dy
        square[i] = y * y + x * x
        root = 1.0 / np.sqrt(max(square[i], 1e-12))
        ux[i], uy[i] = x * root, y * root
        re[i], im[i] = ux[i], uy[i]
    for _ in range(1, d):
        for i in range(n):
            real = re[i] * ux[i] - im[i] * uy[i]
            im[i] = re[i] * uy[i] + im[i] * ux[i]
            re[i] = real
    for i in range(n):
        share[i] = max(0.5 * (1.0 + re[i] * turn_c + im[i] * turn_s), 0.0)
    inside = ux
    for i in range(n):
        bin_ = min(int(share[i] * BINS), BINS - 1)
        if square[i] <= inner[bin_]:
            inside[i] = 1.0
        elif square[i] > outer[bin_]:
            inside[i] = 0.0
        else:
            inside[i] = 0.5 * np.log(square[i]) <= _log_radius(share[i], shape)
    return inside


@plain
def _log_radius(share: float, shape: Floats) -> float:
    """Return the log radius where the squared cosine of half d times the angle is ``share``."""
    log_c = 0.5 * np.log(max(share, LEAST_SQUARE)) + shape[4]
    log_s = 0.5 * np.log(max(1.0 - share, LEAST_SQUARE))
    small = np.exp(-shape[3] * abs(log_c - log_s))
    return shape[2] - max(log_c, log_s) - np.log(1.0 + small) / shape[3]


@plain
def _prepare(row: Floats, shape: Floats) -> None:
    """Fill y, x, log radius, p, log L, d, cos and sin of d angle from y, x, R, angle, p, d, L."""
    shape[0], shape[1] = row[0], row[1]
    shape[2], shape[3], shape[4], shape[5] = np.log(row[2]), row[4], np.log(row[6]), row[5]
    shape[6], shape[7] = np.cos(row[5] * row[3]), np.sin(row[5] * row[3])


@plain
def _bound(shape: Floats, inner: Floats, outer: Floats) -> None:
    """Fill the least and the greatest squared radius of each bin of the squared cosine.

    Over it the radius rises or falls throughout, but for one turn, where the derivative of
    ``L**p t**(p/2) + (1 - t)**(p/2)`` is zero.
    """
    before = _log_radius(0.0, shape)
    for k in range(BINS):
        after = _log_radius((k + 1) / BINS, shape)
        inner[k], outer[k] = min(before, after), max(before, after)
        before = after
    p, log_l = shape[3], shape[4]
    if p != 2.0:
        turn = 1.0 / (1.0 + np.exp(2.0 * p * log_l / (p - 2.0)))
        k, at = min(int(turn * BINS), BINS - 1), _log_radius(turn, shape)
        inner[k], outer[k] = min(inner[k], at), max(outer[k], at)
    for k in range(BINS):
        inner[k] = np.exp(2.0 * inner[k]) * (1.0 - _MARGIN)
        outer[k] = np.exp(2.0 * outer[k]) * (1.0 + _MARGIN)
