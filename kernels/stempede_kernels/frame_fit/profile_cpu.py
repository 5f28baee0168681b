"""Rows of a Gaussian profile on the CPU, and sums along them.

A row is drawn from three exponentials; sums are taken of powers of the distance along it.
"""

from functools import partial
from math import ceil, exp, floor, pi, sqrt

import numpy as np
from numba import njit

from stempede_kernels.threads import spread

# a thread takes that many rows, or columns, at a time
in_bands = partial(spread, at_once=32)

# sums may be reordered by the compiler, once and for all; NaN stay
_FAST = {"contract", "reassoc", "nsz"}

plain = njit(cache=True, nogil=True, error_model="numpy")
fused = njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)


@plain
def span(y, centre_y, centre_x, radius, width):
    """Return first and one past the last pixel of a disc's row inside the frame."""
    square = radius * radius - (y - centre_y) ** 2
    if square < 0:
        return 0, 0
    half = sqrt(square)
    return max(ceil(centre_x - half), 0), min(floor(centre_x + half) + 1, width)


@plain
def profile(y, first, last, gaussian, row):
    """Draw a row of a profile of unit integral from its pixel nearest the maximum outward."""
    pyy, pyx, pxx = gaussian[2], gaussian[3], gaussian[4]
    dy = y - gaussian[0]
    peak = min(max(int(np.rint(gaussian[1] - pyx * dy / pxx)), first), last - 1)
    dx = peak - gaussian[1]
    norm = sqrt(pyy * pxx - pyx * pyx) / (2 * pi)
    top = norm * exp(-0.5 * (pyy * dy * dy + 2 * pyx * dy * dx + pxx * dx * dx))
    slope, fade = pxx * dx + pyx * dy, exp(-pxx)
    value, ratio = top, exp(-slope - 0.5 * pxx)
    for x in range(peak, last):
        row[x - first] = value
        value *= ratio
        ratio *= fade
    value, ratio = top, exp(slope - 0.5 * pxx)
    for x in range(peak - 1, first - 1, -1):
        value *= ratio
        ratio *= fade
        row[x - first] = value


@fused
def first_powers(image, row, dx):
    """Return sums of image times row, and times the distance along it."""
    total, along = 0.0, 0.0
    for k in range(len(row)):
        part = image[k] * row[k]
        total += part
        along += part * (dx + k)
    return total, along


@fused
def second_powers(weight, row, other, dx):
    """Return sums of weight times two rows times powers 0, 1, 2 of the distance along them."""
    total, along, twice = 0.0, 0.0, 0.0
    for k in range(len(row)):
        part = weight[k] * row[k] * other[k]
        total += part
        along += part * (dx + k)
        twice += part * (dx + k) ** 2
    return total, along, twice
