"""Defects: hot pixels and dead lines, found robustly and filled from their neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stempede.frames import Batch

MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Defects:
    """Replace hot (or dead) pixels and dead lines.

    Parameters
    ----------
    pixel_sigma : float
        A pixel is hot when it exceeds the second highest of its four neighbours by more
        than this many standard deviations of the pixel noise; dead likewise below.
    line_sigma : float
        A line is dead when its median step from the lines two away exceeds this many
        robust standard deviations of that step over the frame.
    """

    pixel_sigma: float = 8.0
    line_sigma: float = 12.0

    name: ClassVar[str] = "preprocess.defects"
    reads: ClassVar[tuple[str, ...]] = ("images",)
    writes: ClassVar[tuple[str, ...]] = ("images",)

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with its images mended."""
        xp = batch.backend.xp
        images = batch.images.copy()
        for image in images:
            mend_lines(image, self.line_sigma, xp)
            mend_lines(image.T, self.line_sigma, xp)
            mend_pixels(image, self.pixel_sigma, xp)
        return batch.with_(images=images)


def pixel_noise(image: Any, xp: Any = np) -> float:
    """Return the standard deviation of the pixel noise, from second differences.

    Parameters
    ----------
    image : (y, x) float32 array

    Returns
    -------
    float
        1.4826 MAD of (next - 2 this + previous) / sqrt(6) along rows, over every third row;
        at least a quarter of the smallest step between grey levels, so never zero.
    """
    rows = image[1::3]
    step = (rows[:, 2:] - 2 * rows[:, 1:-1] + rows[:, :-2]).ravel()[::2]
    sigma = MAD_TO_SIGMA * float(xp.median(xp.abs(step))) / np.sqrt(6.0)
    spread = float(xp.mean(xp.abs(step)))
    floor = spread / 64 if spread > 0 else float(image.max() - image.min()) / 4096
    return max(sigma, floor, float(np.finfo(np.float32).tiny))


def mend_pixels(image: Any, threshold_sigma: float, xp: Any = np) -> int:
    """Replace isolated outliers of a (y, x) image in place; return how many.

    Pairs of hot pixels are found too, because a pixel is judged by its second highest
    (second lowest) neighbour. The rim of one pixel is left as it is.
    """
    limit = np.float32(threshold_sigma * pixel_noise(image, xp))
    inner = image[1:-1, 1:-1]
    up, down, left, right = image[:-2, 1:-1], image[2:, 1:-1], image[1:-1, :-2], image[1:-1, 2:]
    high, low = xp.maximum(up, down), xp.minimum(up, down)
    other_high, other_low = xp.maximum(left, right), xp.minimum(left, right)
    # of four values the second highest, and the second lowest
    second = xp.maximum(xp.minimum(high, other_high), xp.maximum(low, other_low))
    last = xp.minimum(xp.maximum(low, other_low), xp.minimum(high, other_high))
    second += limit
    last -= limit
    bad = (inner > second) | (inner < last)
    ys, xs = xp.nonzero(bad)
    if len(ys):
        offsets = [(dy, dx) for dy in (0, 1, 2) for dx in (0, 1, 2) if (dy, dx) != (1, 1)]
        around = xp.stack([image[ys + dy, xs + dx] for dy, dx in offsets])
        image[ys + 1, xs + 1] = xp.median(around, axis=0)
    return len(ys)


def mend_lines(image: Any, threshold_sigma: float, xp: Any = np) -> int:
    """Replace dead rows of a (y, x) image in place; return how many.

    A row is compared with the mean of the rows two above and two below by the median
    over its pixels, which particles do not move; one or two dead rows are bridged
    linearly. The two first and two last rows are left as they are.
    """
    h, w = image.shape
    if h < 8:
        return 0
    part = image[:, :: max(1, w // 256)]
    step = xp.median(part[2:-2] - (part[:-4] + part[4:]) * np.float32(0.5), axis=1)
    step = np.asarray(step.get() if hasattr(step, "get") else step, dtype=np.float64)
    # a dead line also moves the step of its neighbours two away, by half and with other sign
    spread = MAD_TO_SIGMA * np.median(np.abs(step - np.median(step)))
    floor = pixel_noise(image, xp) / 8
    strong = np.abs(step) > threshold_sigma * max(spread, floor)
    around = np.pad(np.abs(step), 2)
    strong &= np.abs(step) > 0.7 * np.maximum(around[:-4], around[4:])
    rows = np.flatnonzero(strong) + 2
    for row in rows.tolist():
        above = row - 1 if row - 1 not in rows else row - 2
        below = row + 1 if row + 1 not in rows else row + 2
        share = np.float32((row - above) / (below - above))
        image[row] = image[above] * (1 - share) + image[below] * share
    return len(rows)
