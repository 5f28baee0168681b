"""Alloy: fractions of two halides from relative intensities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Alloy:
    """Fractions of the lighter halide.

    Parameters
    ----------
    fraction, error : (n,) float64 array
        NaN where unknown.
    level_error : float
        Standard error that all share, from the level of the pure halide.
    """

    fraction: np.ndarray
    error: np.ndarray
    level_error: float = 0.0

    @classmethod
    def none(cls, n: int) -> Alloy:
        """Return n unknown fractions."""
        return cls(np.full(n, np.nan), np.full(n, np.nan))


def anchored(
    relative: np.ndarray, noise: np.ndarray, reference: float | None, ratio: float
) -> Alloy:
    """Return fractions from intensities relative to columns that hold no X alone.

    Parameters
    ----------
    relative, noise : (n,) float64 array
        Relative intensities and their errors; NaN where unknown.
    reference : float, optional
        Relative intensity of the pure heavier halide. Without it: the mean and one standard
        deviation of the true intensities above it, which holds for a dilute random alloy
        (spread of the fraction about its mean) and for a pure crystal (no spread).
    ratio : float
        Brightness of the lighter halide over the heavier one's.
    """
    good = np.isfinite(relative) & np.isfinite(noise)
    level, level_error = 1.0, 0.0
    if reference is not None:
        level = reference
    elif good.sum() >= 4:
        values, variance = relative[good], noise[good] ** 2
        weight = 1 / variance
        mean = float((weight * values).sum() / weight.sum())
        excess = ((values - mean) ** 2 - variance) * weight
        true = max(0.0, float(excess.sum() / weight.sum()))
        level = mean + np.sqrt(true)
        # the mean's own error, and that of a variance from n noisy squares
        spread = float(((values - mean) ** 2).mean())
        of_root = spread * np.sqrt(2 / len(values)) / (2 * max(np.sqrt(true), np.sqrt(spread) / 4))
        level_error = float(np.hypot(np.sqrt(spread / len(values)), of_root))
    share = relative / level
    loss = 1 - ratio
    return Alloy((1 - share) / loss, noise / level / loss, level_error / level / loss)
