"""Refine: from regions seen through blocks to outlines at full resolution, at half height."""

from __future__ import annotations

from typing import Any

import numpy as np

from stempede.backend import Backend
from stempede.particles.outlines import SMOOTH_PX, View
from stempede_kernels.smooth import box_mean, gaussian

WINDOW = 9
FINER = 2.5
LEAST_PX = 0.8
# share of a window that must be known before its mean is trusted
KNOWN = 0.02


def half_height(view: View, image: Any, valid: Any, backend: Backend, fraction: float = 0.5) -> Any:
    """Return (y, x) int32 labels whose outlines lie halfway between inside and outside.

    Inside and outside are means close to the outline, a block away from it on either side,
    so that neither a dark core nor a slope of the support moves it. The outline is drawn
    in the image smoothed less than the view, where it is no more rounded by noise
    suppression than needed, and moves by two blocks at most. ``fraction`` of the height
    is where it is drawn, from 0 outside to 1 inside.
    """
    xp, factor = backend.xp, view.factor
    threshold, zone = _thresholds(view, fraction, backend)
    threshold, zone = (xp.repeat(a, factor, axis=1)[:, : image.shape[1]] for a in (threshold, zone))
    smooth = gaussian(image, max(LEAST_PX, SMOOTH_PX * factor / FINER), truncate=3)
    labels = xp.empty(image.shape, xp.int32)
    for first in range(min(factor, len(image))):
        rows = slice(first, None, factor)
        n = len(smooth[rows])
        xp.multiply(zone[:n], smooth[rows] > threshold[:n], out=labels[rows])
    if not valid.all():
        labels *= valid
    return labels


def _thresholds(view: View, fraction: float, backend: Backend) -> tuple[Any, Any]:
    """Return threshold, below any level where it stays inside in any case, and grown labels."""
    xp, ndimage = backend.xp, backend.ndimage
    labels, smooth = view.labels, view.smooth
    mask = labels > 0
    rim = ndimage.binary_erosion(mask, border_value=1)
    core = ndimage.binary_erosion(rim, border_value=1)
    near = grow(grow(labels, xp, ndimage), xp, ndimage)
    inner, _ = _mean_where(smooth, mask, xp)
    for deeper in (rim, core):
        mean, known = _mean_where(smooth, deeper, xp)
        inner = xp.where(known, mean, inner)
    outer, known_outer = _mean_where(smooth, near == 0, xp)
    threshold = np.float32(fraction) * inner
    threshold += np.float32(1 - fraction) * outer
    # without a look at the outside the outline stays where it was found
    kept = xp.where(mask, np.float32(-np.inf), np.float32(np.inf))
    threshold = xp.where(known_outer, threshold, kept)
    threshold[core] = -np.inf
    return threshold, near


def _mean_where(smooth: Any, mask: Any, xp: Any) -> tuple[Any, Any]:
    """Return the mean over the masked pixels of a window, and where it is known."""
    weight = box_mean(mask.astype(xp.float32), WINDOW)
    total = box_mean(smooth * mask, WINDOW)
    known = weight >= np.float32(KNOWN)
    total /= xp.maximum(weight, np.float32(KNOWN), out=weight)
    return total, known


def grow(labels: Any, xp: Any, ndimage: Any) -> Any:
    """Return labels grown by one pixel over the background."""
    return xp.where(labels > 0, labels, ndimage.maximum_filter(labels, 3))
