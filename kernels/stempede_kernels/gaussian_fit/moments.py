"""Sums over a window that make up the gradient and the Fisher information (numba).

Every derivative of the model is the Gaussian ``g`` times a monomial in ``dy, dx``, or a monomial
alone. So are all sums: with the weight ``w`` of a pixel and its residual ``r``,

``two[i, j] = Σ w g² dyⁱ dxʲ``, ``one[i, j] = Σ w g dyⁱ dxʲ``, ``zero[i, j] = Σ w dyⁱ dxʲ``,
``pull_one[i, j] = Σ w r g dyⁱ dxʲ``, ``pull_zero[i, j] = Σ w r dyⁱ dxʲ``.

A pixel adds to the powers of ``dx`` of its row alone; rows are then weighed by powers of ``dy``.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from stempede_kernels.gaussian_fit.window import FAST, Box, Floats, Scratch

# a rate below this share of the window's mean counts as this share
FLOOR = 1e-6


class Moments(NamedTuple):
    """Sums over a window; ``terms`` holds the sums of one row."""

    two: Floats
    one: Floats
    zero: Floats
    pull_one: Floats
    pull_zero: Floats
    terms: Floats


@njit(cache=True, nogil=True)
def moments() -> Moments:
    """Allocate."""
    return Moments(
        np.zeros((5, 5)),
        np.zeros((4, 4)),
        np.zeros((3, 3)),
        np.zeros((3, 3)),
        np.zeros((2, 2)),
        np.zeros(17),
    )


@njit(cache=True, nogil=True, fastmath=FAST)
def rate(theta: Floats, middle: Floats, box: Box, s: Scratch, floor: float) -> None:
    """Fill ``rate`` with the model: base + offset + plane + amplitude times ``bell``."""
    amplitude, offset, slope_y, slope_x = theta[2], theta[6], theta[7], theta[8]
    for j in range(box.height):
        level = offset + slope_y * (box.y + j - middle[0]) + slope_x * (box.x - middle[1])
        for i in range(box.stride):
            k = j * box.stride + i
            value = s.base[k] + amplitude * s.bell[k] + (level + slope_x * i)
            s.rate[k] = max(value, floor)


@njit(cache=True, nogil=True, fastmath=FAST)
def deviance(box: Box, s: Scratch, poisson: bool) -> float:
    """Return ``2 Σ (rate − d − d log(rate / d))``, or the sum of squares, of the pixels seen."""
    total = 0.0
    if not poisson:
        for k in range(box.height * box.stride):
            r = s.data[k] - s.rate[k]
            total += s.seen[k] * r * r
        return total
    for k in range(box.height * box.stride):
        d, mu = s.data[k], s.rate[k]
        total += s.seen[k] * (mu - d)
        if d > 0.0:
            total -= d * np.log(mu / d)
        elif d < 0.0:
            total -= d * np.log(mu)
    return 2.0 * total


@njit(cache=True, nogil=True, fastmath=FAST)
def gather(theta: Floats, box: Box, s: Scratch, poisson: bool, m: Moments) -> None:
    """Sum all moments of the window about the current position."""
    m.two[:] = 0.0
    m.one[:] = 0.0
    m.zero[:] = 0.0
    m.pull_one[:] = 0.0
    m.pull_zero[:] = 0.0
    for j in range(box.height):
        _gather_row(box.x - theta[1], j * box.stride, box.stride, s, poisson, m.terms)
        t, power = m.terms, 1.0
        dy = box.y + j - theta[0]
        for i in range(5):
            for k in range(5 - i):
                m.two[i, k] += power * t[k]
            for k in range(4 - i):
                m.one[i, k] += power * t[5 + k]
            for k in range(3 - i):
                m.zero[i, k] += power * t[9 + k]
                m.pull_one[i, k] += power * t[12 + k]
            for k in range(2 - i):
                m.pull_zero[i, k] += power * t[15 + k]
            power *= dy


@njit(cache=True, nogil=True, fastmath=FAST)
def _gather_row(first: float, start: int, n: int, s: Scratch, poisson: bool, t: Floats) -> None:
    a0 = a1 = a2 = a3 = a4 = b0 = b1 = b2 = b3 = 0.0
    c0 = c1 = c2 = p0 = p1 = p2 = q0 = q1 = 0.0
    for i in range(n):
        k = start + i
        dx = first + i
        mu, g, w = s.rate[k], s.bell[k], s.seen[k]
        wr = w * (s.data[k] - mu)
        if poisson:
            inverse = 1.0 / mu
            w *= inverse
            wr *= inverse
        b, p = w * g, wr * g
        a = b * g
        c0 += w
        q0 += wr
        b0 += b
        p0 += p
        a0 += a
        w, wr, b, p, a = w * dx, wr * dx, b * dx, p * dx, a * dx
        c1 += w
        q1 += wr
        b1 += b
        p1 += p
        a1 += a
        w, b, p, a = w * dx, b * dx, p * dx, a * dx
        c2 += w
        b2 += b
        p2 += p
        a2 += a
        b3 += b * dx
        a *= dx
        a3 += a
        a4 += a * dx
    t[0], t[1], t[2], t[3], t[4] = a0, a1, a2, a3, a4
    t[5], t[6], t[7], t[8] = b0, b1, b2, b3
    t[9], t[10], t[11] = c0, c1, c2
    t[12], t[13], t[14], t[15], t[16] = p0, p1, p2, q0, q1
