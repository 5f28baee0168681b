"""Anscombe's root: Poisson counts, read noise or not, to values of about unit variance, and back.

Sources: Anscombe, "The transformation of Poisson, binomial and negative-binomial data",
Biometrika 35 (1948); Mäkitalo & Foi, "Optimal inversion of the generalized Anscombe
transformation for Poisson-Gaussian noise", IEEE Trans. Image Process. 22 (2013).
"""

from __future__ import annotations

from typing import Any

import numpy as np

_OFFSET = 0.375
_LEAST = 2 * _OFFSET**0.5
"""Root of no count without read noise."""
_ROOT = 1.5**0.5


def stabilise(electrons: Any, read_noise: float = 0.0) -> Any:
    """Return the generalised Anscombe root of electrons.

    Parameters
    ----------
    electrons : float array
        NumPy or CuPy; below -3/8 - read_noise² the root is 0.
    read_noise : float
        rms in electrons.

    Returns
    -------
    float array
        About unit variance above a few electrons; below, the variance falls with the mean.
    """
    return 2 * (electrons + (_OFFSET + read_noise**2)).clip(0, None) ** 0.5


def restore(roots: Any, read_noise: float = 0.0) -> Any:
    """Return the expected electrons whose roots have these means.

    The closed form of the exact unbiased inverse: squaring the mean of roots would lose up to
    an eighth of an electron and more.

    Parameters
    ----------
    roots : float array
        Means of ``stabilise``; below that of no electron they are taken as that.
    read_noise : float
        rms in electrons.
    """
    d = roots.clip(_LEAST, None)
    square = d * d
    series = 0.25 * square + 0.25 * _ROOT / d - 1.375 / square + 0.625 * _ROOT / (square * d)
    return (series - (0.125 + read_noise**2)).clip(0, None)


def mean_root(electrons: np.ndarray, read_noise: float = 0.0) -> np.ndarray:
    """Return the roots that ``restore`` takes to these expected electrons.

    Parameters
    ----------
    electrons : float array
        Not negative.
    read_noise : float
        rms in electrons.
    """
    highest = float(np.max(electrons, initial=0.0)) + read_noise**2
    # finest at the low end, where the inverse is flat
    grid = _LEAST + np.linspace(0, (2 * (highest + 1) ** 0.5) ** 0.5, 4096) ** 2
    values = restore(grid)
    return np.asarray(np.interp(electrons + read_noise**2, values, grid), dtype=np.float64)
