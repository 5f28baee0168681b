"""Sums over a window that make up the gradient and the Fisher information (numba).

Every derivative of the model is the Gaussian ``g`` times a monomial in ``dy, dx``, or a monomial
alone. So are all sums: with the weight ``w`` of a pixel and its residual ``r``,

``two[i, j] = Σ w g² dyⁱ dxʲ``, ``one[i, j] = Σ w g dyⁱ dxʲ``, ``zero[i, j] = Σ w dyⁱ dxʲ``,
``pull_one[i, j] = Σ w r g dyⁱ dxʲ``, ``pull_zero[i, j] = Σ w r dyⁱ dxʲ``.
"""

from typing import NamedTuple

import numpy as np

from stempede_kernels.gaussian_fit.window import Box, Floats, Scratch, borrow, fused, inlined, plain

# a rate below this share of the window's mean counts as this share
FLOOR = 1e-6
LOG_2 = 0.6931471805599453
# bits of a float64: fraction; the numbers 1, √½ and 2⁵², whose last bit is 1
FRACTION_BITS = 0x000FFFFFFFFFFFFF
ONE_BITS = 0x3FF0000000000000
ROOT_HALF_BITS = 0x3FE6A09E667F3BCD
COUNTING_BITS = 0x4330000000000000
COUNTING_ONE = 4503599627370496.0 + 1023.0


class Moments(NamedTuple):
    """Sums over a window."""

    two: Floats
    one: Floats
    zero: Floats
    pull_one: Floats
    pull_zero: Floats


@plain
def moments() -> Moments:
    """Allocate."""
    return Moments(
        np.zeros((5, 5)), np.zeros((4, 4)), np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((2, 2))
    )


@plain
def borrow_moments(m: Moments) -> Moments:
    """Borrow every array."""
    return Moments(
        borrow(m.two), borrow(m.one), borrow(m.zero), borrow(m.pull_one), borrow(m.pull_zero)
    )


@fused
def rate(theta: Floats, middle: Floats, box: Box, s: Scratch, floor: float) -> None:
    """Fill ``rate`` with the model: base + offset + plane + amplitude times ``bell``."""
    amplitude, slope_y, slope_x = theta[2], theta[7], theta[8]
    level = theta[6] + slope_y * (box.y - middle[0]) + slope_x * (box.x - middle[1])
    for k in range(box.height * box.stride):
        plane = level + slope_y * s.row[k] + slope_x * s.column[k]
        s.rate[k] = max(s.base[k] + amplitude * s.bell[k] + plane, floor)


@fused
def deviance(box: Box, s: Scratch, poisson: bool, own: float) -> float:  # noqa: FBT001
    """Return ``2 Σ (rate − d log rate) + own``, or the sum of squares, of the pixels seen."""
    total = 0.0
    if not poisson:
        for k in range(box.height * box.stride):
            r = s.data[k] - s.rate[k]
            total += s.seen[k] * r * r
        return total
    _split(box.height * box.stride, s)
    for k in range(box.height * box.stride):
        total += s.seen[k] * s.rate[k] - s.data[k] * _log(s.mantissa[k], s.exponent[k])
    return 2.0 * total + own


@fused
def own_deviance(box: Box, s: Scratch) -> float:
    """Return what makes the deviance zero for a perfect model; overwrites ``rate``.

    Negative data have no perfect model and add nothing.
    """
    for k in range(box.height * box.stride):
        s.rate[k] = s.data[k] if s.data[k] > 0.0 else 1.0
    _split(box.height * box.stride, s)
    total = 0.0
    for k in range(box.height * box.stride):
        positive = max(s.data[k], 0.0)
        total += positive * _log(s.mantissa[k], s.exponent[k]) - positive
    return 2.0 * total


@plain
def _split(n: int, s: Scratch) -> None:
    """Split ``rate`` into a mantissa in [√½, √2) and a power of two, as 2⁵² + 1023 + power."""
    for k in range(n):
        bits = s.rate_bits[k] + (ONE_BITS - ROOT_HALF_BITS)
        s.mantissa_bits[k] = (bits & FRACTION_BITS) + ROOT_HALF_BITS
        s.exponent_bits[k] = (bits >> 52) | COUNTING_BITS


@inlined
def _log(mantissa: float, counted: float) -> float:
    """Return the logarithm of a positive number that was split, to 1e-13.

    The library's logarithm works on one number at a time; this one on vectors of them.
    """
    power = counted - COUNTING_ONE
    z = (mantissa - 1.0) / (mantissa + 1.0)
    q = z * z
    # 2 artanh z, |z| < 0.1716
    series = 1.0 / 15.0
    series = series * q + 1.0 / 13.0
    series = series * q + 1.0 / 11.0
    series = series * q + 1.0 / 9.0
    series = series * q + 1.0 / 7.0
    series = series * q + 0.2
    series = series * q + 1.0 / 3.0
    return power * LOG_2 + 2.0 * z * (1.0 + q * series)


@fused
def gather(theta: Floats, box: Box, s: Scratch, poisson: bool, plane: bool, m: Moments) -> None:  # noqa: FBT001
    """Sum the moments of the window about the current position."""
    n = box.height * box.stride
    if poisson:
        for k in range(n):
            s.weight[k] = s.seen[k] / s.rate[k]
            s.pull[k] = s.weight[k] * (s.data[k] - s.rate[k])
    else:
        for k in range(n):
            s.weight[k] = s.seen[k]
            s.pull[k] = s.seen[k] * (s.data[k] - s.rate[k])
    corner_y, corner_x = box.y - theta[0], box.x - theta[1]
    _gather_squares(corner_y, corner_x, n, s, m.two)
    _gather_singles(corner_y, corner_x, n, s, m)
    if plane:
        _gather_plane(corner_y, corner_x, n, s, m)


@fused
def _gather_squares(corner_y: float, corner_x: float, n: int, s: Scratch, two: Floats) -> None:
    a00 = a01 = a02 = a03 = a04 = a10 = a11 = a12 = a13 = 0.0
    a20 = a21 = a22 = a30 = a31 = a40 = 0.0
    for k in range(n):
        dy, dx = corner_y + s.row[k], corner_x + s.column[k]
        g = s.bell[k]
        t = s.weight[k] * g * g
        u, v = t * dx, t * dy
        uu, uv, vv = u * dx, u * dy, v * dy
        uuu, uuv, uvv, vvv = uu * dx, uu * dy, vv * dx, vv * dy
        a00 += t
        a01 += u
        a10 += v
        a02 += uu
        a11 += uv
        a20 += vv
        a03 += uuu
        a12 += uuv
        a21 += uvv
        a30 += vvv
        a04 += uuu * dx
        a13 += uuu * dy
        a22 += uuv * dy
        a31 += vvv * dx
        a40 += vvv * dy
    two[0, 0], two[0, 1], two[0, 2], two[0, 3], two[0, 4] = a00, a01, a02, a03, a04
    two[1, 0], two[1, 1], two[1, 2], two[1, 3] = a10, a11, a12, a13
    two[2, 0], two[2, 1], two[2, 2] = a20, a21, a22
    two[3, 0], two[3, 1], two[4, 0] = a30, a31, a40


@fused
def _gather_singles(corner_y: float, corner_x: float, n: int, s: Scratch, m: Moments) -> None:
    b00 = b01 = b10 = b02 = b11 = b20 = p00 = p01 = p10 = p02 = p11 = p20 = c00 = q00 = 0.0
    for k in range(n):
        dy, dx = corner_y + s.row[k], corner_x + s.column[k]
        w, r, g = s.weight[k], s.pull[k], s.bell[k]
        b, p = w * g, r * g
        bx, by, px, py = b * dx, b * dy, p * dx, p * dy
        c00 += w
        q00 += r
        b00 += b
        b01 += bx
        b10 += by
        b02 += bx * dx
        b11 += bx * dy
        b20 += by * dy
        p00 += p
        p01 += px
        p10 += py
        p02 += px * dx
        p11 += px * dy
        p20 += py * dy
    m.zero[0, 0], m.pull_zero[0, 0] = c00, q00
    m.one[0, 0], m.one[0, 1], m.one[0, 2] = b00, b01, b02
    m.one[1, 0], m.one[1, 1], m.one[2, 0] = b10, b11, b20
    m.pull_one[0, 0], m.pull_one[0, 1], m.pull_one[0, 2] = p00, p01, p02
    m.pull_one[1, 0], m.pull_one[1, 1], m.pull_one[2, 0] = p10, p11, p20


@fused
def _gather_plane(corner_y: float, corner_x: float, n: int, s: Scratch, m: Moments) -> None:
    """Sum what only a sloping background needs."""
    b03 = b12 = b21 = b30 = c01 = c10 = c02 = c11 = c20 = q01 = q10 = 0.0
    for k in range(n):
        dy, dx = corner_y + s.row[k], corner_x + s.column[k]
        w, r = s.weight[k], s.pull[k]
        wx, wy = w * dx, w * dy
        b = w * s.bell[k]
        bx, by = b * dx * dx, b * dy * dy
        c01 += wx
        c10 += wy
        c02 += wx * dx
        c11 += wx * dy
        c20 += wy * dy
        q01 += r * dx
        q10 += r * dy
        b03 += bx * dx
        b12 += bx * dy
        b21 += by * dx
        b30 += by * dy
    m.zero[0, 1], m.zero[1, 0] = c01, c10
    m.zero[0, 2], m.zero[1, 1], m.zero[2, 0] = c02, c11, c20
    m.pull_zero[0, 1], m.pull_zero[1, 0] = q01, q10
    m.one[0, 3], m.one[1, 2], m.one[2, 1], m.one[3, 0] = b03, b12, b21, b30
