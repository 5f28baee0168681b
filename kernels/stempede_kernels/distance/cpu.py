"""Two-scan exact distance transform for host arrays."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stempede_kernels.threads import spread

# columns of one strip; a strip of 2048 rows stays in a second-level cache
STRIP_PX = 64


def distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Measure a batch ``(b, y, x)``."""
    result = np.empty(mask.shape, np.float32)
    spread(_measure_frames, len(mask), mask, result)
    return result


@njit(cache=True, nogil=True)
def _measure_frames(begin, end, mask, result):
    for frame in range(begin, end):
        _scan_columns(mask[frame], result[frame])
        _scan_rows(mask[frame], result[frame])


@njit(cache=True, nogil=True)
def _scan_columns(mask, gap):
    """Write the distance to the nearest background pixel of the same column."""
    height, width = mask.shape
    one = np.float32(1.0)
    for start in range(0, width, STRIP_PX):
        stop = min(start + STRIP_PX, width)
        for x in range(start, stop):
            gap[0, x] = np.float32(np.inf) if mask[0, x] else np.float32(0.0)
        for y in range(1, height):
            for x in range(start, stop):
                gap[y, x] = gap[y - 1, x] + one if mask[y, x] else np.float32(0.0)
        for y in range(height - 2, -1, -1):
            for x in range(start, stop):
                gap[y, x] = min(gap[y, x], gap[y + 1, x] + one)


@njit(cache=True, nogil=True)
def _scan_rows(mask, gap):
    """Turn column distances into Euclidean ones, run of foreground by run of foreground.

    The background pixels at the two ends of a run are nearer than anything beyond them, so
    the lower envelope of parabolas needs the sites of the run and its two ends only.
    """
    height, width = mask.shape
    site = np.empty(width, np.int64)
    square = np.empty(width, np.float64)
    begin = np.empty(width + 1, np.float64)
    for y in range(height):
        x = 0
        while x < width:
            if not mask[y, x]:
                x += 1
                continue
            stop = x
            while stop < width and mask[y, stop]:
                stop += 1
            first = max(x - 1, 0)
            last = min(stop, width - 1)
            n_sites = _lower_envelope(gap[y], first, last + 1, site, square, begin)
            _read_envelope(gap[y], x, stop, site, square, begin, n_sites)
            x = stop


@njit(cache=True, nogil=True)
def _lower_envelope(gap, first, stop, site, square, begin):
    """Collect the parabolas ``square + (x - site)**2`` that are lowest somewhere, left to right."""
    n_sites = 0
    for x in range(first, stop):
        if gap[x] == np.inf:
            continue
        height = np.float64(gap[x]) * np.float64(gap[x])
        cut = -np.inf
        while n_sites > 0:
            left = site[n_sites - 1]
            rise = height + x * x - square[n_sites - 1] - left * left
            cut = rise / (2.0 * (x - left))
            if cut > begin[n_sites - 1]:
                break
            n_sites -= 1
            cut = -np.inf
        site[n_sites] = x
        square[n_sites] = height
        begin[n_sites] = cut
        n_sites += 1
    begin[n_sites] = np.inf
    return n_sites


@njit(cache=True, nogil=True)
def _read_envelope(gap, start, stop, site, square, begin, n_sites):
    """Write the root of the envelope over ``[start, stop)``; inf where there is no site."""
    if n_sites == 0:
        return
    k = 0
    for x in range(start, stop):
        while begin[k + 1] < x:
            k += 1
        step = np.float64(x - site[k])
        gap[x] = np.float32(np.sqrt(square[k] + step * step))
