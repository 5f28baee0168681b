"""Run-based two-pass labelling for host arrays."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stempede_kernels.threads import spread


def label(
    mask: NDArray[np.bool_], connectivity: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Label a batch ``(b, y, x)``."""
    labels = np.zeros(mask.shape, np.int32)
    counts = np.zeros(len(mask), np.int32)
    ones = mask.view(np.uint8)
    reach = connectivity - 1
    spread(_label_frames, len(mask), ones, reach, labels, counts)
    return labels, counts


def renumber(labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Renumber a batch ``(b, y, x)``."""
    numbered = np.zeros(labels.shape, np.int32)
    counts = np.zeros(len(labels), np.int32)
    spread(_renumber_frames, len(labels), labels, numbered, counts)
    return numbered, counts


@njit(cache=True, nogil=True)
def _renumber_frames(begin, end, labels, numbered, counts):
    for frame in range(begin, end):
        counts[frame] = _renumber_frame(labels[frame], numbered[frame])


@njit(cache=True, nogil=True)
def _renumber_frame(labels, numbered):
    """Renumber one frame into zeros; return the number of labels."""
    begin, start, stop, value = equal_runs(labels)
    number = np.zeros(max(value.max(), 0) + 1, np.int32)
    n_labels = 0
    for run in range(len(value)):
        if value[run] > 0 and number[value[run]] == 0:
            n_labels += 1
            number[value[run]] = n_labels
        value[run] = number[max(value[run], 0)]
    paint_runs(begin, start, stop, value, numbered)
    return n_labels


@njit(cache=True, nogil=True)
def equal_runs(labels):
    """Find the runs of equal label of one frame.

    Parameters
    ----------
    labels : (y, x) int32 array

    Returns
    -------
    begin : (y + 1,) int32 array
        The runs of row y are ``begin[y]`` to ``begin[y + 1]``, that one excluded.
    start, stop, value : (r,) int32 arrays
        Runs ``[start, stop)`` in raster order, that of label 0 too, and their labels.
    """
    height, width = labels.shape
    begin = np.empty(height + 1, np.int32)
    # room for the most runs there can be; untouched pages cost no memory
    start, stop = np.empty(labels.size, np.int32), np.empty(labels.size, np.int32)
    value = np.empty(labels.size, np.int32)
    # eight places where the label changes, or does not, are looked at together
    changes = np.zeros(8 * (width // 8 + 1), np.uint8)
    words = changes.view(np.uint64)
    n = 0
    for y in range(height):
        row = labels[y]
        _compare(row[: width - 1], row[1:], changes[1:])
        begin[y] = n
        start[n], value[n] = 0, row[0]
        for word in range(len(words)):
            if words[word] == 0:
                continue
            for x in range(8 * word, 8 * word + 8):
                if changes[x]:
                    stop[n] = x
                    n += 1
                    start[n], value[n] = x, row[x]
        stop[n] = width
        n += 1
    begin[height] = n
    return begin, start[:n], stop[:n], value[:n]


@njit(cache=True, nogil=True)
def _compare(before, after, changes):
    for x in range(len(before)):
        changes[x] = before[x] != after[x]


@njit(cache=True, nogil=True)
def paint_runs(begin, start, stop, value, out):
    """Paint the runs of one frame whose label is not 0 into zeros."""
    for y in range(len(begin) - 1):
        for run in range(begin[y], begin[y + 1]):
            if value[run] != 0:
                out[y, start[run] : stop[run]] = value[run]


@njit(cache=True, nogil=True)
def _label_frames(begin, end, mask, reach, labels, counts):
    for frame in range(begin, end):
        counts[frame] = _label_frame(mask[frame], reach, labels[frame])


@njit(cache=True, nogil=True)
def _label_frame(mask, reach, labels):
    """Label one frame into zeros; return the number of regions."""
    begin, starts, stops, region, n_regions = label_runs(mask, reach)
    for y in range(len(begin) - 1):
        for run in range(begin[y], begin[y + 1]):
            labels[y, starts[run] : stops[run]] = region[run]
    return n_regions


@njit(cache=True, nogil=True)
def label_runs(mask, reach):
    """Find the runs of foreground of one frame and the region each belongs to.

    Parameters
    ----------
    mask : (y, x) uint8 array of 0 and 1
    reach : int
        How far beyond its ends a run touches runs of the row above: 0 or 1 px.

    Returns
    -------
    begin : (y + 1,) int32 array
        The runs of row y are ``begin[y]`` to ``begin[y + 1]``, that one excluded.
    starts, stops, region : (r,) int32 arrays
        Runs ``[start, stop)`` in raster order; regions count from 1 in the same order.
    n_regions : int
    """
    height, width = mask.shape
    begin = np.zeros(height + 1, np.int32)
    # room for the most runs there can be; untouched pages cost no memory
    ends = np.empty(2 * height * ((width + 1) // 2) + 1, np.int32)
    for y in range(height):
        begin[y + 1] = _find_runs(mask[y], begin[y], ends)
    n_runs = begin[height]
    starts = ends[0 : 2 * n_runs : 2]
    stops = ends[1 : 2 * n_runs : 2]
    region = np.arange(n_runs).astype(np.int32)
    for y in range(1, height):
        _join_rows(begin[y - 1], begin[y], begin[y + 1], reach, starts, stops, region)
    n_regions = _number_roots(region)
    return begin, starts, stops, region, n_regions


@njit(cache=True, nogil=True)
def rows_of_runs(begin, n_runs):
    """Return the row of every run, (r,) int32, from the first run of every row."""
    rows = np.empty(n_runs, np.int32)
    for y in range(len(begin) - 1):
        rows[begin[y] : begin[y + 1]] = y
    return rows


@njit(cache=True, nogil=True)
def group_by_region(region, n_regions):
    """Sort runs by region, in raster order within each; region r has ``[first[r], first[r+1])``."""
    first = np.zeros(n_regions + 2, np.int64)
    for run in range(len(region)):
        first[region[run] + 1] += 1
    for number in range(1, n_regions + 2):
        first[number] += first[number - 1]
    free = first.copy()
    order = np.empty(len(region), np.int32)
    for run in range(len(region)):
        order[free[region[run]]] = run
        free[region[run]] += 1
    return order, first


@njit(cache=True, nogil=True)
def _find_runs(row, n_runs, ends):
    """Append start and stop of the runs of one row; return the number of runs so far."""
    # every position is written and kept only where the row changes: no branch to mispredict
    k = 2 * n_runs
    before = np.uint8(0)
    for x in range(len(row)):
        ends[k] = x
        k += (row[x] ^ before) & 1
        before = row[x]
    ends[k] = len(row)
    return (k + (before & 1)) // 2


@njit(cache=True, nogil=True)
def _join_rows(above, here, end, reach, starts, stops, parent):
    """Unite the runs ``[here, end)`` of a row with the runs ``[above, here)`` they touch."""
    for run in range(here, end):
        while above < here and stops[above] + reach <= starts[run]:
            above += 1
        touching = above
        while touching < here and starts[touching] < stops[run] + reach:
            _unite(parent, touching, run)
            touching += 1


@njit(cache=True, nogil=True)
def _unite(parent, first, second):
    """Give two runs one root, the earlier of their two."""
    first = _root(parent, first)
    second = _root(parent, second)
    if first < second:
        parent[second] = first
    else:
        parent[first] = second


@njit(cache=True, nogil=True)
def _root(parent, run):
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


@njit(cache=True, nogil=True)
def _number_roots(parent):
    """Replace parents by region numbers; a parent is never later than its child."""
    n_regions = 0
    for run in range(len(parent)):
        if parent[run] == run:
            n_regions += 1
            parent[run] = n_regions
        else:
            parent[run] = parent[parent[run]]
    return n_regions
