"""Masks that hide part of an image, so that the rest can be asked for it."""

from __future__ import annotations

import numpy as np


def shown(
    shape: tuple[int, ...], rng: np.random.Generator, share: float = 0.3, run: int = 3
) -> np.ndarray:
    """Return a float32 mask: 0 where pixels are hidden, 1 elsewhere.

    Parameters
    ----------
    shape : tuple of int
        (..., y, x).
    rng : numpy.random.Generator
    share : float
        Of the pixels, hidden.
    run : int
        Pixels hidden together along a row: noise of a scan is alike within a row.

    References
    ----------
    Quan et al., "Self2Self with dropout", CVPR (2020).
    """
    first = rng.random(shape) < 1 - (1 - share) ** (1 / run)
    hidden = first.copy()
    for step in range(1, run):
        hidden[..., step:] |= first[..., :-step]
    return np.where(hidden, 0.0, 1.0).astype(np.float32)
