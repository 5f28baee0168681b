"""Refine: from regions seen through blocks to outlines at full resolution, at half height."""

from __future__ import annotations

from typing import Any

import numpy as np

from stempede.backend import Backend
from stempede.particles.outlines import SMOOTH_PX, View

WINDOW = 9
FINER = 2.5
LEAST_PX = 0.8
# share of a window that must be known before its mean is trusted
KNOWN = 0.02


def half_height(view: View, image: Any, valid: Any, backend: Backend) -> Any:
    """Return (y, x) int32 labels whose outlines lie halfway between inside and outside.

    Inside and outside are means close to the outline, a block away from it on either side,
    so that neither a dark core nor a slope of the support moves it. The outline is drawn
    in the image smoothed less than the view, where it is no more rounded by noise
    suppression than needed, and moves by two blocks at most.
    """
    xp, ndimage = backend.xp, backend.ndimage
    threshold, zone, core = _thresholds(view, backend)
    h, w = image.shape
    smooth = ndimage.gaussian_filter(
        image, max(LEAST_PX, SMOOTH_PX * view.factor / FINER), truncate=3
    )
    inside = smooth > enlarge(threshold, view.factor, (h, w), xp)
    inside |= enlarge(core, view.factor, (h, w), xp)
    inside &= valid
    labels = enlarge(zone, view.factor, (h, w), xp)
    return labels * inside


def _thresholds(view: View, backend: Backend) -> tuple[Any, Any, Any]:
    """Return threshold, labels grown by two blocks, and what stays inside in any case."""
    xp, ndimage = backend.xp, backend.ndimage
    labels, smooth = view.labels, view.smooth
    mask = labels > 0
    rim = ndimage.binary_erosion(mask, border_value=1)
    core = ndimage.binary_erosion(rim, border_value=1)
    near = grow(grow(labels, xp, ndimage), xp, ndimage)
    outside = near == 0
    inner, _ = _mean_where(smooth, mask, ndimage, xp)
    for deeper in (rim, core):
        mean, known = _mean_where(smooth, deeper, ndimage, xp)
        inner = xp.where(known, mean, inner)
    outer, known_outer = _mean_where(smooth, outside, ndimage, xp)
    threshold = np.float32(0.5) * (inner + outer)
    # without a look at the outside the outline stays where it was found
    kept = xp.where(mask, np.float32(-np.inf), np.float32(np.inf))
    threshold = xp.where(known_outer, threshold, kept)
    return threshold, near, core


def _mean_where(smooth: Any, mask: Any, ndimage: Any, xp: Any) -> tuple[Any, Any]:
    """Return the mean over the masked pixels of a window, and where it is known."""
    weight = ndimage.uniform_filter(mask.astype(xp.float32), WINDOW)
    total = ndimage.uniform_filter(smooth * mask, WINDOW)
    return total / xp.maximum(weight, np.float32(KNOWN)), weight >= KNOWN


def grow(labels: Any, xp: Any, ndimage: Any) -> Any:
    """Return labels grown by one pixel over the background."""
    return xp.where(labels > 0, labels, ndimage.maximum_filter(labels, 3))


def enlarge(blocks: Any, factor: int, shape: tuple[int, int], xp: Any = np) -> Any:
    """Return each block's value at all its pixels."""
    if factor == 1:
        return blocks
    return xp.repeat(xp.repeat(blocks, factor, axis=0), factor, axis=1)[: shape[0], : shape[1]]
