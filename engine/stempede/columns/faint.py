"""Faint: errors of columns of few electrons, whose likelihood is no paraboloid.

With ten electrons the curvature at the maximum says too little of the error: the maximum picks
the place and the intensity that the noise favours. The mean square distance of the position
from the maximum, over the likelihood around it (flat prior), is what an error has to be; the
position itself stays the maximum, so that nothing is drawn towards a lattice.
"""

from __future__ import annotations

import numpy as np

from stempede.columns.footprint import disc
from stempede.columns.joint import System
from stempede.columns.search import without_own
from stempede_kernels import frame_fit

_PLACES = np.linspace(-4, 4, 13)
"""Places on each axis, in standard errors of the curvature."""

_SPREAD = 0.35
"""Intensities differ from those around by about this share."""

_CHUNK = 64


def mean_squares(
    system: System, which: np.ndarray, covariance: np.ndarray, expected: np.ndarray
) -> np.ndarray:
    """Return (k, 2, 2) mean squares of y, x about the fitted position.

    Parameters
    ----------
    system : System
        At the optimum.
    which : (k,) int64 array
        Columns.
    covariance : (n, 3, 3) float64 array
        From the curvature.
    expected : (n,) float64 array
        Intensities that the columns around let expect.
    """
    intensity = _likely(system.state.intensity, covariance[:, 2, 2], expected)
    parts = [
        _mean_squares(system, which[k : k + _CHUNK], covariance, intensity)
        for k in range(0, len(which), _CHUNK)
    ]
    return np.concatenate([np.zeros((0, 2, 2)), *parts])


def _likely(intensity: np.ndarray, variance: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return intensities between the fitted and the expected ones, by their variances."""
    prior = (_SPREAD * expected) ** 2
    # the variance that the expected number would have: that of few electrons is itself noise
    usual = variance * np.maximum(expected, 1e-12) / np.maximum(intensity, 1e-12)
    return (intensity * prior + expected * usual) / (prior + usual)


def _mean_squares(
    system: System, which: np.ndarray, covariance: np.ndarray, intensity: np.ndarray
) -> np.ndarray:
    problem, state = system.problem, system.state
    sigma = state.shape.sigma_px[problem.species[which]]
    error = np.sqrt(covariance[which][:, [0, 1], [0, 1]])
    error = np.minimum(error, 0.25 * problem.radius_px)
    reach = float(4 * error.max() + 2.5 * sigma.max())
    yy, xx, ok = disc(problem.valid, state.y[which], state.x[which], reach)
    without = without_own(system, which, yy, xx, ok)
    flat = np.where(ok, yy * problem.valid.shape[1] + xx, 0)
    own = np.exp(-0.5 * _squares(yy, xx, state.y[which], state.x[which]) / sigma[:, None] ** 2)
    own *= (intensity[which] / (2 * np.pi * sigma**2))[:, None]
    observed = problem.electrons.ravel()[flat]
    electrons, noise = problem.noise.counted(observed, without + own)
    # what the pixels tell, over what their electrons would if they were counted
    told = (own**2 * problem.noise.information(without + own) * ok).sum(axis=1)
    counted = (own**2 * noise.information(without + own) * ok).sum(axis=1)
    dy, dx = (a.ravel() for a in np.meshgrid(_PLACES, _PLACES, indexing="ij"))
    off_y, off_x = dy * error[:, :1], dx * error[:, 1:]
    y, x = state.y[which, None] + off_y, state.x[which, None] + off_x
    log = frame_fit.place_gains(
        np.stack([yy, xx], axis=-1),
        np.where(ok, electrons, np.nan),
        without,
        np.stack([y, x], axis=-1),
        intensity[which, None],
        sigma,
        noise=noise.rule(),
    )[:, 0]
    log *= (told / np.maximum(counted, 1e-300))[:, None] / noise.dispersion
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    offsets = np.stack([off_y, off_x], axis=-1)
    return np.einsum("kg,kgp,kgq->kpq", weight, offsets, offsets)


def _squares(yy: np.ndarray, xx: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return (k, p) squared distances of pixels from columns."""
    square: np.ndarray = (yy - y[:, None]) ** 2 + (xx - x[:, None]) ** 2
    return square
