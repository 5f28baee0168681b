"""Widths: what keeps widths and background true where columns hold few electrons.

A position fitted to noise sits in the middle of its electrons, so their spread about it is too
small: seven electrons give a width 7 % too narrow. It also sits where most of the electrons
around it can be the column's, so that the background is left too dark and the column too
bright, by as much as an electron each. The profile likelihood of both is therefore adjusted by
the observed information of the positions (Cox and Reid, J. R. Stat. Soc. B 49 (1987) 1), which
takes that part out.
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
) -> tuple[np.ndarray, np.ndarray]:
    """Return derivatives of a position's log information by the logarithms of width and level.

    Of the information observed: the electrons stay those that were counted while the model
    changes, so that only one of the two slopes of the profile in it follows the model.

    Parameters
    ----------
    intensity, sigma, level : (n,) float64 array
        Electrons, px, electrons per px.
    noise : Noise
    window : float
        Radius read, in widths.

    Returns
    -------
    by_width, by_level : (n,) float64 array
        By width -2 on any background; by level 0 without and -1 where it prevails.
    """
    radius = (np.arange(_RADII) + 0.5) / _RADII * window
    profile = np.exp(-0.5 * radius**2) / (2 * np.pi)
    signal = intensity[:, None] * profile / sigma[:, None] ** 2
    expected, step = signal + level[:, None], 0.02 * (signal + np.abs(level[:, None]))
    weight = noise.information(expected)
    change = (noise.information(expected + step) - weight) / np.maximum(step, 1e-300)
    # of a slope, in units of the intensity over the width's third power
    square = (radius * signal) ** 2 * radius
    by_width = square * (weight * (radius**2 - 4) + change * signal * (radius**2 - 2))
    by_level = square * change * level[:, None]
    whole = np.maximum((square * weight).sum(axis=1), 1e-300)
    return by_width.sum(axis=1) / whole, by_level.sum(axis=1) / whole


def shape_prior(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Return precision and pull of a weak prior: species alike, probe round."""
    n = len(shape.log_sigma)
    centring = np.eye(n) - 1 / n
    precision = np.zeros((n + 2, n + 2))
    precision[:n, :n] = centring / _ALIKE**2
    precision[n:, n:] = np.eye(2) / _STRETCH**2
    return precision, -precision @ np.concatenate([shape.log_sigma, shape.stretch])
