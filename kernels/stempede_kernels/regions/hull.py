"""Convex hull, convex image and calipers of one region, in exact integers.

A pixel (y, x) stands for four points, the middles of its edges: (y ± ½, x) and (y, x ± ½).
All coordinates here are doubled, so that these points, the cross products and the squared
distances are integers. The hull is two chains, left and right; the right one is found as the
left chain of the mirrored region.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NONE = 1 << 40
"""Extent of a row without a pixel; beyond any coordinate."""

_ROUNDING = 1e-12


@njit(cache=True, nogil=True)
def row_extents(rows: Ints, starts: Ints, stops: Ints, height: int) -> Ints:
    """Return (2, height): the first column of each row, and the last one negated.

    Runs ``[start, stop)`` are in raster order; rows without a run hold ``NONE``.
    """
    extents = np.full((2, height), NONE, np.int64)
    for run in range(len(rows)):
        y = rows[run]
        if extents[0, y] == NONE:
            extents[0, y] = starts[run]
        extents[1, y] = 1 - stops[run]
    return extents


@njit(cache=True, nogil=True)
def chain(firsts: Ints) -> Ints:
    """Return (k, 2) the left side of the hull, from top to bottom, in doubled coordinates.

    Parameters
    ----------
    firsts : (height,) int64 array
        First column of each row, ``NONE`` where the row is empty; top and bottom are not.
    """
    height = len(firsts)
    points = np.empty((2 * height + 1, 2), np.int64)
    k = 0
    for y in range(-1, 2 * height):
        if y % 2 == 0:
            x = 2 * firsts[y // 2] - 1
        else:
            above = firsts[y // 2] if y > 0 else NONE
            below = firsts[y // 2 + 1] if y < 2 * height - 1 else NONE
            x = 2 * min(above, below)
        if x >= NONE:
            continue
        while k > 1 and _covers(points[k - 2], points[k - 1], y, x):
            k -= 1
        points[k, 0] = y
        points[k, 1] = x
        k += 1
    return points[:k]


@njit(cache=True, nogil=True)
def _covers(first: Ints, middle: Ints, y: int, x: int) -> bool:
    """Say whether the middle point lies on or right of the line from the first to (y, x)."""
    return (middle[1] - first[1]) * (y - first[0]) >= (x - first[1]) * (middle[0] - first[0])


@njit(cache=True, nogil=True)
def convex_extents(left: Ints, right: Ints, height: int) -> Ints:
    """Return the row extents, as ``row_extents``, of the lattice points on or in the hull."""
    extents = np.empty((2, height), np.int64)
    _first_inside(left, extents[0])
    _first_inside(right, extents[1])
    for y in range(height):
        if extents[0, y] > -extents[1, y]:
            extents[:, y] = NONE
    return extents


@njit(cache=True, nogil=True)
def _first_inside(side: Ints, firsts: Ints) -> None:
    """Fill the first column on or right of a chain, per row: a ceiling of a fraction."""
    edge = 0
    for y in range(len(firsts)):
        while side[edge + 1, 0] < 2 * y:
            edge += 1
        rise = side[edge + 1, 0] - side[edge, 0]
        run = side[edge + 1, 1] - side[edge, 1]
        numerator = side[edge, 1] * rise + run * (2 * y - side[edge, 0])
        firsts[y] = -((-numerator) // (2 * rise))


@njit(cache=True, nogil=True)
def extents_runs(extents: Ints) -> Ints:
    """Return (3, r): row, start and stop of the runs that row extents stand for."""
    height = extents.shape[1]
    runs = np.empty((3, height), np.int64)
    n_runs = 0
    for y in range(height):
        if extents[0, y] != NONE:
            runs[0, n_runs] = y
            runs[1, n_runs] = extents[0, y]
            runs[2, n_runs] = 1 - extents[1, y]
            n_runs += 1
    return runs[:, :n_runs]


@njit(cache=True, nogil=True)
def polygon(left: Ints, right: Ints) -> Ints:
    """Return (k, 2) the hull's vertices in order, without repeats, in doubled coordinates."""
    n_left, n_right = len(left), len(right)
    points = np.empty((n_left + n_right, 2), np.int64)
    for k in range(n_left):
        points[k, 0], points[k, 1] = left[k, 0], left[k, 1]
    k = n_left
    for j in range(n_right - 1, -1, -1):
        y, x = right[j, 0], -right[j, 1]
        # both chains have the corner where the top or the bottom is one point
        end = n_left - 1 if j else 0
        if y != left[end, 0] or x != left[end, 1]:
            points[k, 0], points[k, 1] = y, x
            k += 1
    return points[:k]


@njit(cache=True, nogil=True)
def max_feret(points: Ints) -> tuple[float, float]:
    """Return the largest distance of two vertices in px and its direction in degrees.

    Of equal distances the one with the smallest angle in (-90, 90] counts.
    """
    best, angle = 0, np.inf
    for i in range(len(points)):
        for j in range(i):
            dy = points[i, 0] - points[j, 0]
            dx = points[i, 1] - points[j, 1]
            square = dy * dy + dx * dx
            if square > best:
                best, angle = square, direction_deg(dy, dx)
            elif square == best:
                angle = min(angle, direction_deg(dy, dx))
    return np.sqrt(best) / 2, angle


@njit(cache=True, nogil=True)
def edge_calipers(points: Ints, out: Floats) -> None:
    """Turn calipers over the edges: narrowest width and smallest enclosing rectangle.

    Parameters
    ----------
    points : (k, 2) int64 array
        Hull vertices in order.
    out : (5,) float64 array, filled
        Smallest width (px) and its direction (degrees); length and width (px) of the rectangle
        of least area and the direction of its length (degrees).

    Notes
    -----
    Both optima have a side flush with an edge (Freeman and Shapira 1975). Of rectangles of one
    area the longest counts, of directions that are left the smallest angle in (-90, 90].
    """
    narrowest, least = np.inf, np.inf
    for i in range(len(points)):
        dy = points[i, 0] - points[i - 1, 0]
        dx = points[i, 1] - points[i - 1, 1]
        along, across = _spans(points, dy, dx)
        scale = 2 * np.sqrt(float(dy * dy + dx * dx))
        normal = direction_deg(dx, -dy)
        order = _compare(across / scale, narrowest)
        if order < 0 or (order == 0 and normal < out[1]):
            narrowest = across / scale
            out[0], out[1] = narrowest, normal
        # along and across carry the same factor: this comparison is exact
        angle = direction_deg(dy, dx) if along >= across else normal
        length, width = max(along, across) / scale, min(along, across) / scale
        order = _compare(length * width, least)
        if order == 0:
            order = _compare(out[2], length)
        if order < 0 or (order == 0 and angle < out[4]):
            least = length * width
            out[2], out[3], out[4] = length, width, angle


@njit(cache=True, nogil=True)
def calipers_of_edges(outlines: Ints, out: Floats) -> None:
    """Turn what was chosen of hulls elsewhere into lengths and directions.

    Parameters
    ----------
    outlines : (n, 11) int64 array
        Square of the largest distance and its step (dy, dx); then, for the narrowest width and
        for the rectangle, extent along an edge and across it, times its length, and the edge.
    out : (n, 7) float64 array, filled
        As ``Sums.calipers``.
    """
    for k in range(len(outlines)):
        square, dy, dx = outlines[k, 0], outlines[k, 1], outlines[k, 2]
        out[k, 0], out[k, 1] = np.sqrt(square) / 2, direction_deg(dy, dx)
        across, dy, dx = outlines[k, 4], outlines[k, 5], outlines[k, 6]
        out[k, 2] = across / (2 * np.sqrt(float(dy * dy + dx * dx)))
        out[k, 3] = direction_deg(dx, -dy)
        along, across = outlines[k, 7], outlines[k, 8]
        dy, dx = outlines[k, 9], outlines[k, 10]
        scale = 2 * np.sqrt(float(dy * dy + dx * dx))
        out[k, 4], out[k, 5] = max(along, across) / scale, min(along, across) / scale
        out[k, 6] = direction_deg(dy, dx) if along >= across else direction_deg(dx, -dy)


@njit(cache=True, nogil=True)
def _compare(one: float, other: float) -> int:
    """Return -1, 0 or 1: less, equal but for rounding, more."""
    if abs(one - other) <= _ROUNDING * one:
        return 0
    return -1 if one < other else 1


@njit(cache=True, nogil=True)
def _spans(points: Ints, dy: int, dx: int) -> tuple[int, int]:
    """Return the extent of the vertices along (dy, dx) and across it, times its length."""
    along_low = along_high = points[0, 0] * dy + points[0, 1] * dx
    across_low = across_high = points[0, 0] * dx - points[0, 1] * dy
    for k in range(1, len(points)):
        along = points[k, 0] * dy + points[k, 1] * dx
        across = points[k, 0] * dx - points[k, 1] * dy
        along_low = min(along_low, along)
        along_high = max(along_high, along)
        across_low = min(across_low, across)
        across_high = max(across_high, across)
    return along_high - along_low, across_high - across_low


@njit(cache=True, nogil=True)
def direction_deg(dy: float, dx: float) -> float:
    """Return the direction of a line, ``atan2(dy, dx)``, in degrees in (-90, 90]."""
    if dx < 0 or (dx == 0 and dy < 0):
        dy, dx = -dy, -dx
    return np.degrees(np.arctan2(float(dy), float(dx)))
