"""What a finished fit says: errors, intensity, likelihood ratio, its share of a pool (numba)."""

from typing import NamedTuple

import numpy as np

from stempede_kernels.gaussian_fit.moments import deviance
from stempede_kernels.gaussian_fit.plan import Answer, Rule, Task
from stempede_kernels.gaussian_fit.system import (
    CIRCULAR,
    HELD,
    ROTATED,
    N,
    System,
    eigen,
    factorise,
    list_free,
    substitute,
)
from stempede_kernels.gaussian_fit.window import Box, Floats, Scratch, fused, plain

# places in a row of results
COVARIANCE_YX, INTENSITY, SE_INTENSITY, DEVIANCE, RATIO, PIXELS = 0, 1, 2, 3, 4, 5
N_RESULTS = 6


class Noise(NamedTuple):
    """How one window is judged: likelihood, smallest rate, its own part of the deviance."""

    poisson: bool
    floor: float
    own: float
    variance: float
    pixels: float


@plain
def conclude(f: int, dev: float, rule: Rule, task: Task, result: Answer, e: System) -> bool:
    """Write the errors of fit f and what it says of a shared shape.

    ``e`` must hold the system at the optimum. Returns whether it could be inverted.
    """
    theta, variance = result.theta[f], task.variance[task.frame[f]]
    n = list_determined(theta, rule.shape, rule.offset, rule.plane, e)
    if not invert(n, e):
        return False
    scale = 1.0
    if not rule.poisson:
        freedom = max(result.results[f, PIXELS] - n, 1.0)
        scale = variance if variance == variance else dev / freedom
    shape = rule.shape
    if rule.pooled != HELD:
        shape = rule.pooled
        _fold_circular(shape, e)
        pool(n, shape, e, result.pooled[f])
        result.pooled[f] /= scale
        share(n, shape, task.shape_covariance[f] / scale, e)
    spread(shape, e)
    translate(theta, scale, shape == ROTATED, e, result.results[f], result.errors[f])
    return True


@plain
def _fold_circular(shape: int, e: System) -> None:
    """Sum the two precisions where they are one parameter."""
    if shape == CIRCULAR:
        for a in range(N):
            e.full[3, a] += e.full[5, a]
        for a in range(N):
            e.full[a, 3] += e.full[a, 5]
        e.gradient[3] += e.gradient[5]


@plain
def invert(n: int, e: System) -> bool:
    """Fill ``covariance`` with the inverse of the free part, zero elsewhere."""
    e.covariance[:] = 0.0
    if not factorise(n, 0.0, e):
        return False
    for a in range(n):
        column = e.covariance[e.free[a]]
        column[e.free[a]] = 1.0
        substitute(n, e, column)
    return True


@plain
def spread(shape: int, e: System) -> None:
    """Give the second width of a circular Gaussian the covariance of the first."""
    if shape == CIRCULAR:
        e.covariance[5] = e.covariance[3]
        e.covariance[:, 5] = e.covariance[:, 3]


@plain
def pool(n: int, shape: int, e: System, pooled: Floats) -> None:
    """Write what the fit says of a shape shared with others: gradient (3), information (3, 3).

    ``covariance`` must hold the inverse of the free part without the shape. Both are those of
    the likelihood after the fit's own parameters were optimised (Schur complement).
    """
    pooled[:] = 0.0
    n_shape = shape
    places = (3, 5, 4) if shape != ROTATED else (3, 4, 5)
    for a in range(n_shape):
        p = places[a]
        value = e.gradient[p]
        for i in range(n):
            for k in range(n):
                u, v = e.free[i], e.free[k]
                value -= e.full[p, u] * e.covariance[u, v] * e.gradient[v]
        pooled[a] = value
        for b in range(n_shape):
            q = places[b]
            value = e.full[p, q]
            for i in range(n):
                for k in range(n):
                    u, v = e.free[i], e.free[k]
                    value -= e.full[p, u] * e.covariance[u, v] * e.full[v, q]
            pooled[3 + 3 * a + b] = value


@plain
def share(n: int, shape: int, shape_covariance: Floats, e: System) -> None:
    """Add the uncertainty of the shared shape to the covariance of the fit's own parameters."""
    places = (3, 5, 4) if shape != ROTATED else (3, 4, 5)
    gain = np.zeros((9, 3))
    for i in range(n):
        for b in range(shape):
            for k in range(n):
                u, v = e.free[i], e.free[k]
                gain[u, b] -= e.covariance[u, v] * e.full[v, places[b]]
    for b in range(shape):
        gain[places[b], b] = 1.0
    for u in range(9):
        for v in range(9):
            for b in range(shape):
                for c in range(shape):
                    e.covariance[u, v] += gain[u, b] * shape_covariance[b, c] * gain[v, c]


@plain
def translate(
    theta: Floats,
    scale: float,
    turned: bool,  # noqa: FBT001
    e: System,
    row: Floats,
    errors: Floats,
) -> None:
    """Turn the covariance into the errors of the public parameters.

    Public order: y, x, amplitude, sigma major, sigma minor, angle, offset. An error is NaN
    where the parameter was held.
    """
    c = e.covariance
    errors[:] = np.nan
    for public, place in ((0, 0), (1, 1), (2, 2), (6, 6)):
        if c[place, place] > 0.0:
            errors[public] = np.sqrt(scale * c[place, place])
    row[COVARIANCE_YX] = scale * c[0, 1]
    mean, half, cos, sin = eigen(theta[3], theta[4], theta[5])
    # derivatives of the two eigenvalues and of the angle by yy, yx, xx
    narrow = (0.5 * (1.0 - cos), sin, 0.5 * (1.0 + cos))
    wide = (0.5 * (1.0 + cos), -sin, 0.5 * (1.0 - cos))
    if c[3, 3] > 0.0:
        errors[3] = 0.5 * (mean - half) ** -1.5 * np.sqrt(scale * _form(c, wide))
        errors[4] = 0.5 * (mean + half) ** -1.5 * np.sqrt(scale * _form(c, narrow))
        if turned and half > 0.0:
            turn = (0.25 * sin / half, 0.5 * cos / half, -0.25 * sin / half)
            # an angle that is not known at all is uniform over half a turn
            errors[5] = min(np.sqrt(scale * _form(c, turn)), np.pi / np.sqrt(12.0))
    determinant = theta[3] * theta[5] - theta[4] ** 2
    intensity = 2.0 * np.pi * theta[2] / np.sqrt(determinant)
    by = np.zeros(9)
    by[2] = 1.0 / theta[2]
    by[3], by[4] = -0.5 * theta[5] / determinant, theta[4] / determinant
    by[5] = -0.5 * theta[3] / determinant
    variance = 0.0
    for a in range(2, 6):
        for b in range(2, 6):
            variance += by[a] * c[a, b] * by[b]
    row[INTENSITY] = intensity
    row[SE_INTENSITY] = intensity * np.sqrt(scale * variance)


@plain
def _form(c: Floats, by: tuple[float, float, float]) -> float:
    total = 0.0
    for a in range(3):
        for b in range(3):
            total += by[a] * c[3 + a, 3 + b] * by[b]
    return max(total, 0.0)


@plain
def blank_deviance(offset: float, free_offset: bool, noise: Noise, box: Box, s: Scratch) -> float:  # noqa: FBT001
    """Return the deviance of the best constant on the base alone; overwrites ``rate``."""
    n = box.height * box.stride
    if free_offset:
        total = pixels = least = most = 0.0
        for k in range(n):
            total += s.seen[k] * (s.data[k] - s.base[k])
            pixels += s.seen[k]
            least, most = min(least, s.base[k]), max(most, s.base[k])
        offset = total / pixels
        if noise.poisson:
            offset = max(offset, 0.0)
            if most > least:
                offset = _blank_offset(offset, n, noise.floor, s)
    for k in range(n):
        s.rate[k] = max(s.base[k] + offset, noise.floor)
    return deviance(box, s, noise.poisson, noise.own)


@fused
def _blank_offset(offset: float, n: int, floor: float, s: Scratch) -> float:
    """Find the offset of highest Poisson likelihood by Fisher scoring."""
    for _ in range(20):
        pull = information = 0.0
        for k in range(n):
            weight = s.seen[k] / max(s.base[k] + offset, floor)
            pull += weight * s.data[k] - s.seen[k]
            information += weight
        change = max(pull / information, -0.9 * offset)
        offset += change
        if abs(change) <= 1e-4 * offset:
            break
    return offset


@plain
def list_determined(theta: Floats, shape: int, offset: bool, plane: bool, e: System) -> int:  # noqa: FBT001
    """List the free parameters that are not at a bound."""
    return list_free(shape, offset and theta[6] != 0.0, plane, e.free)
