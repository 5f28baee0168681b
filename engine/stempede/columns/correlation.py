"""Correlation: how the tilt varies between sites, with what errors alone make taken off.

Neighbouring tilts share columns: their errors correlate near +1/4 when staggered, which a plain
correlogram or Moran's I would call order (METHODS 1.2).
"""

from __future__ import annotations

import numpy as np

MOST_SITES = 600
_LENGTHS = np.array([0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.0, 16.0])
_SHARES = np.exp(np.linspace(np.log(0.05), np.log(50.0), 14))
_SIGNIFICANT = 5.4
"""Twice the log-likelihood gained that 5 % of uniform crystals exceed (two free numbers, one
of them at its border)."""


def inhomogeneity(value: np.ndarray, covariance: np.ndarray) -> float:
    """Return the standard deviation between sites beyond their errors.

    Parameters
    ----------
    value : (m,) float64 array
        NaN is left out.
    covariance : (m, m) float64 array
        Of the errors.

    Returns
    -------
    float
        0 where the sites spread no more than their errors make; NaN below three sites.
    """
    known = np.flatnonzero(np.isfinite(value))
    if len(known) < 3:
        return np.nan
    m = len(known)
    c = covariance[np.ix_(known, known)]
    # mean square about the mean less its expectation under errors that share columns
    errors = (np.trace(c) - c.sum() / m) / (m - 1)
    return float(np.sqrt(max(0.0, np.var(value[known], ddof=1) - errors)))


def correlogram(
    value: np.ndarray, covariance: np.ndarray, ij: np.ndarray, longest: int = 6
) -> tuple[np.ndarray, np.ndarray]:
    """Return covariance of the tilt by distance, the errors' part removed.

    Parameters
    ----------
    value : (m,) float64 array
    covariance : (m, m) float64 array
    ij : (m, 2) array
        Coordinates, cells.
    longest : int
        Cells.

    Returns
    -------
    distance : (longest + 1,) float64 array
        0, 1, 2 ... cells, each within half a cell.
    covariance : (longest + 1,) float64 array
        Squares of the value's unit; the first is the variance. About the sample's mean, as
        any correlogram.
    """
    known = np.flatnonzero(np.isfinite(value))
    c = covariance[np.ix_(known, known)]
    centred = value[known] - value[known].mean()
    row = c.mean(axis=0)
    errors = c - row[:, None] - row[None] + row.mean()
    rest = np.outer(centred, centred) - errors
    apart = np.hypot(*(ij[known][:, None] - ij[known]).transpose(2, 0, 1))
    ring = np.rint(apart).astype(int)
    found = [rest[ring == k].mean() if (ring == k).any() else np.nan for k in range(longest + 1)]
    return np.arange(longest + 1.0), np.array(found)


def correlation_length(value: np.ndarray, covariance: np.ndarray, ij: np.ndarray) -> float:
    """Return the length over which the tilt keeps to itself, cells.

    Restricted likelihood of a field with covariance s² exp(-d / length) on top of the errors.

    Returns
    -------
    float
        NaN where no variation beyond the errors is seen (5 % level) or where there are fewer
        than 8 or more than 600 sites; half a cell where neighbours vary independently.
    """
    known = np.flatnonzero(np.isfinite(value))
    if not 8 <= len(known) <= MOST_SITES:
        return np.nan
    c = covariance[np.ix_(known, known)]
    apart = np.hypot(*(ij[known][:, None] - ij[known]).transpose(2, 0, 1))
    farthest = max(1.0, float(apart.max()))
    lengths = [length for length in _LENGTHS.tolist() if length <= farthest]
    scale = np.trace(c) / len(known)
    none = _deviance(value[known], c)
    best, found = none, np.nan
    whiten = np.linalg.inv(np.linalg.cholesky(c + 1e-9 * scale * np.eye(len(known))))
    one, tilt = whiten @ np.ones(len(known)), whiten @ value[known]
    for length in lengths:
        field = whiten @ (scale * np.exp(-apart / length)) @ whiten.T
        eigenvalues, basis = np.linalg.eigh(field)
        u, t = basis.T @ one, basis.T @ tilt
        for share in _SHARES:
            total = 1.0 + share * np.maximum(eigenvalues, 0.0)
            deviance = _restricted(t, u, total) - 2 * np.log(np.diag(whiten)).sum()
            if deviance < best:
                best, found = deviance, length
    return found if none - best > _SIGNIFICANT else np.nan


def _restricted(value: np.ndarray, one: np.ndarray, total: np.ndarray) -> float:
    """Minus twice the restricted log-likelihood of a common mean, up to a constant."""
    a = float((one**2 / total).sum())
    mean = float((one * value / total).sum()) / a
    return float(((value - mean * one) ** 2 / total).sum() + np.log(total).sum() + np.log(a))


def _deviance(value: np.ndarray, covariance: np.ndarray) -> float:
    eigenvalues, basis = np.linalg.eigh(covariance)
    total = np.maximum(eigenvalues, 1e-12 * eigenvalues[-1])
    return _restricted(basis.T @ value, basis.T @ np.ones(len(value)), total)
