"""Verify: keep the regions that stand out from the texture of the background around them."""

from __future__ import annotations

from typing import Any

import numpy as np

from stempede.particles.windows import grow, masked_quantiles, stretch
from stempede_kernels.order import median
from stempede_kernels.smooth import box_mean

WINDOW = 15
SIDE = 32
# background a window must hold, as a share, before its mean is used
KNOWN = 0.05
ONE_SIGMA = 0.16
ALIKE = 0.8


def contrasts(smooth: Any, labels: Any, n: int, xp: Any) -> np.ndarray:
    """Return each region's contrast against the background beside it, bare and over its texture.

    Parameters
    ----------
    smooth : (y, x) float32 array
        Regions bright.
    labels : (y, x) int32 array
        1..n, 0 on the background.

    Returns
    -------
    (n, 2) float64 array
        Mean inside less mean of the background around the outline; the same over the spread
        of the background on its dark side (median less 16 % quantile, in windows): regions
        missed beside it and bright rims do not widen that. NaN where no background is near.
    """
    grown = grow(labels, xp)
    background = (grown == 0).astype(xp.float32)
    weight = box_mean(background, WINDOW)
    level = box_mean(smooth * background, WINDOW)
    level /= xp.maximum(weight, np.float32(KNOWN))
    spread = _dark_spread(smooth - level, (background > 0) & (weight > KNOWN), xp)
    ring = (grown > 0) & (labels == 0) & (weight > KNOWN)
    outside, known = _mean_by(grown[ring], level[ring], n, xp)
    found = labels > 0
    within = labels[found]
    inside, _ = _mean_by(within, smooth[found], n, xp)
    texture, _ = _mean_by(within, spread[found], n, xp)
    bare = xp.where(known, inside - outside, np.nan)
    pairs = xp.stack([bare, bare / texture], axis=1)
    return np.asarray(pairs.get() if hasattr(pairs, "get") else pairs, dtype=np.float64)


def significant(contrast: np.ndarray, least: float, share: float) -> np.ndarray:
    """Return which regions stand out; those without background near cannot be judged and do.

    Over its texture a region must reach ``least``, and ``share`` of the frame's typical
    contrast or, bare, ``ALIKE`` of it. Typical is the median weighted by the cube of the
    contrast over texture, so that a few clear particles outweigh many specks.

    Parameters
    ----------
    contrast : (n, 2) float64 array
        As of ``contrasts``.
    """
    known = np.isfinite(contrast).all(axis=1)
    bare, clear = contrast[known].T
    kept = np.ones(len(contrast), bool)
    if not known.any():
        return kept
    near = clear >= share * _typical(clear, clear)
    # texture differs from place to place: what is as bright as the others may lie on rough ground
    near |= bare >= ALIKE * _typical(bare, clear)
    kept[known] = (clear >= least) & near
    return kept


def _typical(values: np.ndarray, contrast: np.ndarray) -> float:
    """Return the median of values weighted by the cube of the contrast over texture."""
    rank = np.argsort(values, kind="stable")
    covered = np.cumsum(np.clip(contrast, 0, None)[rank] ** 3)
    return float(values[rank[np.searchsorted(covered, covered[-1] / 2)]])


def _dark_spread(residue: Any, known: Any, xp: Any) -> Any:
    quantiles, size = masked_quantiles(residue, known, SIDE, (ONE_SIGMA, 0.5), xp)
    spread = quantiles[1] - quantiles[0]
    found = spread[xp.isfinite(spread) & (spread > 0)]
    typical = median(found, xp) if found.size else 1.0
    spread = xp.where(xp.isfinite(spread), xp.maximum(spread, 0.2 * typical), typical)
    return stretch(spread.astype(xp.float32), size, residue.shape, xp)


def _mean_by(labels: Any, values: Any, n: int, xp: Any) -> tuple[Any, Any]:
    """Return the mean of values for labels 1..n, and where there are any."""
    count = xp.bincount(labels, minlength=n + 1)[1:]
    total = xp.bincount(labels, weights=values, minlength=n + 1)[1:]
    return total / xp.maximum(count, 1), count > 0
