"""Map correlation: whether two quantities of a crystal's sites go together.

Both are measured with errors, which weaken a correlation, and both are smooth over the
crystal, which makes chance correlations large: the errors' part is taken off, and chance is
judged by one map shifted and mirrored against the other, which keeps both as smooth as they are.
"""

from __future__ import annotations

import numpy as np

_LEAST = 12

Measured = tuple[np.ndarray, np.ndarray]


def correlate(ij: np.ndarray, one: Measured, other: Measured) -> tuple[float, float]:
    """Return the correlation without the errors' part, and its two-sided chance.

    Parameters
    ----------
    ij : (n, 2) float64 array
        Sites, whole numbers.
    one, other : pair of (n,) float64 array
        Values and standard errors; NaN where unknown.

    Returns
    -------
    correlation : float
        In [-1, 1]; NaN with fewer than 12 sites, or where a map's spread is not above its errors.
    chance : float
        Share of shifted and mirrored maps whose covariance is as large; NaN without.
    """
    good = np.all([np.isfinite(v) for v in (*one, *other)], axis=0) & np.isfinite(ij).all(axis=1)
    if good.sum() < _LEAST:
        return np.nan, np.nan
    a, b = one[0][good], other[0][good]
    true = [v.var() - (e[good] ** 2).mean() for v, e in ((a, one[1]), (b, other[1]))]
    shared = float(((a - a.mean()) * (b - b.mean())).mean())
    chance = _chance(np.rint(ij[good]).astype(np.int64), a, b, shared)
    if min(true) <= 0:
        return np.nan, chance
    return float(np.clip(shared / np.sqrt(true[0] * true[1]), -1, 1)), chance


def _chance(ij: np.ndarray, a: np.ndarray, b: np.ndarray, shared: float) -> float:
    """Compare with all shifts by at least two cells round the crystal's box, mirrored too."""
    low = ij.min(axis=0)
    size = ij.max(axis=0) - low + 1
    first, second = (np.full(size, np.nan) for _ in range(2))
    first[tuple((ij - low).T)], second[tuple((ij - low).T)] = a, b
    hits = tried = 0
    for flip in (second, second[::-1], second[:, ::-1], second[::-1, ::-1]):
        for down in range(size[0]):
            for across in range(size[1]):
                if min(down, size[0] - down) < 2 and min(across, size[1] - across) < 2:
                    continue
                moved = np.roll(flip, (down, across), (0, 1))
                both = np.isfinite(first) & np.isfinite(moved)
                if both.sum() < _LEAST // 2:
                    continue
                p, q = first[both], moved[both]
                hits += abs(((p - p.mean()) * (q - q.mean())).mean()) >= abs(shared)
                tried += 1
    return (1 + hits) / (1 + tried) if tried else np.nan
