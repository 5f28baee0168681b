"""Where a training crop's particle lies, and whether a segmenter would find it.

Everything works on a block of particles at once; the particles of a block share the raster they
are drawn on (and with it their place between the pixels), its blur and the width of the rim.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from stempede.simulate.rows import Rows

MARGIN = 0.15
"""Of a crop beyond the region's box on each side, as a share of the box."""

_SMALL, _LARGE = 48, 80
# pixels of a particle across the raster, as a share of the raster: leaves the crop's margins
_FILL = 0.7
_REACH = 0.47
_LEAST_KERNEL = 1e-9
# tables that the crops of a block share, for as many blocks as are drawn side by side
_KEPT = 64
_LEAST_SIDE_PX, _LEAST_AREA_PX2 = 9.0, 40.0
# contrast to noise of a whole region that a segmenter takes for one
_LEAST_EVIDENCE = 50.0


@dataclass(frozen=True)
class Raster:
    """The grid a block is drawn on.

    Parameters
    ----------
    pixels : int
        Side, 48 or 80 raster pixels.
    size_range_px : tuple of float
        Longer sides of boxes that are drawn on it, image pixels.
    binned : bool
        Whether a raster pixel stands for several image pixels (large particles).
    centre_px : tuple of float
        Where the bodies' origins lie.
    blur_px, rim_px, grain_px : float
        Standard deviations of the point spread, of the rim's width and of the noise's
        correlation (0: none), raster pixels.
    """

    pixels: int
    size_range_px: tuple[float, float]
    binned: bool
    centre_px: tuple[float, float]
    blur_px: float
    rim_px: float
    grain_px: float

    @classmethod
    def draw(cls, rng: np.random.Generator, size_range_px: tuple[float, float]) -> Raster:
        """Draw a class of size, likely as its share of log size, and what its block shares."""
        low, high = size_range_px
        limits = np.array([low, _SMALL * _FILL, _LARGE * _FILL, high])
        kind = int(np.searchsorted(np.log(limits[1:3] / low) / np.log(high / low), rng.random()))
        pixels = _SMALL if kind == 0 else _LARGE
        middle = (pixels - 1) / 2 + rng.uniform(-0.5, 0.5, 2)
        return cls(
            pixels,
            (float(limits[kind]), float(limits[kind + 1])),
            kind == 2,
            (float(middle[0]), float(middle[1])),
            blur_px=float(rng.uniform(0.4, (1.2, 1.8, 1.8)[kind])),
            rim_px=float(rng.uniform(0.8, (2.0, 4.0, 5.0)[kind])),
            grain_px=_grain(rng),
        )

    @property
    def most_px(self) -> float:
        """Longest side of a box whose window still fits the raster."""
        return self.pixels / (1 + 2 * MARGIN)

    @property
    def supersampling(self) -> int:
        """Samples per raster pixel and axis."""
        return 4 if self.pixels == _SMALL else 2

    @lru_cache(maxsize=_KEPT)  # noqa: B019 -- rasters are small, and few are kept
    def polar(self, angles: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Return each sample's place in a table of equal directions, and its radius.

        Both are (samples**2, g, g) arrays: the first of intp, the second of float32.
        """
        steps = (np.arange(samples) + 0.5) / samples - 0.5
        pixel = np.arange(self.pixels)
        y = steps.repeat(samples)[:, None, None] + pixel[:, None] - self.centre_px[0]
        x = np.tile(steps, samples)[:, None, None] + pixel - self.centre_px[1]
        at = np.rint(np.arctan2(y, x) * (angles / (2 * np.pi))).astype(np.intp) % angles
        return at, np.hypot(y, x).astype(np.float32)

    def scales(
        self, rng: np.random.Generator, outline: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return radii for 1 in raster pixels, image pixels per raster pixel, and box middles.

        Bodies with their origin far from the middle of their box are drawn smaller, so that the
        raster holds them before they are moved to its middle.
        """
        n, angles = outline.shape
        u = np.arange(angles) * (2 * np.pi / angles)
        y, x = outline * np.sin(u).astype(np.float32), outline * np.cos(u).astype(np.float32)
        low = np.stack([y.min(axis=1), x.min(axis=1)], axis=1).astype(np.float64)
        high = np.stack([y.max(axis=1), x.max(axis=1)], axis=1).astype(np.float64)
        extent = (high - low).max(axis=1)
        low_px, high_px = self.size_range_px
        size_px = np.exp(rng.uniform(float(np.log(low_px)), float(np.log(high_px)), n))
        drawn_px = np.full(n, self.pixels * _FILL) if self.binned else size_px
        reach = np.maximum(np.abs(low), np.abs(high)).max(axis=1)
        scale = np.minimum(drawn_px / extent, _REACH * self.pixels / reach)
        pixel_px = np.maximum(size_px / (scale * extent), 1.0) if self.binned else np.ones(n)
        offset = np.rint(0.5 * (low + high) * scale[:, None]).astype(np.int64)
        return scale, pixel_px, offset


def _grain(rng: np.random.Generator) -> float:
    """Draw the correlation of the noise: mostly none, of a camera's spread, or of a rough film."""
    kind = rng.choice(3, p=[0.55, 0.2, 0.25])
    return (0.0, float(rng.uniform(0.3, 0.8)), float(rng.uniform(0.8, 2.0)))[kind]


@dataclass(frozen=True)
class Regions(Rows):
    """Particles and the regions that are found of them; all arrays have n rows.

    Parameters
    ----------
    outline_px : (n, angles) float32 array
        Radii at equal directions, raster pixels.
    offset_px : (n, 2) int64 array
        Middle of the outline's box from its origin; it lies in the middle of the raster.
    pixel_px : (n,) float64 array
        Image pixels per raster pixel.
    contrast : (n,) float64 array
        Brightness over the noise of an image pixel.
    whole, cover, neighbour : (n, g, g) float32 arrays
        Share of each pixel inside the outline, the same blurred, and that of a neighbour.
    mask, foreign : (n, g, g) bool arrays
        The found region, and what belongs to neighbours.
    box_px : (n, 4) float64 array
        First y, last y + 1, first x and last x + 1 of the region as it is cut, raster pixels.
    """

    outline_px: np.ndarray
    offset_px: np.ndarray
    pixel_px: np.ndarray
    contrast: np.ndarray
    whole: np.ndarray
    cover: np.ndarray
    neighbour: np.ndarray
    mask: np.ndarray
    foreign: np.ndarray
    box_px: np.ndarray

    @property
    def side_px(self) -> np.ndarray:
        """Longer sides of the boxes, (n,) raster pixels."""
        return np.maximum(
            self.box_px[:, 1] - self.box_px[:, 0], self.box_px[:, 3] - self.box_px[:, 2]
        )

    def found(self, raster: Raster) -> np.ndarray:
        """Return (n,) bool: whether a segmenter would find the region, and the raster holds it."""
        area_px2 = self.mask.sum(axis=(1, 2)) * self.pixel_px**2
        found = (self.side_px * self.pixel_px >= _LEAST_SIDE_PX) & (area_px2 >= _LEAST_AREA_PX2)
        found &= self.side_px <= raster.most_px
        found &= self.contrast * np.sqrt(area_px2) >= _LEAST_EVIDENCE
        return found


def draw_regions(raster: Raster, rng: np.random.Generator, outline: np.ndarray) -> Regions:
    """Draw where bodies lie, with their neighbours, and threshold them.

    The region's box is off by a pixel of the image now and then, as outlines are.

    Parameters
    ----------
    raster : Raster
    rng : numpy.random.Generator
    outline : (n, angles) float32 array
        Radii at equal directions, the longest near 1.

    Returns
    -------
    Regions
    """
    n = len(outline)
    scale, pixel_px, offset_px = raster.scales(rng, outline)
    outline_px = outline * scale.astype(np.float32)[:, None]
    whole = coverage(raster, outline_px, offset_px)
    cover = smooth(whole, gaussian(raster.pixels, raster.blur_px))
    neighbour = _neighbours(raster, rng, outline_px, offset_px)
    threshold = uniform(rng, 0.3, 0.7, n)[:, None, None]
    foreign = (neighbour > threshold) & (neighbour > cover)
    mask = (cover > threshold) & ~foreign
    contrast = np.exp(rng.uniform(np.log(1.2), np.log(50.0), n))
    slips = rng.choice([-1.0, 0.0, 1.0], (n, 4), p=[0.2, 0.6, 0.2]) / pixel_px[:, None]
    box = np.stack([*_ends(np.any(mask, axis=2)), *_ends(np.any(mask, axis=1))], axis=1) + slips
    return Regions(
        outline_px, offset_px, pixel_px, contrast, whole, cover, neighbour, mask, foreign, box
    )


def coverage(raster: Raster, outline_px: np.ndarray, offset_px: np.ndarray) -> np.ndarray:
    """Return each pixel's share inside the outlines, (n, g, g), boxes in the raster's middle."""
    k = raster.supersampling
    at, r = raster.polar(outline_px.shape[1], k)
    # one body at a time: its table of radii stays in the nearest cache
    inside = np.empty(r.shape, np.bool_)
    counts = np.zeros((len(outline_px), *r.shape[1:]), np.float32)
    for count, radii, offset in zip(counts, outline_px, offset_px.tolist(), strict=True):
        np.greater(radii.take(at), r, out=inside)
        to, of = moved(raster.pixels, offset)
        count[to] = inside.view(np.uint8).sum(axis=0, dtype=np.uint8)[of]
    counts /= np.float32(k * k)
    return counts


def moved(g: int, offset: list[int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return where pixels go, and which, when a raster is moved so that an offset is its middle."""
    to = tuple(slice(max(-by, 0), g - max(by, 0)) for by in offset)
    of = tuple(slice(max(by, 0), g - max(-by, 0)) for by in offset)
    return to, of


def smooth(stack: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Apply a symmetric (g, g) matrix to both axes of (n, g, g) rasters."""
    n, g, _ = stack.shape
    along = (stack.reshape(n * g, g) @ kernel).reshape(n, g, g)
    result: np.ndarray = np.matmul(kernel, along)
    return result


@lru_cache(maxsize=_KEPT)
def gaussian(g: int, sigma_px: float) -> np.ndarray:
    """Return the (g, g) matrix that blurs an axis; outside is 0."""
    x = np.arange(g, dtype=np.float64)
    weight = np.exp(-0.5 * ((x[:, None] - x[None]) / sigma_px) ** 2)
    # numbers too small for float32's full precision would slow every product with them
    weight[weight < _LEAST_KERNEL] = 0
    middle = np.exp(-0.5 * (np.arange(-g, g + 1) / sigma_px) ** 2).sum()
    return (weight / middle).astype(np.float32)


def _neighbours(
    raster: Raster, rng: np.random.Generator, outline_px: np.ndarray, offset_px: np.ndarray
) -> np.ndarray:
    """Return (n, g, g) coverage of a neighbour: none, or a disc that comes close or touches."""
    n, g, angles = len(outline_px), raster.pixels, outline_px.shape[1]
    there = np.flatnonzero(rng.random(n) < 0.35)
    turn = rng.integers(angles, size=n)[there]
    reach = outline_px.max(axis=1)
    size = (reach * np.exp(rng.uniform(np.log(0.4), np.log(2.5), n)))[there]
    gap = rng.uniform(-1.0, 4.0, n)[there]
    away = outline_px[there, turn] + size + gap
    angle = turn * (2 * np.pi / angles)
    y = raster.centre_px[0] - offset_px[there, 0] + away * np.sin(angle)
    x = raster.centre_px[1] - offset_px[there, 1] + away * np.cos(angle)
    pixel = np.arange(g, dtype=np.float32)
    disc = np.stack([y, x, size])[:, :, None, None].astype(np.float32)
    dy, dx = pixel[:, None] - disc[0], pixel - disc[1]
    depth = disc[2] - np.sqrt(dy * dy + dx * dx)
    result = np.zeros((n, g, g), np.float32)
    # a ramp as wide as the point spread
    result[there] = np.clip(0.5 + depth / np.float32(2.5 * raster.blur_px), 0, 1)
    return result


def _ends(occupied: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first and last + 1 of the occupied rows of an axis, (n,) each."""
    return occupied.argmax(axis=1), occupied.shape[1] - occupied[:, ::-1].argmax(axis=1)


def uniform(
    rng: np.random.Generator, low: float, high: float, shape: int | tuple[int, ...]
) -> np.ndarray:
    """Draw float32 numbers that are equally likely between two limits."""
    return rng.uniform(low, high, shape).astype(np.float32)
