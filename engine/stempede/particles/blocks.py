"""Blocks: a frame and the mask of its particles, seen through blocks of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stempede_kernels.order import median, quantiles
from stempede_kernels.smooth import block_mean, gaussian

SMOOTH = 0.8
REACH = 5
NOISE = 1.5
# least rise of an edge as a share of the contrast of particles
EDGE = 0.08
BARE = 50
SAMPLE = 20_000


@dataclass(frozen=True)
class Blocks:
    """A frame of blocks, particles bright.

    Parameters
    ----------
    factor : int
        Pixels across a block.
    smooth : (y, x) float32 array
        Smoothed block means.
    mask : (y, x) bool array
        Inside of particles.
    louder : float
        Noise inside particles over that of the background.
    """

    factor: int
    smooth: np.ndarray
    mask: np.ndarray
    louder: float = 1.0

    @classmethod
    def of(cls, image: np.ndarray, regions: np.ndarray, factor: int) -> Blocks:
        """Return a (y, x) image and its regions, 0 on the background, through blocks."""
        # blocks that are mostly inside: a rough outline makes no neck
        mask = block_mean(regions > 0, factor) > 0.5
        smooth = gaussian(block_mean(image, factor), SMOOTH)
        return cls(factor, smooth, mask, noise_inside(image, mask, factor))

    @property
    def comparable(self) -> bool:
        """Whether there are both particles and background."""
        return bool(self.mask.any() and not self.mask.all())

    @cached_property
    def contrast(self) -> float:
        """Median inside particles less that of the background."""
        inside, outside = (some(self.smooth[m]) for m in (self.mask, ~self.mask))
        return median(inside) - median(outside)

    @cached_property
    def near(self) -> np.ndarray:
        """Particles and what is beside them."""
        return extreme(self.mask, np.maximum)

    @cached_property
    def bare(self) -> np.ndarray:
        """Background clear of particles and of the frame's rim."""
        bare = ~self.near
        bare[[0, -1]] = bare[:, [0, -1]] = False
        return bare

    @cached_property
    def slopes(self) -> tuple[np.ndarray, np.ndarray]:
        """Rise down and to the right, over two blocks."""
        padded = np.pad(self.smooth, 1, mode="edge")
        return padded[2:, 1:-1] - padded[:-2, 1:-1], padded[1:-1, 2:] - padded[1:-1, :-2]

    @cached_property
    def rise(self) -> np.ndarray:
        """Length of the slope."""
        down, right = self.slopes
        return np.sqrt(down * down + right * right)

    def crest(self, least: float) -> np.ndarray:
        """Return where a rise above ``least`` is greatest across its edge: lines one block wide."""
        y, x = np.nonzero(self.rise > least)
        steep = np.abs(self.slopes[0][y, x]) >= np.abs(self.slopes[1][y, x])
        around = np.pad(self.rise, 1)
        width = around.shape[1]
        place, step = (y + 1) * width + x + 1, np.where(steep, width, 1)
        here, after, before = (around.ravel()[place + d] for d in (0, step, -step))
        found = np.zeros(self.rise.shape, bool)
        found[y, x] = (here >= after) & (here > before)
        return found

    @cached_property
    def floor(self) -> float:
        """Least rise of an edge."""
        return max(EDGE * self.contrast, self.louder * self.noise(self.rise))

    @cached_property
    def edges(self) -> np.ndarray:
        """Crests that are steep enough to be edges."""
        return self.crest(self.floor)

    def noise(self, values: np.ndarray) -> float:
        """Return what noise alone does not exceed where no particle is; 0 if too little is bare."""
        found = values[self.bare]
        return NOISE * quantiles(some(found), (0.99,))[0] if len(found) >= BARE else 0.0


def noise_inside(image: np.ndarray, mask: np.ndarray, factor: int) -> float:
    """Return the noise inside particles over that of the background; 1 where it cannot be told.

    Counting noise grows with the signal: a bright particle on a dark support has more of it
    than the support shows, a dark one less. Mixed second differences of neighbouring pixels
    see neither slopes nor the steps and bends that particles and their overlaps have across
    blocks.

    Parameters
    ----------
    image : (y, x) float32 array
        In pixels, not smoothed.
    mask : (rows, columns) bool array
        Inside of particles, in blocks.
    factor : int
        Pixels across a block.
    """
    corners = [image[dy::factor, dx::factor] for dy, dx in ((0, 0), (1, 1), (0, 1), (1, 0))]
    rows, columns = corners[1].shape
    first, last, *others = (corner[:rows, :columns] for corner in corners)
    bend = np.abs(first + last - others[0] - others[1])
    inside = bend[~extreme(~mask, np.maximum)[:rows, :columns]]
    outside = bend[~extreme(mask, np.maximum)[:rows, :columns]]
    if min(len(inside), len(outside)) < BARE:
        return 1.0
    return float(inside.mean()) / max(float(outside.mean()), 1e-12)


def some(values: np.ndarray) -> np.ndarray:
    """Return evenly spread values, few enough for their quantiles to cost little."""
    return values[:: max(1, len(values) // SAMPLE)]


def closing(values: np.ndarray) -> np.ndarray:
    """Return a (y, x) image closed by a square of ``REACH``."""
    return extreme(extreme(values, np.maximum), np.minimum)


def extreme(values: np.ndarray, pick: np.ufunc) -> np.ndarray:
    """Return the extreme of a square of ``REACH`` around each pixel, as far as in the frame."""
    for axis in (0, 1):
        lines = np.moveaxis(values, axis, 0)
        found = lines.copy(order="K")
        for k in range(1, REACH // 2 + 1):
            pick(found[k:], lines[:-k], out=found[k:])
            pick(found[:-k], lines[k:], out=found[:-k])
        values = np.moveaxis(found, 0, axis)
    return values
