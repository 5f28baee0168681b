"""Contrast: two groups of sites compared with all that their errors share (METHODS 1.4).

Generalised least squares with the full covariance of the sites' errors plus a between-site
variance, which is found by restricted likelihood; the p-value is that of a parametric bootstrap
of one uniform tilt with this covariance. Everything happens in the eigenbasis of the covariance,
so that a thousand draws cost a few matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DRAWS = 1999
LEAST_SITES = 2
"""Sites that each group wants at least."""

_GRID = 24
_LOWEST = 0.02
"""Least between-site variance that is told from none, of the mean error variance."""

_SEEN = 2.7
"""Gain in twice the log-likelihood that takes a between-site variance for seen (5 %)."""


@dataclass(frozen=True)
class Contrast:
    """Mean of one group less that of the other.

    Parameters
    ----------
    difference, se : float
        First less second group; se holds the errors and the between-site variance.
    p : float
        Two-sided, of one mean for both.
    spread : float
        Between-site standard deviation beyond the errors.
    """

    difference: float
    se: float
    p: float
    spread: float


NO_CONTRAST = Contrast(np.nan, np.nan, np.nan, np.nan)


def contrast(
    value: np.ndarray,
    covariance: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    *,
    seed: tuple[int, ...] = (0,),
    draws: int = DRAWS,
) -> Contrast:
    """Compare the means of two groups of sites.

    Parameters
    ----------
    value : (m,) float64 array
        NaN is left out.
    covariance : (m, m) float64 array
        Of the errors of ``value``.
    first, second : (m,) bool array
        The groups; sites in neither are left out.
    seed : tuple of int
        Of the bootstrap.
    draws : int
        Uniform dots drawn.

    Returns
    -------
    Contrast
        NaN where a group has fewer than two sites.
    """
    known = np.isfinite(value)
    first, second = first & known, second & known
    if min(first.sum(), second.sum()) < LEAST_SITES:
        return NO_CONTRAST
    rows = np.flatnonzero(first | second)
    design = np.column_stack([first[rows], second[rows]]).astype(np.float64)
    model = _Model(covariance[np.ix_(rows, rows)], design, float(np.var(value[rows])))
    statistic, difference, se, variance = (v[0] for v in model.fit(value[rows] @ model.basis))
    rng = np.random.default_rng(seed)
    root = np.sqrt(model.eigenvalues + variance)
    uniform = model.fit(root * rng.standard_normal((draws, len(rows))))[0]
    as_large = np.count_nonzero(np.abs(uniform) >= abs(statistic))
    return Contrast(difference, se, (1 + as_large) / (1 + draws), float(np.sqrt(variance)))


class _Model:
    """Two means under errors of known covariance plus a between-site variance."""

    def __init__(self, covariance: np.ndarray, design: np.ndarray, spread: float) -> None:
        eigenvalues, self.basis = np.linalg.eigh(covariance)
        # rounding may leave the smallest below zero
        self.eigenvalues = np.maximum(eigenvalues, 1e-12 * eigenvalues[-1])
        self.design = self.basis.T @ design
        mean = float(self.eigenvalues.mean())
        top = np.log(max(8.0, 4.0 * spread / mean))
        steps = np.exp(np.linspace(np.log(_LOWEST), top, _GRID - 1))
        self.variances = mean * np.concatenate([[0.0], steps])

    def fit(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return statistic, difference, its se and the between-site variance of each dot.

        Parameters
        ----------
        values : (d, m) or (m,) float64 array
            In the eigenbasis.
        """
        values = np.atleast_2d(values)
        square = values**2
        deviance = np.empty((_GRID, len(values)))
        difference = np.empty_like(deviance)
        se = np.empty(_GRID)
        for k, variance in enumerate(self.variances):
            total = self.eigenvalues + variance
            weighted = self.design / total[:, None]
            inverse = np.linalg.inv(self.design.T @ weighted)
            scores = values @ weighted  # (d, 2)
            fitted = scores @ inverse
            rest = square @ (1.0 / total) - (scores * fitted).sum(axis=1)
            deviance[k] = rest + np.log(total).sum() - np.linalg.slogdet(inverse)[1]
            difference[k] = fitted[:, 0] - fitted[:, 1]
            se[k] = np.sqrt(inverse[0, 0] + inverse[1, 1] - 2 * inverse[0, 1])
        best = deviance.argmin(axis=0)
        # an estimate that cannot be negative would widen every error: none unless it is seen
        best = np.where(deviance[0] - deviance.min(axis=0) > _SEEN, best, 0)
        found = difference[best, np.arange(len(values))]
        return found / se[best], found, se[best], self.variances[best]
