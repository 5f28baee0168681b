"""Bending: what columns that stand on no straight lattice add to the errors of its vectors.

A straight lattice fitted to a thousand columns has vectors known to a thousandth of a pixel, if
only the columns' own errors count. Drift and creep of a scan bend the recorded lattice by far
more, and the part of them that is linear leaves no residual at all. What bends it from one
region to the next tells how large that part may be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

_LEAST_COLUMNS = 16
_MISFIT_SD = 5.0
"""Standard deviations by which residuals exceed the columns' errors before they count."""

_STEP = 1e-3
"""Step of central differences, px."""


@dataclass(frozen=True)
class Bending:
    """How far the columns of a crystal are from a straight lattice.

    Parameters
    ----------
    scatter : float
        Variance of the columns about a lattice that may bend, over that of their errors; at
        least 1. The variances of straight vectors grow by it.
    curvature : (3, 2) float64 array
        (y, x) of the second-order terms i², i j, j²; zero where none is called for.
    noise : (3, 3) float64 array
        Covariance of these terms for a unit variance of the columns.
    variance : (2,) float64 array
        Of the columns along y and x about the bent lattice.
    ij : (n, 2) float64 array
        Coordinates of the columns from their mean.
    """

    scatter: float
    curvature: np.ndarray
    noise: np.ndarray
    variance: np.ndarray
    ij: np.ndarray

    @classmethod
    def of(cls, ij: np.ndarray, yx: np.ndarray, covariance: np.ndarray) -> Bending | None:
        """Fit straight and bent lattices; None where a straight one explains the columns.

        Parameters
        ----------
        ij : (n, 2) float64 array
            Lattice coordinates of columns of one kind.
        yx : (n, 2) float64 array
            px of equal size.
        covariance : (n, 2, 2) float64 array
            Of the places, px².
        """
        own = np.diagonal(covariance, axis1=1, axis2=2)
        known = np.isfinite(own).all(axis=1) & (own > 0).all(axis=1)
        if known.sum() < _LEAST_COLUMNS:
            return None
        yx, own = yx[known], own[known]
        ij = ij[known] - ij[known].mean(axis=0)
        i, j = ij.T
        bent = np.column_stack([np.ones(len(ij)), i, j, i * i, i * j, j * j])
        if np.linalg.matrix_rank(bent) < bent.shape[1]:
            return None
        freedom = 2 * (len(ij) - 3)
        chi2 = float((_residuals(bent[:, :3], yx) ** 2 / own).sum())
        if chi2 < freedom + _MISFIT_SD * np.sqrt(2 * freedom):
            return None
        solved = np.linalg.pinv(bent)
        left = yx - bent @ (solved @ yx)
        variance = (left**2).sum(axis=0) / (len(ij) - bent.shape[1])
        scatter = max(1.0, float((variance / own.mean(axis=0)).mean()))
        return cls(scatter, (solved @ yx)[3:], (solved @ solved.T)[3:, 3:], variance, ij)

    def spread(
        self, function: Callable[[np.ndarray], Mapping[str, np.ndarray]], vectors: np.ndarray
    ) -> dict[str, float]:
        """Return the rms by which quantities of the local lattice vary over the crystal.

        Parameters
        ----------
        function : callable
            From (m, 2, 2) vectors a and b, each (y, x), to (m,) arrays by name.
        vectors : (2, 2) float64 array
            a and b of the straight lattice.
        """
        i, j = self.ij.T
        none = np.zeros_like(i)
        # change of a, and of b, by the terms i², i j, j²
        by_a, by_b = np.column_stack([2 * i, j, none]), np.column_stack([none, i, 2 * j])
        slopes = _slopes(function, vectors)
        found = {}
        for name, slope in slopes.items():
            change, expected = np.zeros(len(i)), 0.0
            for axis in (0, 1):
                row = slope[0, axis] * by_a + slope[1, axis] * by_b
                change += row @ self.curvature[:, axis]
                noise = np.einsum("nk,kl,nl->n", row, self.noise, row).mean()
                expected += float(noise * self.variance[axis])
            found[name] = float(np.sqrt(max(0.0, float((change**2).mean()) - expected)))
        return found


def _residuals(design: np.ndarray, yx: np.ndarray) -> np.ndarray:
    return np.asarray(yx - design @ np.linalg.lstsq(design, yx, rcond=None)[0])


def _slopes(
    function: Callable[[np.ndarray], Mapping[str, np.ndarray]], vectors: np.ndarray
) -> dict[str, np.ndarray]:
    """Return (2, 2) derivatives of each quantity by the vectors' (y, x)."""
    slopes: dict[str, np.ndarray] = {}
    for k in range(2):
        for axis in range(2):
            shift = np.zeros((1, 2, 2))
            shift[0, k, axis] = _STEP
            above, below = function(vectors + shift), function(vectors - shift)
            for name, value in above.items():
                into = slopes.setdefault(name, np.zeros((2, 2)))
                into[k, axis] = (value[0] - below[name][0]) / (2 * _STEP)
    return slopes
