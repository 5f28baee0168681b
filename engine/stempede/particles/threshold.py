"""Thresholds of a smoothed signal: global, local and hysteresis, particles bright."""

from __future__ import annotations

from typing import Any

import numpy as np

from stempede_kernels.smooth import box_mean

BINS = 256


def otsu(values: Any, xp: Any = np) -> float:
    """Return the level that splits values into two classes of least variance.

    Source: Otsu, IEEE Trans. SMC 9 (1979) 62. The histogram spans the 0.1 to 99.9 % quantiles.
    """
    low, high = (float(v) for v in xp.quantile(values, xp.asarray([0.001, 0.999])))
    if not high > low:
        return high
    counts, edges = xp.histogram(xp.clip(values, low, high), bins=BINS, range=(low, high))
    counts, edges = (a.get() if hasattr(a, "get") else a for a in (counts, edges))
    middles = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(counts * middles) / np.maximum(below, 1)
    mean_above = np.cumsum((counts * middles)[::-1])[::-1] / np.maximum(above, 1)
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(edges[1 + int(np.argmax(between))])


def global_mask(signal: Any, level: float | None, xp: Any = np) -> Any:
    """Return the pixels of a (y, x) signal above a level, Otsu's where it is None."""
    return signal > (otsu(signal.ravel()[::4], xp) if level is None else level)


def local_mask(signal: Any, window_px: int, offset: float, scale: float = 1.0) -> Any:
    """Return the pixels above ``scale`` times the mean of a square window plus an offset.

    The side of the window is odd, made so by a pixel more.
    """
    level = box_mean(signal, window_px + 1 - window_px % 2)
    level += np.float32(offset)
    level *= np.float32(scale)
    return signal > level


def hysteresis_mask(signal: Any, low: float, high: float, xp: Any, ndimage: Any) -> Any:
    """Return the regions above ``low`` (4-connected) that reach ``high`` somewhere."""
    regions, n = ndimage.label(signal > low)
    reached = xp.zeros(n + 1, bool)
    reached[xp.unique(regions[signal > high])] = True
    reached[0] = False
    return reached[regions]
