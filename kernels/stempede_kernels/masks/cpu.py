"""Masks of host arrays changed region by region, over runs of pixels."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stempede_kernels.label.cpu import label_runs, rows_of_runs
from stempede_kernels.threads import spread

Masks = NDArray[np.bool_]

# which runs of the first mask stay: those of regions that ...
REACHED = 0  # hold a pixel of the second mask
HOLE = 1  # are at most so large and away from the border
LARGE = 2  # are at least so large


def hysteresis(low: Masks, high: Masks, connectivity: int) -> Masks:
    """Keep regions of a batch ``(b, y, x)`` that hold a pixel of another."""
    return _select(low, high, REACHED, 0, connectivity)


def fill_holes(mask: Masks, largest_px: int) -> Masks:
    """Fill the holes of a batch ``(b, y, x)``."""
    holes = _select(~mask, mask, HOLE, largest_px, 1)
    holes |= mask
    return holes


def drop_small(mask: Masks, least_px: int, connectivity: int) -> Masks:
    """Drop the small regions of a batch ``(b, y, x)``."""
    return _select(mask, mask, LARGE, least_px, connectivity)


def _select(mask: Masks, other: Masks, rule: int, size_px: int, connectivity: int) -> Masks:
    kept = np.zeros(mask.shape, np.bool_)
    ones, reach = mask.view(np.uint8), connectivity - 1
    spread(_select_frames, len(mask), ones, other, rule, size_px, reach, kept)
    return kept


@njit(cache=True, nogil=True)
def _select_frames(begin, end, mask, other, rule, size_px, reach, kept):
    for frame in range(begin, end):
        _select_frame(mask[frame], other[frame], rule, size_px, reach, kept[frame])


@njit(cache=True, nogil=True)
def _select_frame(mask, other, rule, size_px, reach, kept):
    """Write the regions of one frame that follow the rule into zeros."""
    height, width = mask.shape
    begin, starts, stops, region, n_regions = label_runs(mask, reach)
    rows = rows_of_runs(begin, len(region))
    area = np.zeros(n_regions + 1, np.int64)
    marked = np.zeros(n_regions + 1, np.bool_)  # reached, or at the border
    for run in range(len(region)):
        number, y = region[run], rows[run]
        area[number] += stops[run] - starts[run]
        if rule == REACHED:
            if not marked[number]:
                marked[number] = other[y, starts[run] : stops[run]].any()
        elif y in (0, height - 1) or starts[run] == 0 or stops[run] == width:
            marked[number] = True
    for run in range(len(region)):
        number = region[run]
        if rule == REACHED:
            stays = marked[number]
        elif rule == HOLE:
            stays = not marked[number] and area[number] <= size_px
        else:
            stays = area[number] >= size_px
        if stays:
            kept[rows[run], starts[run] : stops[run]] = True
