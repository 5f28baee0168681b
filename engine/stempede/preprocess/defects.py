"""Defects: hot pixels and dead lines, found robustly and filled from their neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stempede.frames import Batch
from stempede_kernels.order import median, row_medians

MAD_TO_SIGMA = 1.4826
# of twice as many pixels the noise is measured, to 0.3 %
NOISE_SAMPLE = 2**19
# rows looked at together, so that what is made of them stays in the cache
ROWS = 64
# a step this share of the limit is looked at closely: room for rounding
NEARLY = 0.99


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
        1.4826 MAD of (next - 2 this + previous) / sqrt(6) along rows, over a third of the rows
        or, of large frames, a quarter million values; at least a 64th of the mean step, and
        never zero.
    """
    rows = image[1 :: max(3, image.size // NOISE_SAMPLE)]
    step = (rows[:, 2:] - 2 * rows[:, 1:-1] + rows[:, :-2]).ravel()[::2]
    sigma = MAD_TO_SIGMA * median(xp.abs(step), xp) / np.sqrt(6.0)
    spread = float(xp.mean(xp.abs(step)))
    floor = spread / 64 if spread > 0 else float(image.max() - image.min()) / 4096
    return max(sigma, floor, float(np.finfo(np.float32).tiny))


def mend_pixels(image: Any, threshold_sigma: float, xp: Any = np) -> int:
    """Replace isolated outliers of a (y, x) image in place; return how many.

    Pairs of hot pixels are found too, because a pixel is judged by its second highest
    (second lowest) neighbour. The rim of one pixel is left as it is.
    """
    limit = threshold_sigma * pixel_noise(image, xp)
    ys, xs = steep_pixels(image, NEARLY * limit, xp)
    this, up, down = image[ys, xs], image[ys - 1, xs], image[ys + 1, xs]
    left, right = image[ys, xs - 1], image[ys, xs + 1]
    high, low = xp.maximum(up, down), xp.minimum(up, down)
    other_high, other_low = xp.maximum(left, right), xp.minimum(left, right)
    # of four values the second highest, and the second lowest
    second = xp.maximum(xp.minimum(high, other_high), xp.maximum(low, other_low))
    last = xp.minimum(xp.maximum(low, other_low), xp.minimum(high, other_high))
    bad = (this > second + np.float32(limit)) | (this < last - np.float32(limit))
    ys, xs = ys[bad], xs[bad]
    if len(ys):
        offsets = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
        around = xp.stack([image[ys + dy, xs + dx] for dy, dx in offsets])
        image[ys, xs] = xp.median(around, axis=0)
    return len(ys)


def steep_pixels(image: Any, limit: float, xp: Any = np) -> tuple[Any, Any]:
    """Return rows and columns of inner pixels that differ by more from a pixel beside them.

    An outlier beyond three of its four neighbours is among them.
    """
    ys, xs = [xp.zeros(0, int)], [xp.zeros(0, int)]
    # a GPU takes the frame at once
    rows = ROWS if xp is np else image.shape[0]
    for top in range(1, image.shape[0] - 1, rows):
        part = image[top : min(top + rows, image.shape[0] - 1)]
        step = part[:, 1:] - part[:, :-1]
        steep = xp.abs(step, out=step) > limit
        at = xp.flatnonzero(steep[:, 1:] | steep[:, :-1])
        y = at // (image.shape[1] - 2)
        ys.append(y + top)
        xs.append(at - y * (image.shape[1] - 2) + 1)
    return xp.concatenate(ys), xp.concatenate(xs)


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
    step = row_medians(part[2:-2] - (part[:-4] + part[4:]) * np.float32(0.5), xp)
    step = np.asarray(step.get() if hasattr(step, "get") else step, dtype=np.float64)
    # a dead line also moves the step of its neighbours two away, by half and with other sign
    spread = MAD_TO_SIGMA * np.median(np.abs(step - np.median(step)))
    strong = np.abs(step) > threshold_sigma * spread
    if not strong.any():
        return 0
    floor = pixel_noise(image, xp) / 8
    strong &= np.abs(step) > threshold_sigma * floor
    around = np.pad(np.abs(step), 2)
    strong &= np.abs(step) > 0.7 * np.maximum(around[:-4], around[4:])
    rows = np.flatnonzero(strong) + 2
    for row in rows.tolist():
        above = row - 1 if row - 1 not in rows else row - 2
        below = row + 1 if row + 1 not in rows else row + 2
        share = np.float32((row - above) / (below - above))
        image[row] = image[above] * (1 - share) + image[below] * share
    return len(rows)
