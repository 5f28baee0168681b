"""Refine: from regions seen through blocks to outlines at full resolution, where they are steep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stempede.backend import Backend
from stempede.particles.outlines import SMOOTH_PX, View, smoothing
from stempede.particles.windows import grow
from stempede_kernels.order import median, quantiles
from stempede_kernels.smooth import box_mean, gaussian

WINDOW = 9
# how much less than the view the image is smoothed where there is little noise, and where
# there is more than this share of the particles' height
FINER, LEAST_FINER, QUIET = 2.5, 1.25, 0.1
LEAST_PX = 0.8
# share of a window that must be near an outline, and the least variance of what is inside
# in it, before its levels are trusted
KNOWN, VARIED = 0.02, 0.005
# heights at which slopes are compared: bins of this many to the height, a tenth beyond either end
BINS, BEYOND = 20, 2
# pixels that are looked at for that, and the fewest in a bin
SAMPLE, FEWEST = 1 << 18, 20


@dataclass(frozen=True)
class Levels:
    """What lies outside and inside of the outlines around each block of a (y, x) frame.

    Parameters
    ----------
    base, height : (y, x) float32 array
        Level outside, and inside less outside.
    known : (y, x) bool array
        Where these can be told.
    core : (y, x) bool array
        Two blocks and more inside a region.
    zone : (y, x) int32 array
        Labels grown by two blocks.
    """

    base: Any
    height: Any
    known: Any
    core: Any
    zone: Any


def half_height(view: View, image: Any, valid: Any, backend: Backend, fraction: float = 0.5) -> Any:
    """Return (y, x) int32 labels whose outlines lie where particles rise most steeply.

    Levels inside and outside are those of particles with sharp outlines that, smoothed as the
    view is, come closest to it: so neither gaps narrower than the smoothing nor small
    particles are misjudged. Between them the outline lies at the height at which the frame's
    outlines are steepest: half of it for sharp ones, lower where what is inside is higher in
    the middle. It is drawn in the image smoothed less than the view, by no more than its
    noise asks for, and moves by two blocks at most.

    Parameters
    ----------
    view : View
    image : (y, x) float32 array
        Particles bright.
    valid : (y, x) bool array
    backend : Backend
    fraction : float
        Scales the height at which outlines are drawn; 0.5 leaves it alone.
    """
    xp, factor = backend.xp, view.factor
    levels = two_levels(view, backend)
    smooth = _smoothed(view, levels, image, xp)
    height = 2 * fraction * steepest(smooth, levels, factor, xp)
    threshold = levels.base + np.float32(height) * levels.height
    # without a look at the outside the outline stays where it was found
    kept = xp.where(view.labels > 0, np.float32(-np.inf), np.float32(np.inf))
    threshold = xp.where(levels.known, threshold, kept)
    threshold[levels.core] = -np.inf
    threshold, zone = (_widened(a, factor, image, xp) for a in (threshold, levels.zone))
    labels = xp.empty(image.shape, xp.int32)
    for first in range(min(factor, len(image))):
        rows = slice(first, None, factor)
        n = len(smooth[rows])
        xp.multiply(zone[:n], smooth[rows] > threshold[:n], out=labels[rows])
    if not valid.all():
        labels *= valid
    return labels


def two_levels(view: View, backend: Backend) -> Levels:
    """Return the levels that explain a view best in windows along its outlines.

    The view is held against its own regions, smoothed as it is: base and height are those of
    the least squares over the blocks near outlines, so that neither a dark core nor a slope
    of the support counts.
    """
    xp = backend.xp
    labels, smooth = view.labels, view.smooth
    mask = labels > 0
    core = backend.ndimage.binary_erosion(mask, iterations=2, border_value=1)
    zone = grow(grow(labels, xp), xp)
    near = ((grow(zone, xp) > 0) & ~core).astype(xp.float32)
    inside = gaussian(mask.astype(xp.float32), smoothing(view.factor), truncate=3)
    share = box_mean(near, WINDOW)
    known = share >= np.float32(KNOWN)
    xp.maximum(share, np.float32(KNOWN), out=share)
    mean, base = (box_mean(near * a, WINDOW) / share for a in (inside, smooth))
    near *= inside
    height = box_mean(near * smooth, WINDOW) / share - mean * base
    variance = box_mean(near * inside, WINDOW) / share - mean * mean
    known &= (variance > np.float32(VARIED)) & (height > 0)
    height /= xp.maximum(variance, np.float32(VARIED))
    base -= height * mean
    return Levels(base, height, known, core, zone)


def _smoothed(view: View, levels: Levels, image: Any, xp: Any) -> Any:
    """Return the image smoothed less than the view, but for its noise.

    Noise is what the view has smoothed away where no particle is; it falls as smoothing grows.
    """
    factor, start = view.factor, view.factor // 2
    sigma = max(LEAST_PX, SMOOTH_PX * factor / FINER)
    smooth = gaussian(image, sigma, truncate=3)
    rim = levels.known & (levels.zone > 0) & ~levels.core
    rows = smooth[start::factor, start::factor]
    h, w = rows.shape
    bare = levels.zone[:h, :w] == 0
    if not rim.any() or not bare.any():
        return smooth
    removed = (rows - view.smooth[:h, :w])[bare]
    low, high = quantiles(removed, (0.16, 0.84), xp)
    noise = (high - low) / 2 / median(levels.height[rim], xp)
    wanted = min(sigma * noise / QUIET, max(LEAST_PX, SMOOTH_PX * factor / LEAST_FINER))
    if wanted > 1.02 * sigma:
        smooth = gaussian(smooth, float(np.sqrt(wanted**2 - sigma**2)), truncate=3)
    return smooth


def steepest(smooth: Any, levels: Levels, factor: int, xp: Any) -> float:
    """Return the height, 0 outside to 1 inside, around which outlines are steep; 0.5 if unclear.

    The mean square of the slope is taken by height over a sample of rows; what it has at
    either end is noise and goes off, in between by their distance. The mean height is
    returned, weighted by the rest: it lies towards the steepest height as far as outlines
    rise above noise.
    """
    stride = max(1, smooth.size // (SAMPLE * factor)) * factor
    at = np.arange(factor // 2 + (factor == 1), len(smooth) - 1, stride)
    if not len(at):
        return 0.5
    blocks = at // factor
    near = levels.known & (levels.zone > 0)
    near, base, height = (
        _widened(a[blocks], factor, smooth, xp) for a in (near, levels.base, levels.height)
    )
    beside = xp.pad(smooth[at], ((0, 0), (1, 1)), mode="edge")
    down, right = smooth[at + 1] - smooth[at - 1], beside[:, 2:] - beside[:, :-2]
    found = (smooth[at][near] - base[near]) / height[near]
    square = (down * down + right * right)[near] / (2 * height[near]) ** 2
    n = BINS + 2 * BEYOND
    place = xp.floor(found * BINS).astype(int) + BEYOND
    fits = (place >= 0) & (place < n)
    count = xp.bincount(place[fits], minlength=n)
    total = xp.bincount(place[fits], weights=square[fits], minlength=n)
    count, total = (np.asarray(a.get() if hasattr(a, "get") else a) for a in (count, total))
    if count.min() < FEWEST:
        return 0.5
    mean, middle = total / count, (np.arange(n) + 0.5 - BEYOND) / BINS
    low, high = mean[: 2 * BEYOND].mean(), mean[-2 * BEYOND :].mean()
    rest = np.clip(mean - low - (high - low) * middle, 0, None)[BEYOND:-BEYOND]
    return float(np.average(middle[BEYOND:-BEYOND], weights=rest)) if rest.any() else 0.5


def _widened(blocks: Any, factor: int, image: Any, xp: Any) -> Any:
    """Return each block's value at the columns of the image."""
    return xp.repeat(blocks, factor, axis=1)[:, : image.shape[1]]
