"""Which of a region's fits counts, in which of its equal forms, and how sure it is (NumPy)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.superellipse.plan import HIGH, LOW, N_FREE, N_SECTORS, ORDERS, Floats, Ints

NEAR_OVERLAP = 0.03
"""Overlaps this close to the best are told apart by the distance of the outlines."""
NEAR_DISTANCE = 1.02
"""Root-mean-square distances within this factor of the least are a tie: the simpler d."""
EGG = 1.1
"""An egg, d = 1, follows any irregular outline: it counts where it is this much nearer."""
NEAR_BRANCH = 1.1
"""The same for two fits of one d, one with p above 2 and one below: the former.

Where that one's p is at its bound the outline wants what no p above 2 has, hollow sides or
sharper corners; only a square is followed as well by p near 1, and it alone is a tie.
"""
CIRCLE = 0.01
"""A circle that overlaps this much less than the best shape, or more: the region is one."""
SIMPLE = (2, 1, 3, 4, 5, 6)
"""From the simplest: ellipses and squircles, eggs, then by number of lobes."""
SAME = 0.02
"""Two fits are one where no parameter differs by more: logarithms, turns, radii of shift."""


@dataclass(frozen=True)
class Candidates:
    """Fits of all regions, in one line.

    Parameters
    ----------
    region, order : (m,) int64 array
        Whose outline, and d.
    theta : (m, N_FREE) float64 array
    cost : (m,) float64 array
        Mean squared distance, px².
    overlap : (m,) float64 array
    state : (m,) int8 array
    iterations : (m,) int32 array
    """

    region: Ints
    order: Ints
    theta: Floats
    cost: Floats
    overlap: Floats
    state: NDArray[np.int8]
    iterations: NDArray[np.int32]

    def take(self, rows: Ints) -> "Candidates":
        """Return some of them."""
        return Candidates(**{name: values[rows] for name, values in vars(self).items()})

    @staticmethod
    def joined(one: "Candidates", other: "Candidates") -> "Candidates":
        """Return both, one after the other."""
        both = {k: np.concatenate([v, vars(other)[k]]) for k, v in vars(one).items()}
        return Candidates(**both)


def chosen(c: Candidates, circle: Floats) -> tuple[Ints, Floats]:
    """Return each region's fit, -1 without one, and the best overlap of any other d.

    NaN where no other d was fitted to the end.

    Best overlaps within `NEAR_OVERLAP` are told apart by distance; ties go to the simpler, and
    what a circle follows as well, by its overlap (n,), to d = 2.
    """
    n = len(circle)
    best = np.full(n, -np.inf)
    np.maximum.at(best, c.region, c.overlap)
    distance = np.where(np.isfinite(c.cost), np.sqrt(c.cost), np.inf)
    near = (c.overlap >= best[c.region] - NEAR_OVERLAP) & np.isfinite(distance)
    judged = np.where(c.order == 1, EGG * distance, distance)
    judged[(c.order == 2) & (circle >= best - CIRCLE)[c.region]] = 0.0
    least = np.full(n, np.inf)
    np.minimum.at(least, c.region[near], judged[near])
    rank = np.array([SIMPLE.index(d) for d in ORDERS])[c.order - 1]
    tied = near & (judged <= NEAR_DISTANCE * least[c.region])
    first = np.full(n, len(SIMPLE))
    np.minimum.at(first, c.region[tied], rank[tied])
    own = near & (rank == first[c.region])
    winner = np.full(n, -1, np.int64)
    nearest = np.full(n, np.inf)
    np.minimum.at(nearest, c.region[own], distance[own])
    bound = c.theta[:, 4] >= HIGH[4] - 1e-9
    own &= distance <= np.where(bound, NEAR_DISTANCE, NEAR_BRANCH) * nearest[c.region]
    # the last one written stays: p from 2 on, then the nearer
    key = np.lexsort((-distance, c.theta[:, 4] >= np.log(2.0)))
    key = key[own[key]]
    winner[c.region[key]] = key
    other = np.full(n, -np.inf)
    rest = (rank != first[c.region]) & np.isfinite(distance)
    np.maximum.at(other, c.region[rest], c.overlap[rest])
    return winner, np.where(np.isfinite(other), other, np.nan)


def distinct(region: Ints, order: Ints, theta: Floats, cost: Floats) -> NDArray[np.bool_]:
    """Return (m,) False where a nearer fit of the same region and d came to the same shape."""
    key = np.lexsort((cost, order, region))
    region, order, theta = region[key], order[key], canonical(theta[key], order[key])
    kept = np.ones(len(key), bool)
    for lag in range(1, len(key)):
        near, far = slice(None, -lag), slice(lag, None)
        together = (region[near] == region[far]) & (order[near] == order[far])
        if not together.any():
            break
        away = np.abs(theta[far] - theta[near])
        away[:, :2] *= np.exp(-theta[near, 2:3])
        away[:, 3] = np.abs(np.sin(0.5 * order[near] * away[:, 3]))
        kept[far] &= ~(together & (away <= SAME).all(axis=1))
    result = np.empty(len(key), bool)
    result[key] = kept
    return result


def canonical(theta: Floats, order: Ints) -> Floats:
    """Return the equal shapes with L >= 1 and an angle within one turn of the symmetry.

    ``R(u; L) = R(u + π/d; 1/L) / L``: a shape with L below 1 is one with 1/L, turned.
    """
    result = theta.copy()
    turned = theta[:, 5] < 0
    result[turned, 2] -= theta[turned, 5]
    result[turned, 3] += np.pi / order[turned]
    result[turned, 5] *= -1
    result[:, 3] %= 2 * np.pi / order
    return result


def to_shapes(theta: Floats, order: Ints, middle: Floats) -> Floats:
    """Return (m, 7) shapes in frame coordinates."""
    shapes = np.empty((len(theta), 7))
    shapes[:, :2] = theta[:, :2] + middle
    shapes[:, 2], shapes[:, 3] = np.exp(theta[:, 2]), theta[:, 3]
    shapes[:, 4], shapes[:, 5], shapes[:, 6] = np.exp(theta[:, 4]), order, np.exp(theta[:, 5])
    return shapes


def errors(theta: Floats, order: Ints, matrix: Floats, scores: Floats) -> Floats:
    """Return standard errors (m, N_FREE): sandwich of the normal matrix, clusters by sector.

    Residuals of a segmented outline are correlated over some pixels, and what no superellipse
    follows is not noise: the gradient's sums over 24 sectors hold both (Liang and Zeger 1986).
    NaN for a parameter at a bound; an angle is no less sure than not at all.
    """
    held = (theta <= LOW + 1e-9) | (theta >= HIGH - 1e-9)
    result = np.full(theta.shape, np.nan)
    for pattern in np.unique(held, axis=0) if len(held) else ():
        rows = (held == pattern).all(axis=1)
        free = np.flatnonzero(~pattern)
        m = matrix[rows][:, free[:, None], free]
        scale = 1.0 / np.sqrt(np.maximum(np.diagonal(m, axis1=1, axis2=2), 1e-30))
        inverse = np.linalg.pinv(m * scale[:, :, None] * scale[:, None], rcond=1e-10)
        inverse *= scale[:, :, None] * scale[:, None]
        s = scores[rows][:, :, free]
        meat = np.einsum("nsa,nsb->nab", s, s) * (N_SECTORS / (N_SECTORS - N_FREE))
        spread = np.einsum("nab,nbc,ncd->nad", inverse, meat, inverse)
        part = np.full((len(m), N_FREE), np.nan)
        part[:, free] = np.sqrt(np.maximum(np.diagonal(spread, axis1=1, axis2=2), 0.0))
        result[rows] = part
    unknown = 2 * np.pi / order / np.sqrt(12.0)
    result[:, 3] = np.minimum(result[:, 3], unknown)
    return result
