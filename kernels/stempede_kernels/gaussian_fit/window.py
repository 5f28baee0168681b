"""One window of a frame: cut it, draw Gaussians on it, sum the moments that a fit needs (numba).

The window lies in flat scratch arrays of ``height`` rows, ``stride`` apart. Pixels beyond the
frame, and those that are not finite, have ``seen`` 0 and weigh nothing.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

# products may be fused and sums reordered; nothing that would lose a NaN
FAST = {"contract", "reassoc", "nsz", "arcp", "afn"}

Floats = NDArray[np.float64]

# beyond this exponent the product of a row and a column factor could overflow
STEEP = 600.0


class Scratch(NamedTuple):
    """Memory of one thread: the window, and lines along its sides."""

    data: Floats
    base: Floats
    seen: Floats
    bell: Floats
    rate: Floats
    along_y: Floats
    along_x: Floats
    turn: Floats


class Box(NamedTuple):
    """Rectangle of a frame: first row and column, height, width, stride in the scratch."""

    y: int
    x: int
    height: int
    width: int
    stride: int


@njit(cache=True, nogil=True)
def scratch(window: int) -> Scratch:
    """Allocate for windows up to a side."""
    stride = row_stride(window)
    full = window * stride
    return Scratch(
        np.zeros(full),
        np.zeros(full),
        np.zeros(full),
        np.zeros(full),
        np.zeros(full),
        np.zeros(stride),
        np.zeros(stride),
        np.zeros(stride),
    )


@njit(cache=True, nogil=True)
def row_stride(window: int) -> int:
    """Return whole vectors of eight numbers per row."""
    return (window + 7) // 8 * 8


@njit(cache=True, nogil=True)
def cut(image: NDArray[np.float32], y: int, x: int, window: int, s: Scratch) -> Box:
    """Copy the part of a window that lies inside the frame; the base is set to zero."""
    half = window // 2
    y0, x0 = max(y - half, 0), max(x - half, 0)
    height = max(min(y + half + 1, image.shape[0]) - y0, 0)
    width = max(min(x + half + 1, image.shape[1]) - x0, 0)
    stride = row_stride(window)
    for j in range(height):
        for i in range(stride):
            k = j * stride + i
            value = image[y0 + j, x0 + i] if i < width else np.nan
            finite = np.isfinite(value)
            s.data[k] = value if finite else 0.0
            s.seen[k] = 1.0 if finite else 0.0
            s.base[k] = 0.0
    return Box(y0, x0, height, width, stride)


@njit(cache=True, nogil=True)
def _line(first: int, length: int, centre: float, precision: float, line: Floats) -> None:
    """Fill ``exp(-precision (first + k - centre)² / 2)`` by a recurrence of second order.

    It starts at the pixel nearest the centre and only falls, so that it cannot overflow.
    """
    start = min(max(int(round(centre)) - first, 0), length - 1)
    d = first + start - centre
    peak, decay = np.exp(-0.5 * precision * d * d), np.exp(-precision)
    line[start] = peak
    value, ratio = peak, np.exp(-precision * (d + 0.5))
    for k in range(start + 1, length):
        value *= ratio
        ratio *= decay
        line[k] = value
    value, ratio = peak, np.exp(precision * (d - 0.5))
    for k in range(start - 1, -1, -1):
        value *= ratio
        ratio *= decay
        line[k] = value


@njit(cache=True, nogil=True, fastmath=FAST)
def draw(place: Floats, box: Box, s: Scratch) -> None:
    """Fill ``bell`` with a Gaussian of height 1.

    Parameters
    ----------
    place : (≥ 6,) float64 array
        y, x, amplitude (not used), then the precision matrix yy, yx, xx in px⁻².
    """
    y, x, pyy, pyx, pxx = place[0], place[1], place[3], place[4], place[5]
    far_y = max(abs(box.y - y), abs(box.y + box.height - 1 - y))
    far_x = max(abs(box.x - x), abs(box.x + box.width - 1 - x))
    if abs(pyx) * far_y * far_x > STEEP:
        _draw_plainly(place, box, s)
        return
    _line(box.y, box.height, y, pyy, s.along_y)
    _line(box.x, box.width, x, pxx, s.along_x)
    row, turn = s.along_x, s.turn
    for i in range(box.width, box.stride):
        row[i] = 0.0
        turn[i] = 0.0
    if pyx != 0.0:
        dy, dx = box.y - y, box.x - x
        factor, step = np.exp(-pyx * dy * dx), np.exp(-pyx * dy)
        ratio, ratio_step = np.exp(-pyx * dx), np.exp(-pyx)
        for i in range(box.width):
            row[i] *= factor
            turn[i] = ratio
            factor *= step
            ratio *= ratio_step
    for j in range(box.height):
        k = j * box.stride
        height = s.along_y[j]
        for i in range(box.stride):
            s.bell[k + i] = height * row[i]
        if pyx != 0.0:
            for i in range(box.stride):
                row[i] *= turn[i]


@njit(cache=True, nogil=True)
def _draw_plainly(place: Floats, box: Box, s: Scratch) -> None:
    for j in range(box.height):
        dy = box.y + j - place[0]
        for i in range(box.width):
            dx = box.x + i - place[1]
            q = place[3] * dy * dy + 2.0 * place[4] * dy * dx + place[5] * dx * dx
            s.bell[j * box.stride + i] = np.exp(-0.5 * q)


@njit(cache=True, nogil=True, fastmath=FAST)
def add_to_base(amplitude: float, box: Box, s: Scratch) -> None:
    """Add the Gaussian in ``bell`` to what is known of the window."""
    for k in range(box.height * box.stride):
        s.base[k] += amplitude * s.bell[k]
