"""Widths shared by groups of fits: pooled steps of Fisher scoring."""

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.gaussian_fit.plan import Answer

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CONVERGED, MAX_ITERATIONS = 1, 2
# relative change of the precision below which a group is done
SETTLED = 1e-3
LARGEST_FACTOR = 2.0
NARROWEST_PX = 0.3
# order of the precisions among the shape's parameters, by kind (README)
PLACES = {1: (3,), 2: (3, 5), 3: (3, 4, 5)}


def start_shapes(theta: Floats, group: Ints) -> Floats:
    """Give all fits of a group the mean precision of their starts."""
    shared = theta.copy()
    for g in np.unique(group):
        members = group == g
        shared[members, 3:6] = np.nanmean(theta[members, 3:6], axis=0)
    return shared


def share_shape(
    result: Answer, group: Ints, kind: int, window: int
) -> tuple[Floats, NDArray[np.bool_]]:
    """Step every group's shape by its pooled likelihood.

    Returns
    -------
    covariance : (n, 3, 3) float64 array
        Of the shape each fit shares.
    changed : (n,) bool array
        Fits whose shape changed by more than is settled.
    """
    n, size = len(group), len(PLACES[kind])
    covariance, changed = np.zeros((n, 3, 3)), np.zeros(n, bool)
    found = np.isin(result.state, (CONVERGED, MAX_ITERATIONS))
    for g in np.unique(group):
        members = group == g
        used = members & found
        if not used.any():
            continue
        total = result.pooled[used].sum(axis=0)
        gradient, information = total[:size], total[3:].reshape(3, 3)[:size, :size]
        if not np.linalg.cond(information) < 1e12:
            continue
        inverse = np.linalg.inv(information)
        gradient = gradient - 0.5 * used.sum() * _log_determinant_slope(result.theta[used][0], kind)
        covariance[members, :size, :size] = inverse
        old = result.theta[used][0, 3:6]
        new = _bounded(old, inverse @ gradient, kind, window)
        changed[members] = np.abs(new - old).max() > SETTLED * np.abs(old).max()
        result.theta[members, 3:6] = new
    return covariance, changed


def _log_determinant_slope(theta: Floats, kind: int) -> Floats:
    """Return the derivative of log det P by the shape.

    Each fit's position was found from the same counts as the shape, which makes a pooled
    shape too narrow by one count in each column. The likelihood adjusted for that (Cox and
    Reid) has half the logarithm of the position's information, proportional to P, taken off.
    """
    yy, yx, xx = theta[3:6]
    if kind == 1:
        return np.array([2 / yy])
    if kind == 2:
        return np.array([1 / yy, 1 / xx])
    return np.array([xx, -2 * yx, yy]) / (yy * xx - yx**2)


def _bounded(old: Floats, step: Floats, kind: int, window: int) -> Floats:
    """Add a step to the precision (yy, yx, xx), at most a factor of two either way."""
    new = old.copy()
    new[[place - 3 for place in PLACES[kind]]] += step
    if kind == 1:
        new[2] = new[0]
    matrix = np.array([[new[0], new[1]], [new[1], new[2]]])
    before = np.linalg.eigvalsh(np.array([[old[0], old[1]], [old[1], old[2]]]))
    low = max(before[0] / LARGEST_FACTOR, 1.0 / window**2)
    high = min(before[1] * LARGEST_FACTOR, 1.0 / NARROWEST_PX**2)
    values, vectors = np.linalg.eigh(matrix)
    matrix = (vectors * np.clip(values, low, high)) @ vectors.T
    return np.array([matrix[0, 0], matrix[0, 1], matrix[1, 1]])
