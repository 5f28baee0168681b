"""Normal equations of one fit, their damped solution and the bounds of a step (numba).

Parameters in order: y, x, amplitude, precision yy, yx, xx, offset, slope y, slope x. A circular
Gaussian keeps its one precision in ``yy``; ``xx`` follows it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.gaussian_fit.moments import Moments
from stempede_kernels.gaussian_fit.window import Floats, borrow, fused, plain

N = 9
HELD, CIRCULAR, UPRIGHT, ROTATED = 0, 1, 2, 3
NARROWEST_PX = 0.3
LEAST_SHARE = 0.3

Ints = NDArray[np.int64]


class System(NamedTuple):
    """Full matrix and gradient, the list of free parameters, and memory to solve in."""

    full: Floats
    gradient: Floats
    free: Ints
    factor: Floats
    solved: Floats
    step: Floats
    trial: Floats
    covariance: Floats


@plain
def system() -> System:
    """Allocate."""
    return System(
        np.zeros((N, N)),
        np.zeros(N),
        np.zeros(N, np.int64),
        np.zeros((N, N)),
        np.zeros(N),
        np.zeros(N),
        np.zeros(N),
        np.zeros((N, N)),
    )


@plain
def borrow_system(e: System) -> System:
    """Borrow every array."""
    return System(
        borrow(e.full),
        borrow(e.gradient),
        borrow(e.free),
        borrow(e.factor),
        borrow(e.solved),
        borrow(e.step),
        borrow(e.trial),
        borrow(e.covariance),
    )


@plain
def list_free(shape: int, offset: bool, plane: bool, free: Ints) -> int:  # noqa: FBT001
    """List the free parameters in order; return how many."""
    free[0], free[1], free[2] = 0, 1, 2
    n = 3
    if shape != HELD:
        free[n] = 3
        n += 1
    if shape == ROTATED:
        free[n] = 4
        n += 1
    if shape >= UPRIGHT:
        free[n] = 5
        n += 1
    if offset:
        free[n] = 6
        n += 1
    if plane:
        free[n], free[n + 1] = 7, 8
        n += 2
    return n


@fused
def assemble(theta: Floats, middle: Floats, m: Moments, shape: int, e: System) -> None:
    """Build the Fisher matrix and the gradient of all parameters from the moments."""
    h, gradient = e.full, e.gradient
    power_y, power_x = (1, 0, 0, 2, 1, 0), (0, 1, 0, 0, 1, 2)
    off_y, off_x = theta[0] - middle[0], theta[1] - middle[1]
    for a in range(6):
        i, k = power_y[a], power_x[a]
        for b in range(a + 1):
            h[a, b] = m.two[i + power_y[b], k + power_x[b]]
        h[6, a] = m.one[i, k]
        h[7, a] = m.one[i + 1, k] + off_y * m.one[i, k]
        h[8, a] = m.one[i, k + 1] + off_x * m.one[i, k]
        gradient[a] = m.pull_one[i, k]
    z, pull = m.zero, m.pull_zero
    h[6, 6] = z[0, 0]
    h[7, 6] = z[1, 0] + off_y * z[0, 0]
    h[8, 6] = z[0, 1] + off_x * z[0, 0]
    h[7, 7] = z[2, 0] + off_y * (2.0 * z[1, 0] + off_y * z[0, 0])
    h[8, 8] = z[0, 2] + off_x * (2.0 * z[0, 1] + off_x * z[0, 0])
    h[8, 7] = z[1, 1] + off_x * z[1, 0] + off_y * (z[0, 1] + off_x * z[0, 0])
    gradient[6] = pull[0, 0]
    gradient[7] = pull[1, 0] + off_y * pull[0, 0]
    gradient[8] = pull[0, 1] + off_x * pull[0, 0]
    for a in range(N):
        for b in range(a):
            h[b, a] = h[a, b]
    _turn_to_parameters(theta, h, gradient)
    if shape == CIRCULAR:
        for a in range(N):
            h[3, a] += h[5, a]
        for a in range(N):
            h[a, 3] += h[a, 5]
        gradient[3] += gradient[5]


@fused
def _turn_to_parameters(theta: Floats, h: Floats, gradient: Floats) -> None:
    """Combine monomials to derivatives, on both sides of the matrix."""
    amplitude = theta[2]
    yy, yx, xx = amplitude * theta[3], amplitude * theta[4], amplitude * theta[5]
    for a in range(N):
        u, v = h[0, a], h[1, a]
        h[0, a], h[1, a] = yy * u + yx * v, yx * u + xx * v
        h[3, a] *= -0.5 * amplitude
        h[4, a] *= -amplitude
        h[5, a] *= -0.5 * amplitude
    for a in range(N):
        u, v = h[a, 0], h[a, 1]
        h[a, 0], h[a, 1] = yy * u + yx * v, yx * u + xx * v
        h[a, 3] *= -0.5 * amplitude
        h[a, 4] *= -amplitude
        h[a, 5] *= -0.5 * amplitude
    u, v = gradient[0], gradient[1]
    gradient[0], gradient[1] = yy * u + yx * v, yx * u + xx * v
    gradient[3] *= -0.5 * amplitude
    gradient[4] *= -amplitude
    gradient[5] *= -0.5 * amplitude


@fused
def factorise(n: int, damping: float, e: System) -> bool:
    """Split the free part, its diagonal stretched by 1 + damping, into L D Lᵀ.

    ``factor`` holds L below the diagonal and the reciprocals of D on it.
    """
    h, factor, scaled = e.full, e.factor, e.solved
    for a in range(n):
        row = e.free[a]
        size = h[row, row] * (1.0 + damping)
        value = size
        for b in range(a):
            part = h[row, e.free[b]]
            for k in range(b):
                part -= scaled[k] * factor[b, k]
            scaled[b] = part
            factor[a, b] = part * factor[b, b]
            value -= part * factor[a, b]
        # a pivot this small is rounding
        if not value > 1e-13 * size:
            return False
        factor[a, a] = 1.0 / value
    return True


@fused
def substitute(n: int, e: System, x: Floats) -> None:
    """Solve in place for a right-hand side that lies at the free places of ``x``."""
    factor, z = e.factor, e.solved
    for a in range(n):
        value = x[e.free[a]]
        for k in range(a):
            value -= factor[a, k] * z[k]
        z[a] = value
    for a in range(n - 1, -1, -1):
        value = z[a] * factor[a, a]
        for k in range(a + 1, n):
            value -= factor[k, a] * z[k]
        z[a] = value
    for a in range(n):
        x[e.free[a]] = z[a]


@plain
def find_step(theta: Floats, n: int, damping: float, bounded: bool, e: System) -> bool:  # noqa: FBT001
    """Fill ``step``; an offset that would fall below zero goes to zero, the others follow."""
    if not factorise(n, damping, e):
        return False
    e.step[:] = 0.0
    for a in range(n):
        e.step[e.free[a]] = e.gradient[e.free[a]]
    substitute(n, e, e.step)
    if not (bounded and theta[6] + e.step[6] < 0.0):
        return True
    e.step[:] = 0.0
    others = 0
    for a in range(n):
        if e.free[a] != 6:
            e.step[e.free[a]] = e.gradient[e.free[a]] + e.full[e.free[a], 6] * theta[6]
            e.free[others] = e.free[a]
            others += 1
    found = factorise(others, damping, e)
    if found:
        substitute(others, e, e.step)
    e.step[6] = -theta[6]
    return found


@plain
def lead(share: float, e: System) -> float:
    """Shorten ``step`` to a share of itself; return its product with the gradient."""
    total = 0.0
    for p in range(N):
        e.step[p] *= share
        total += e.step[p] * e.gradient[p]
    return total


@plain
def relax(share: float, before: float, after: float) -> float:
    """Return the share of the next step to take, from the slopes along the last one.

    With few counts the expected information differs from the observed one: full steps
    overshoot the maximum by nearly their length, again and again.
    """
    if not before > after:
        return 1.0
    return min(max(share * before / (before - after), LEAST_SHARE), 1.0)


@plain
def propose(theta: Floats, window: int, shape: int, e: System) -> float:
    """Fill ``trial`` with a step within bounds; return its length relative to the scales.

    One unit is a px in position, the amplitude itself, and the precision itself.
    """
    step, trial = e.step, e.trial
    reach = max(1.0, 1.0 / np.sqrt(0.5 * (theta[3] + theta[5])))
    trial[:] = theta
    trial[0] += min(max(step[0], -reach), reach)
    trial[1] += min(max(step[1], -reach), reach)
    # an amplitude never changes its sign: at most nine tenths are lost at once
    trial[2] = max(theta[2] + step[2], 0.1 * theta[2])
    length = max(abs(step[0]), abs(step[1]), abs(step[2]) / theta[2])
    if shape != HELD:
        if shape == CIRCULAR:
            step[5] = step[3]
        limit_shape(theta, step, window, trial)
        largest = max(theta[3], theta[5])
        length = max(length, abs(step[3]) / largest, abs(step[5]) / largest)
        if shape == CIRCULAR:
            # one parameter: along the gradient it counts once
            step[5] = 0.0
    trial[6] += step[6]
    trial[7] += step[7]
    trial[8] += step[8]
    return max(length, abs(step[6]) / (theta[2] + abs(theta[6])))


@plain
def limit_shape(theta: Floats, step: Floats, window: int, trial: Floats) -> None:
    """Clip the eigenvalues of the new precision to a quarter to four times the old ones.

    Nor may a width fall below 0.3 px or exceed the window.
    """
    mean, half, _, _ = eigen(theta[3], theta[4], theta[5])
    low = max(0.25 * (mean - half), 1.0 / window**2)
    high = min(4.0 * (mean + half), 1.0 / NARROWEST_PX**2)
    mean, half, cos, sin = eigen(theta[3] + step[3], theta[4] + step[4], theta[5] + step[5])
    small = min(max(mean - half, low), high)
    large = min(max(mean + half, low), high)
    mean, half = 0.5 * (small + large), 0.5 * (large - small)
    trial[3], trial[4], trial[5] = mean - half * cos, half * sin, mean + half * cos


@plain
def eigen(yy: float, yx: float, xx: float) -> tuple[float, float, float, float]:
    """Return mean and half difference of the eigenvalues, and the double angle's cos and sin.

    The double angle belongs to the direction of the larger precision, from x towards y; it
    counts as zero where the eigenvalues are equal.
    """
    mean, c, s = 0.5 * (yy + xx), 0.5 * (xx - yy), yx
    half = np.hypot(c, s)
    if half == 0.0:
        return mean, 0.0, 1.0, 0.0
    return mean, half, c / half, s / half
