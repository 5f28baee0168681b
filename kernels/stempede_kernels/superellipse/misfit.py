"""Distances of outline points from a shape, and their normal equations, in vectors (numba)."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from stempede_kernels.superellipse.plan import LEAST_SQUARE, N_FREE, Floats, Ints

# no liberties with arithmetic: what a compiler makes of them differs between the process that
# compiles and those that read its cache, in the last bit
plain = njit(cache=True, nogil=True, error_model="numpy")

N_SYSTEM = 27
"""Lower triangle of the matrix by rows, then the gradient."""

_LN2 = 0.6931471805599453
_SQRT2 = 1.4142135623730951
_ONE_BITS = 1023 << 52
_FRACTION_BITS = (1 << 52) - 1


class Scratch(NamedTuple):
    """Memory of one fit: outline points, and line by line what is worked out for them.

    ``bits`` and ``power_bits`` show the memory of ``value`` and ``power`` as integers.
    """

    n: int
    y: Floats
    x: Floats
    weight: Floats
    square: Floats
    log_square: Floats
    cos: Floats
    sin: Floats
    log_c: Floats
    log_s: Floats
    small: Floats
    value: Floats
    power: Floats
    bits: Ints
    power_bits: Ints
    misfit: Floats
    rows: Floats


@plain
def scratch(points: Any, first: int, last: int) -> Scratch:
    """Allocate for the points of one outline and copy them."""
    n = last - first
    lines = np.empty((13, n))
    bits = lines[11:13].view(np.int64)
    s = Scratch(
        n,
        lines[0],
        lines[1],
        lines[2],
        lines[3],
        lines[4],
        lines[5],
        lines[6],
        lines[7],
        lines[8],
        lines[9],
        lines[11],
        lines[12],
        bits[0],
        bits[1],
        lines[10],
        np.empty((N_FREE, n)),
    )
    for i in range(n):
        s.y[i], s.x[i] = points[first + i, 0], points[first + i, 1]
        s.weight[i] = points[first + i, 2]
    return s


@plain
def _log(values: Floats, bits: Ints, power: Floats, out: Floats) -> None:
    """Fill ``out`` with the logarithm of ``values``, normal numbers; ``bits`` is their memory.

    ``2^k m`` with m in [1/√2, √2): log m is an odd series in (m - 1) / (m + 1).
    """
    for i in range(len(out)):
        power[i] = float((bits[i] >> 52) - 1023)
    for i in range(len(out)):
        bits[i] = (bits[i] & _FRACTION_BITS) | _ONE_BITS
    for i in range(len(out)):
        m, k = values[i], power[i]
        k = k + 1.0 if m > _SQRT2 else k
        m = 0.5 * m if m > _SQRT2 else m
        t = (m - 1.0) / (m + 1.0)
        q = t * t
        series = 1.0 / 13.0 + q * (1.0 / 15.0 + q * (1.0 / 17.0))
        series = 1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q * series))
        series = 1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * series))
        out[i] = k * _LN2 + 2.0 * t * series


@plain
def _exp(values: Floats, power: Floats, power_bits: Ints, out: Floats) -> None:
    """Fill ``out`` with the exponential of ``values``, 0 or less; below -700 as -700."""
    for i in range(len(out)):
        power_bits[i] = int(np.floor(max(values[i], -700.0) / _LN2 + 0.5))
    for i in range(len(out)):
        r = max(values[i], -700.0) - power_bits[i] * _LN2
        series = 1.0 / 5040.0 + r * (1.0 / 40320.0 + r * (1.0 / 362880.0 + r / 3628800.0))
        series = 1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * series))
        out[i] = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * series)))
    for i in range(len(out)):
        power_bits[i] = (power_bits[i] + 1023) << 52
    for i in range(len(out)):
        out[i] *= power[i]


@plain
def evaluate(s: Scratch, theta: Floats, d: int, system: Floats) -> float:
    """Return the weighted sum of squared distances; fill ``system`` with what a step needs."""
    n = s.n
    y, x, square, cos = s.y, s.x, s.square, s.cos
    value, log_c, log_s, small = s.value, s.log_c, s.log_s, s.small
    for i in range(n):
        dy, dx = y[i] - theta[0], x[i] - theta[1]
        square[i] = max(dy * dy + dx * dx, 1e-6)
    _turned(s, theta, d)
    for i in range(n):
        value[i] = square[i]
    _log(value, s.bits, s.power, s.log_square)
    for i in range(n):
        value[i] = max(0.5 * (1.0 + cos[i]), LEAST_SQUARE)
    _log(value, s.bits, s.power, log_c)
    for i in range(n):
        value[i] = max(0.5 * (1.0 - cos[i]), LEAST_SQUARE)
    _log(value, s.bits, s.power, log_s)
    p = np.exp(theta[4])
    for i in range(n):
        log_c[i] = 0.5 * log_c[i] + theta[5]
        log_s[i] = 0.5 * log_s[i]
        value[i] = -p * abs(log_c[i] - log_s[i])
    _exp(value, s.power, s.power_bits, small)
    for i in range(n):
        value[i] = 1.0 + small[i]
    _log(value, s.bits, s.power, s.misfit)
    _fill_rows(s, theta, d, p)
    return _sum(s, system)


@plain
def _turned(s: Scratch, theta: Floats, d: int) -> None:
    """Fill cosine and sine of d times the direction, less that of the angle."""
    turn_c, turn_s = np.cos(d * theta[3]), np.sin(d * theta[3])
    y, x, cos, sin, ux, uy = s.y, s.x, s.cos, s.sin, s.log_c, s.log_s
    for i in range(s.n):
        scale = 1.0 / np.sqrt(s.square[i])
        ux[i], uy[i] = (x[i] - theta[1]) * scale, (y[i] - theta[0]) * scale
        cos[i], sin[i] = ux[i], uy[i]
    for _ in range(1, d):
        for i in range(s.n):
            re = cos[i] * ux[i] - sin[i] * uy[i]
            sin[i] = cos[i] * uy[i] + sin[i] * ux[i]
            cos[i] = re
    for i in range(s.n):
        re = cos[i] * turn_c + sin[i] * turn_s
        sin[i] = sin[i] * turn_c - cos[i] * turn_s
        cos[i] = re


@plain
def _fill_rows(s: Scratch, theta: Floats, d: int, p: float) -> None:
    """Turn logarithms into distances and derivatives; ``misfit`` holds log(1 + small)."""
    rows, log_c, log_s = s.rows, s.log_c, s.log_s
    for i in range(s.n):
        dy, dx, square = s.y[i] - theta[0], s.x[i] - theta[1], s.square[i]
        c2 = max(0.5 * (1.0 + s.cos[i]), LEAST_SQUARE)
        s2 = max(0.5 * (1.0 - s.cos[i]), LEAST_SQUARE)
        lead = 1.0 / (1.0 + s.small[i])
        share = lead if log_c[i] > log_s[i] else s.small[i] * lead
        mean = max(log_c[i], log_s[i]) + s.misfit[i] / p
        slope = 0.25 * d * s.sin[i] * (share / c2 - (1.0 - share) / s2)
        scale = np.sqrt(square / (1.0 + slope * slope))
        rows[0, i] = scale * (-dy + slope * dx) / square
        rows[1, i] = scale * (-dx - slope * dy) / square
        rows[2, i] = -scale
        rows[3, i] = scale * slope
        rows[4, i] = -scale * (mean - share * log_c[i] - (1.0 - share) * log_s[i])
        rows[5, i] = scale * share
        s.misfit[i] = scale * (0.5 * s.log_square[i] - theta[2] + mean)


@plain
def _sum(s: Scratch, system: Floats) -> float:
    weighted, place = s.value, 0
    for a in range(N_FREE):
        one = s.rows[a]
        for i in range(s.n):
            weighted[i] = s.weight[i] * one[i]
        system[21 + a] = np.dot(weighted, s.misfit)
        for b in range(a + 1):
            system[place] = np.dot(weighted, s.rows[b])
            place += 1
    for i in range(s.n):
        weighted[i] = s.weight[i] * s.misfit[i]
    return float(np.dot(weighted, s.misfit))
