"""Area of the holes of one region, from its runs."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_FAR = 1 << 40


@njit(cache=True, nogil=True)
def hole_area(rows: Ints, starts: Ints, stops: Ints, height: int) -> int:
    """Count background pixels from which no path, corners included, leads out of the box.

    Parameters
    ----------
    rows, starts, stops : (r,) int64 arrays
        Runs ``[start, stop)`` in raster order, rows from 0.
    height : int
        Rows of the bounding box.

    Notes
    -----
    A hole lies in gaps between two runs of a row. Gaps that touch, corners included, are
    united; what is united with the outside is none. A region with one run in each row is
    done after one look at its runs.
    """
    n_gaps = 1
    for run in range(1, len(rows)):
        n_gaps += rows[run] == rows[run - 1]
    if n_gaps == 1:
        return 0
    # gap 0 stands for everything outside; a root is the smallest gap of its set
    gaps = np.zeros((n_gaps, 3), np.int64)
    parent = np.arange(n_gaps)
    first, last = np.full(height, _FAR, np.int64), np.full(height, -_FAR, np.int64)
    gap = 1
    for run in range(len(rows)):
        y = rows[run]
        if last[y] > 0:
            gaps[gap, 0], gaps[gap, 1], gaps[gap, 2] = y, last[y], starts[run]
            gap += 1
        first[y] = min(first[y], starts[run])
        last[y] = stops[run]
    _join(gaps, parent, first, last)
    area = 0
    for gap in range(1, n_gaps):
        if _root(parent, gap) != 0:
            area += gaps[gap, 2] - gaps[gap, 1]
    return area


@njit(cache=True, nogil=True)
def _join(gaps: Ints, parent: Ints, first: Ints, last: Ints) -> None:
    """Unite gaps ``[start, stop)`` with those they touch one row up, and with the outside."""
    above = 1
    for gap in range(1, len(gaps)):
        y, start, stop = gaps[gap]
        for beside in (y - 1, y + 1):
            inside = 0 <= beside < len(first)
            if not inside or start <= first[beside] or stop >= last[beside]:
                _unite(parent, 0, gap)
        while gaps[above, 0] < y - 1:
            above += 1
        other = above
        while gaps[other, 0] == y - 1:
            if start <= gaps[other, 2] and gaps[other, 1] <= stop:
                _unite(parent, other, gap)
            other += 1


@njit(cache=True, nogil=True)
def _unite(parent: Ints, one: int, other: int) -> None:
    one, other = _root(parent, one), _root(parent, other)
    parent[max(one, other)] = min(one, other)


@njit(cache=True, nogil=True)
def _root(parent: Ints, gap: int) -> int:
    while parent[gap] != gap:
        parent[gap] = parent[parent[gap]]
        gap = parent[gap]
    return gap
