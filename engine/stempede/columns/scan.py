"""Scan: shifts of whole scan lines, estimated with the columns they cut and taken out.

A scanning beam sets off each line a little wrong. A column spans a dozen lines, whose mean error
moves it; neighbours on the same lines move alike. Shifts are random with a variance and a
correlation from line to line that the frame itself tells (marginal likelihood); given these, the
columns' positions are those of the joint fit of columns and shifts, and what remains unknown of
the shifts is in their covariance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve_banded, cholesky_banded

from stempede.columns.joint import System
from stempede_kernels import frame_fit

_CORRELATIONS = (0.0, 0.3, 0.6)
_RATIOS = np.geomspace(0.02, 50, 15)
"""Variances tried, in those a line's own shift is known to."""

_MOST = 0.4
"""Largest rms of shifts, in widths: more would tear columns apart."""

_WORTH = 2.0
"""Gain in log-likelihood that shifts have to make before they are believed."""


@dataclass(frozen=True)
class Jitter:
    """Shifts of lines along one axis.

    Parameters
    ----------
    rms_px : float
        0 where none was found.
    correlation : float
        Of neighbouring lines.
    """

    rms_px: float
    correlation: float


@dataclass(frozen=True)
class _Lines:
    """What the lines tell along one axis, columns fitted again for each shift."""

    first: np.ndarray
    gain: np.ndarray
    band: np.ndarray
    score: np.ndarray


def take_out(
    system: System, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[Jitter, Jitter]]:
    """Return what the shifts of lines add to each column, and the covariance with them.

    Parameters
    ----------
    system : System
        At the optimum of the columns without shifts.
    covariance : (n, 3, 3) float64 array
        Of y, x, intensity without shifts.

    Returns
    -------
    change : (n, 3) float64 array
        To be added to y, x, intensity.
    covariance : (n, 3, 3) float64 array
    jitter : (Jitter, Jitter)
        Along y and x.
    """
    score, weight = system.problem.noise.score_information(system.observed, system.expected)
    change = np.zeros((len(covariance), 3))
    total = covariance.copy()
    found = []
    for axis in (0, 1):
        lines = _lines(system, score, weight, axis, covariance)
        jitter, precision = _variance(lines, _MOST * float(system.state.shape.sigma_px.min()))
        found.append(jitter)
        if precision is None:
            continue
        factor = cholesky_banded(lines.band + precision, lower=True)
        shift = cho_solve_banded((factor, True), lines.score)
        where = lines.first[:, None] + np.arange(lines.gain.shape[2])
        change -= np.einsum("npr,nr->np", lines.gain, shift[where])
        total += _spread(factor, lines)
    return change, total, (found[0], found[1])


def _lines(
    system: System,
    score: np.ndarray,
    weight: np.ndarray,
    axis: int,
    covariance: np.ndarray,
) -> _Lines:
    pairs, share = system.pairs, system.share
    half = int(pairs.radius)
    low = int(pairs.centres[:, 0].min(initial=0)) - half
    first = pairs.centres[:, 0] - half - low
    span, n_rows = 2 * half + 1, int(first.max(initial=0)) + 2 * half + 1
    row = pairs.flat // pairs.used.shape[1] - low
    by_shift = -system.light_moved(axis)
    across = pairs.image(weight * by_shift * share)
    cross = frame_fit.row_sums(
        across, system.gaussians, pairs.centres, pairs.radius, system.problem.moves
    )
    cross = (cross * system.scale[:, None]).swapaxes(1, 2)
    gain = np.einsum("npq,nqr->npr", covariance, cross)
    explained = np.einsum("npr,nps->nrs", cross, gain)
    band = np.zeros((span, n_rows))
    for lag in range(span):
        part = np.diagonal(explained, lag, axis1=1, axis2=2)
        where = first[:, None] + np.arange(span - lag)
        band[lag] = -np.bincount(where.ravel(), part.ravel(), minlength=n_rows)
    band[0] += np.bincount(row, weight * by_shift**2, minlength=n_rows)
    return _Lines(first, gain, band, np.bincount(row, score * by_shift, minlength=n_rows))


def _variance(lines: _Lines, most_px: float) -> tuple[Jitter, np.ndarray | None]:
    """Return the variance and correlation that make the frame likeliest, and their precision."""
    known = lines.band[0][lines.band[0] > 0.05 * lines.band[0].max(initial=0)]
    most, best, chosen = _WORTH, Jitter(0.0, 0.0), None
    if len(known) < 8:
        return best, None
    for correlation in _CORRELATIONS:
        for ratio in _RATIOS:
            variance = float(ratio / np.median(known))
            if variance > most_px**2:
                continue
            precision, log_det = _prior(variance, correlation, lines.band.shape)
            gain = _gain(lines, precision, log_det)
            if gain > most:
                most, best = gain, Jitter(float(np.sqrt(variance)), correlation)
                chosen = precision
    return best, chosen


def _prior(variance: float, correlation: float, shape: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """Return the banded precision of a chain of shifts, and the logarithm of its determinant."""
    precision = np.zeros(shape)
    n, rest = shape[1], 1 - correlation**2
    precision[0] = (1 + correlation**2) / (variance * rest)
    precision[0, 0] = precision[0, -1] = 1 / (variance * rest)
    if shape[0] > 1:
        precision[1, :-1] = -correlation / (variance * rest)
    return precision, -n * np.log(variance) - (n - 1) * np.log(rest)


def _gain(lines: _Lines, precision: np.ndarray, log_det: float) -> float:
    """Return the log-likelihood gained by shifts of this precision, shifts integrated out."""
    try:
        factor = cholesky_banded(lines.band + precision, lower=True)
    except np.linalg.LinAlgError:
        return -np.inf
    explained = lines.score @ cho_solve_banded((factor, True), lines.score)
    return float(0.5 * explained - np.log(factor[0]).sum() + 0.5 * log_det)


def _spread(factor: np.ndarray, lines: _Lines) -> np.ndarray:
    """Return (n, 3, 3) covariances that unknown shifts add to columns."""
    span = lines.gain.shape[2]
    inverse = cho_solve_banded((factor, True), np.eye(factor.shape[1]))
    where = lines.first[:, None] + np.arange(span)
    own = inverse[where[:, :, None], where[:, None, :]]
    return np.einsum("npr,nrs,nqs->npq", lines.gain, own, lines.gain, optimize=True)
