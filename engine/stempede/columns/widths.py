"""Widths: what keeps shared widths true where columns hold few electrons.

A position fitted to noise sits in the middle of its electrons, so their spread about it is too
small: seven electrons give a width 7 % too narrow. The profile likelihood of the widths is
therefore adjusted by the information of the positions (Cox and Reid, J. R. Stat. Soc. B 49
(1987) 1), which takes that part out.
"""

from __future__ import annotations

import numpy as np

from stempede.columns.gaussians import Shape
from stempede.columns.noise import Noise

_ALIKE = 0.05
"""Widths of the species of one frame differ by about this share: they have one probe."""

_STRETCH = 0.1
"""Typical stretch of a probe."""

_RADII = 24


def log_slopes(
    intensity: np.ndarray, sigma: np.ndarray, level: np.ndarray, noise: Noise, window: float
) -> np.ndarray:
    """Return the derivative of log information of a position by the logarithm of its width.

    Parameters
    ----------
    intensity, sigma, level : (n,) float64 array
        Electrons, px, electrons per px.
    noise : Noise
    window : float
        Radius read, in widths.

    Returns
    -------
    (n,) float64 array
        -2 without background, -4 where background or read noise prevails.
    """
    step = 0.05
    wide = _information(intensity, sigma * np.exp(step), level, noise, window * np.exp(-step))
    narrow = _information(intensity, sigma * np.exp(-step), level, noise, window * np.exp(step))
    return np.log(np.maximum(wide, 1e-300) / np.maximum(narrow, 1e-300)) / (2 * step)


def _information(
    intensity: np.ndarray, sigma: np.ndarray, level: np.ndarray, noise: Noise, window: float
) -> np.ndarray:
    """Return the information of one coordinate of a round column, by integrating over rings."""
    radius = (np.arange(_RADII) + 0.5) / _RADII * window
    profile = np.exp(-0.5 * radius**2) / (2 * np.pi)
    signal = intensity[:, None] * profile / sigma[:, None] ** 2
    slope = signal * radius / sigma[:, None]
    expected = signal + level[:, None]
    weight = noise.score_information(expected, expected)[1]
    ring = np.pi * radius * window / _RADII * sigma[:, None] ** 2
    return (slope**2 * weight * ring).sum(axis=1)


def shape_prior(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Return precision and pull of a weak prior: species alike, probe round."""
    n = len(shape.log_sigma)
    centring = np.eye(n) - 1 / n
    precision = np.zeros((n + 2, n + 2))
    precision[:n, :n] = centring / _ALIKE**2
    precision[n:, n:] = np.eye(2) / _STRETCH**2
    return precision, -precision @ np.concatenate([shape.log_sigma, shape.stretch])
