"""One window of a frame: cut it, draw Gaussians on it, sum the moments that a fit needs (numba).

The window lies in flat scratch arrays of ``height`` rows, ``stride`` apart. Pixels beyond the
frame, and those that are not finite, have ``seen`` 0 and weigh nothing.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

# products may be fused and sums reordered; nothing that would lose a NaN
FAST = {"contract", "reassoc", "nsz", "arcp", "afn"}
# a division by zero gives an infinity, not an exception, which would keep loops from vectors
plain = njit(cache=True, nogil=True, error_model="numpy")
fused = njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
inlined = njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST, inline="always")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# beyond this exponent the product of a row and a column factor could overflow
STEEP = 600.0


class Scratch(NamedTuple):
    """Memory of one thread: the window, pixel by pixel, and lines along its sides.

    ``row`` and ``column`` count from the window's corner. ``rate_bits`` and ``mantissa_bits``
    show the memory of ``rate`` and ``mantissa`` as integers.
    """

    data: Floats
    base: Floats
    seen: Floats
    bell: Floats
    rate: Floats
    weight: Floats
    pull: Floats
    row: Floats
    column: Floats
    mantissa: Floats
    exponent: Floats
    rate_bits: Ints
    mantissa_bits: Ints
    exponent_bits: Ints
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


@plain
def scratch(window: int) -> Scratch:
    """Allocate for windows up to a side."""
    stride = row_stride(window)
    pixels, lines = np.zeros((11, window * stride)), np.zeros((3, stride))
    bits = pixels.view(np.int64)
    return Scratch(
        pixels[0],
        pixels[1],
        pixels[2],
        pixels[3],
        pixels[4],
        pixels[5],
        pixels[6],
        pixels[7],
        pixels[8],
        pixels[9],
        pixels[10],
        bits[4],
        bits[9],
        bits[10],
        lines[0],
        lines[1],
        lines[2],
    )


@intrinsic
def _pointer(_: Any, address: Any) -> Any:
    """Turn an address into a pointer."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


@plain
def borrow(array: Any) -> Any:
    """View an array without counting the reference; the owner must outlive the view.

    Members of tuples are counted, atomically, wherever a function takes one up: a quarter to
    a half of the time of a fit.
    """
    return carray(_pointer(array.ctypes.data), array.shape, array.dtype)


@plain
def borrow_scratch(s: Scratch) -> Scratch:
    """Borrow every array."""
    return Scratch(
        borrow(s.data),
        borrow(s.base),
        borrow(s.seen),
        borrow(s.bell),
        borrow(s.rate),
        borrow(s.weight),
        borrow(s.pull),
        borrow(s.row),
        borrow(s.column),
        borrow(s.mantissa),
        borrow(s.exponent),
        borrow(s.rate_bits),
        borrow(s.mantissa_bits),
        borrow(s.exponent_bits),
        borrow(s.along_y),
        borrow(s.along_x),
        borrow(s.turn),
    )


@plain
def row_stride(width: int) -> int:
    """Return whole vectors of eight numbers per row."""
    return (width + 7) // 8 * 8


@plain
def cut(image: NDArray[np.float32], y: int, x: int, window: int, s: Scratch) -> Box:
    """Copy the part of a window that lies inside the frame; the base is set to zero."""
    half = window // 2
    y0, x0 = max(y - half, 0), max(x - half, 0)
    height = max(min(y + half + 1, image.shape[0]) - y0, 0)
    width = max(min(x + half + 1, image.shape[1]) - x0, 0)
    stride = row_stride(width)
    for j in range(height):
        k = j * stride
        for i in range(width):
            value = image[y0 + j, x0 + i]
            finite = abs(value) < np.inf
            s.data[k + i] = value if finite else 0.0
            s.seen[k + i] = 1.0 if finite else 0.0
        for i in range(width, stride):
            s.data[k + i] = 0.0
            s.seen[k + i] = 0.0
        for i in range(stride):
            s.base[k + i] = 0.0
            s.row[k + i], s.column[k + i] = j, i
    return Box(y0, x0, height, width, stride)


@plain
def _line(first: int, length: int, centre: float, precision: float, line: Floats) -> None:
    """Fill ``exp(-precision (first + k - centre)² / 2)`` by a recurrence of second order.

    It starts at the pixel nearest the centre and only falls, so that it cannot overflow.
    """
    start = min(max(round(centre) - first, 0), length - 1)
    d = first + start - centre
    peak, half_decay = np.exp(-0.5 * precision * d * d), np.exp(-0.5 * precision)
    decay, shift = half_decay * half_decay, np.exp(-precision * d)
    line[start] = peak
    value, ratio = peak, half_decay * shift
    for k in range(start + 1, length):
        value *= ratio
        ratio *= decay
        line[k] = value
    value, ratio = peak, half_decay / shift
    for k in range(start - 1, -1, -1):
        value *= ratio
        ratio *= decay
        line[k] = value


@fused
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


@plain
def _draw_plainly(place: Floats, box: Box, s: Scratch) -> None:
    for j in range(box.height):
        dy = box.y + j - place[0]
        for i in range(box.width):
            dx = box.x + i - place[1]
            q = place[3] * dy * dy + 2.0 * place[4] * dy * dx + place[5] * dx * dx
            s.bell[j * box.stride + i] = np.exp(-0.5 * q)


@fused
def add_to_base(amplitude: float, box: Box, s: Scratch) -> None:
    """Add the Gaussian in ``bell`` to what is known of the window."""
    for k in range(box.height * box.stride):
        s.base[k] += amplitude * s.bell[k]
