"""Votes for circles, radius by radius, and edges on them, for host arrays."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

TINY = np.float32(1e-12)


def vote(
    edges: NDArray[np.float64],
    height: int,
    width: int,
    radii: NDArray[np.float64],
    cell: int,
    rim: int,
    near: float,
    least: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Count votes in (height, width) cells, for each radius in turn."""
    best = np.full((height, width), least, np.float32)
    radius = np.zeros((height, width), np.float32)
    for r in radii.tolist():
        reach = int(r * near / cell + 0.5)
        counts = np.zeros((height, width), np.int32)
        _count(edges, r, cell, rim, counts)
        _keep_most(counts, reach, np.float32(1 / (np.pi * r)), np.float32(r), best, radius)
    return best, radius


def edges_on(
    circles: NDArray[np.float64],
    at: NDArray[np.float64],
    down: NDArray[np.float32],
    right: NDArray[np.float32],
    angles: NDArray[np.float64],
    floor: float,
    facing: float,
) -> NDArray[np.int8]:
    """Look along every direction of every circle."""
    found = np.empty((len(circles), len(angles)), np.int8)
    _look(circles, at, down, right, np.sin(angles), np.cos(angles), floor, facing, found)
    return found


@njit(cache=True, nogil=True)
def apart(circles, share):
    """Hold each circle against all that are kept before it."""
    kept = np.zeros(len(circles), np.bool_)
    for i in range(len(circles)):
        near = False
        for j in range(i):
            y, x = circles[i, 0] - circles[j, 0], circles[i, 1] - circles[j, 1]
            least = share * max(circles[i, 2], circles[j, 2])
            near |= kept[j] and y * y + x * x <= least * least
        kept[i] = not near
    return kept


@njit(cache=True, nogil=True)
def _count(edges, r, cell, rim, counts):
    for k in range(len(edges)):
        y = np.int64((edges[k, 0] + edges[k, 2] * r + 0.5) / cell + rim)
        x = np.int64((edges[k, 1] + edges[k, 3] * r + 0.5) / cell + rim)
        counts[y, x] += 1


@njit(cache=True, nogil=True)
def _keep_most(counts, reach, scale, r, best, radius):
    """Sum counts over squares, and keep the sums that are more than what is best so far."""
    height, width = counts.shape
    # the ends of the columns' sums stay zero
    column = np.zeros(width + 2 * reach, np.int32)
    total = np.empty(width, np.int32)
    for y in range(-reach, height):
        if y + reach < height:
            _add(column[reach : reach + width], counts[y + reach], np.int32(1))
        if y - reach - 1 >= 0:
            _add(column[reach : reach + width], counts[y - reach - 1], np.int32(-1))
        if y < 0:
            continue
        total[:] = 0
        for k in range(2 * reach + 1):
            _add(total, column[k : k + width], np.int32(1))
        for x in range(width):
            if total[x] > 0 and np.float32(total[x]) * scale > best[y, x]:
                best[y, x] = np.float32(total[x]) * scale
                radius[y, x] = r


@njit(cache=True, nogil=True)
def _add(total, line, factor):
    for x in range(len(total)):
        total[x] += factor * line[x]


@njit(cache=True, nogil=True)
def _look(circles, at, down, right, sine, cosine, floor, facing, found):
    height, width = down.shape
    for n in range(len(circles)):
        y, x, r = circles[n]
        for a in range(len(sine)):
            best, place = 0.0, -1
            for k in range(len(at)):
                iy = np.int64(min(max(y + sine[a] * (r * at[k]), 0.0), height - 1.0) + 0.5)
                ix = np.int64(min(max(x + cosine[a] * (r * at[k]), 0.0), width - 1.0) + 0.5)
                by, bx = down[iy, ix], right[iy, ix]
                inward = -by * sine[a] - bx * cosine[a]
                if inward > best and inward >= floor:
                    rise = max(np.sqrt(by * by + bx * bx), TINY)
                    if inward / rise >= facing:
                        best, place = inward, k
            found[n, a] = place
