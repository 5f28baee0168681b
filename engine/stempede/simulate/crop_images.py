"""How a training crop is drawn: outline to coverage, body, exposure, and the cut to its size.

Everything works on a block of particles at once; the particles of a block share the raster they
are drawn on (and with it their place between the pixels), its blur and the width of the rim.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SMALL, _LARGE = 48, 80
_ROWS_AT_ONCE = 8
# pixels of a particle across the raster, as a share of the raster: leaves the crop's margins
_FILL = 0.7
_REACH = 0.47
_MARGIN = 0.15
_LEAST_WEIGHT = 0.5
_LEAST_KERNEL = 1e-9
_FEWEST_BACKGROUND = 16


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
        return self.pixels / (1 + 2 * _MARGIN)

    @property
    def supersampling(self) -> int:
        """Samples per raster pixel and axis."""
        return 4 if self.pixels == _SMALL else 2

    def scales(
        self, rng: np.random.Generator, outline: np.ndarray, u: np.ndarray, n: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return radii for 1 in raster pixels, image pixels per raster pixel, and box middles.

        Bodies with their origin far from the middle of their box are drawn smaller, so that the
        raster holds them before they are moved to its middle.
        """
        y, x = outline * np.sin(u), outline * np.cos(u)
        low = np.stack([y.min(axis=1), x.min(axis=1)], axis=1)
        high = np.stack([y.max(axis=1), x.max(axis=1)], axis=1)
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
class Bodies:
    """Bodies on their raster, before exposure; (n, g, g) float32 arrays and (n,) arrays.

    ``cover`` is the blurred share of a pixel inside the outline, ``brightness`` the blurred
    profile (1: a flat body), ``contrast`` the brightness over the noise of an image pixel.
    """

    cover: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray
    reach: np.ndarray
    outline_px: np.ndarray
    offset_px: np.ndarray


@dataclass(frozen=True)
class Scene:
    """Exposed rasters: image in noise units, the found region, and what belongs to neighbours."""

    image: np.ndarray
    mask: np.ndarray
    foreign: np.ndarray


def draw_bodies(
    raster: Raster, rng: np.random.Generator, outline_px: np.ndarray, offset_px: np.ndarray
) -> Bodies:
    """Draw bodies from their outlines, with rim, dome and wedge, and blur them.

    Parameters
    ----------
    raster : Raster
    rng : numpy.random.Generator
    outline_px : (n, angles) float64 array
        Radii at equal directions, raster pixels.
    offset_px : (n, 2) int64 array
        Middle of the outline's box from its origin; moved to the middle of the raster.

    Returns
    -------
    Bodies
    """
    n, g = len(outline_px), raster.pixels
    table = np.ascontiguousarray(outline_px.T, dtype=np.float32)
    cover, dome = _coverage(raster, table)
    rim = cover * (1 - _blur(cover, raster.rim_px))
    thickness = _uniform(rng, 0.0, 0.6, n)
    edge = _uniform(rng, -0.2, 1.0, n)
    slope, turn = _uniform(rng, 0.0, 0.4, n), _uniform(rng, 0.0, 2 * np.pi, n)
    axis = np.linspace(-1, 1, g, dtype=np.float32)[:, None]
    wedge = (axis * (slope * np.sin(turn)))[:, None] + (axis * (slope * np.cos(turn)))[None]
    dome -= 1
    dome *= thickness
    dome += 1
    wedge += 1
    dome *= wedge
    dome *= cover
    rim *= edge
    dome += rim
    brightness = _blur(dome, raster.blur_px)
    return Bodies(
        _centred(_blur(cover, raster.blur_px), offset_px),
        _centred(brightness, offset_px),
        np.exp(rng.uniform(np.log(1.2), np.log(50.0), n)),
        outline_px.max(axis=1),
        outline_px,
        offset_px,
    )


def _coverage(raster: Raster, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each pixel's share inside the outlines and the dome sqrt(1 - (r/R)^2), (g, g, n).

    The samples lie alike for all bodies, so that a row of the table serves them all at once.
    """
    g, k, n = raster.pixels, raster.supersampling, table.shape[1]
    cover = np.zeros((g, g, n), np.float32)
    steps = (np.arange(k) + 0.5) / k - 0.5
    for dy in steps:
        for dx in steps:
            at, r = _polar(raster, float(dy), float(dx), len(table))
            for rows in _strips(g):
                cover[rows] += table[at[rows]] > r[rows, :, None]
    cover /= np.float32(k * k)
    dome = np.empty_like(cover)
    at, r = _polar(raster, 0.0, 0.0, len(table))
    for rows in _strips(g):
        share = r[rows, :, None] / table[at[rows]]
        dome[rows] = np.sqrt(np.maximum(1 - share * share, 0))
    return cover, dome


def _strips(g: int) -> list[slice]:
    """Rows few enough that what they take stays in the cache."""
    return [slice(y, y + _ROWS_AT_ONCE) for y in range(0, g, _ROWS_AT_ONCE)]


def _polar(raster: Raster, dy: float, dx: float, angles: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the row of the outline table and the radius of each pixel's sample."""
    y = np.arange(raster.pixels)[:, None] + dy - raster.centre_px[0]
    x = np.arange(raster.pixels)[None] + dx - raster.centre_px[1]
    at = np.rint(np.arctan2(y, x) * (angles / (2 * np.pi))).astype(np.int64) % angles
    return at, np.hypot(y, x).astype(np.float32)


def _blur(stack: np.ndarray, sigma_px: float) -> np.ndarray:
    """Blur (g, g, n) rasters with a Gaussian; outside is 0."""
    kernel = _gaussian(stack.shape[0], sigma_px)
    first = np.tensordot(kernel, stack, axes=(1, 0))
    return np.matmul(kernel, first)


def _gaussian(g: int, sigma_px: float) -> np.ndarray:
    """Return the (g, g) matrix that blurs an axis."""
    x = np.arange(g, dtype=np.float64)
    weight = np.exp(-0.5 * ((x[:, None] - x[None]) / sigma_px) ** 2)
    # numbers too small for float32's full precision would slow every product with them
    weight[weight < _LEAST_KERNEL] = 0
    middle = np.exp(-0.5 * (np.arange(-g, g + 1) / sigma_px) ** 2).sum()
    return (weight / middle).astype(np.float32)


def _centred(stack: np.ndarray, offset_px: np.ndarray) -> np.ndarray:
    """Return (g, g, n) rasters as (n, g, g), moved by whole pixels to their boxes' middles."""
    g = stack.shape[0]
    moved = np.zeros((stack.shape[2], g, g), np.float32)
    turned = np.moveaxis(stack, 2, 0)
    for k, (dy, dx) in enumerate(offset_px.tolist()):
        to_y, from_y = max(-dy, 0), max(dy, 0)
        to_x, from_x = max(-dx, 0), max(dx, 0)
        moved[k, to_y : g - from_y, to_x : g - from_x] = turned[
            k, from_y : g - to_y, from_x : g - to_x
        ]
    return moved


def expose(raster: Raster, rng: np.random.Generator, bodies: Bodies, pixel_px: np.ndarray) -> Scene:
    """Add neighbour, background and shot noise, and find the region.

    Bodies absorb (dark, turned bright) or scatter (bright); counts follow Poisson's law in a
    Cornish–Fisher expansion of the normal, mean and skewness exact.
    """
    n = len(pixel_px)
    neighbour = _neighbours(raster, rng, bodies)
    contrast = bodies.contrast.astype(np.float32)[:, None, None]
    signal = bodies.brightness + _uniform(rng, 0.6, 1.4, n)[:, None, None] * neighbour
    dark = rng.random(n) < 0.5
    absorbed = np.where(dark, rng.uniform(0.05, 0.6, n), np.exp(rng.uniform(-2.3, 1.5, n)))
    electrons = np.maximum((bodies.contrast / absorbed) ** 2, 6.0).astype(np.float32)
    root = np.sqrt(electrons)[:, None, None]
    sign = np.where(dark, -1, 1).astype(np.float32)[:, None, None]
    background = contrast * _background(rng, n, raster.pixels)
    mean = contrast * signal + background
    # in units of the noise of the support: 1 + sign * mean / root times its variance
    spread = np.sqrt(np.maximum(1 + sign * mean / root, 0.1))
    z = _noise(raster, rng, n)
    # skewed by Poisson's law, less so where many pixels are averaged
    per_px = 1 / pixel_px.astype(np.float32)[:, None, None]
    skew = per_px**2 * sign / (6 * root)
    spread *= per_px
    spread += skew * z
    spread *= z
    image = spread
    image += mean
    image -= skew
    threshold = _uniform(rng, 0.3, 0.7, n)[:, None, None]
    foreign = (neighbour > threshold) & (neighbour > bodies.cover)
    return Scene(image, (bodies.cover > threshold) & ~foreign, foreign)


def _noise(raster: Raster, rng: np.random.Generator, n: int) -> np.ndarray:
    """Return (n, g, g) standard normal noise, correlated over ``grain_px``."""
    z = rng.standard_normal((n, raster.pixels, raster.pixels), dtype=np.float32)
    if raster.grain_px == 0:
        return z
    kernel = _gaussian(raster.pixels, raster.grain_px)
    # the square of what is left of unit variance, away from the border
    kernel /= np.sqrt((kernel[len(kernel) // 2] ** 2).sum())
    return kernel @ z @ kernel


def _background(rng: np.random.Generator, n: int, g: int) -> np.ndarray:
    """Return (n, g, g) uneven support: a slope and waves, relative to the body's brightness."""
    axis = np.linspace(-1, 1, g, dtype=np.float32)
    turn, slope = _uniform(rng, 0, 2 * np.pi, n), _uniform(rng, 0.0, 0.25, n)
    plane = (slope * np.sin(turn))[:, None, None] * axis[:, None]
    plane = plane + (slope * np.cos(turn))[:, None, None] * axis
    rate = np.exp(_uniform(rng, np.log(1.0), np.log(12.0), (2, n, 4)))
    phase = _uniform(rng, 0, 2 * np.pi, (2, n, 4))
    waves = np.sin(rate[..., None] * axis + phase[..., None])  # (2, n, 4, g)
    height = _uniform(rng, 0.0, 0.08, (n, 1, 4))
    texture = np.matmul(np.swapaxes(waves[0], 1, 2) * height, waves[1])
    result: np.ndarray = plane + texture
    return result


def _neighbours(raster: Raster, rng: np.random.Generator, bodies: Bodies) -> np.ndarray:
    """Return (n, g, g) coverage of a neighbour: none, or a disc that comes close or touches."""
    n, g = len(bodies.contrast), raster.pixels
    there = np.flatnonzero(rng.random(n) < 0.35)
    turn = rng.integers(bodies.outline_px.shape[1], size=n)[there]
    size = (bodies.reach * np.exp(rng.uniform(np.log(0.4), np.log(2.5), n)))[there]
    gap = rng.uniform(-1.0, 4.0, n)[there]
    away = bodies.outline_px[there, turn] + size + gap
    angle = turn * (2 * np.pi / bodies.outline_px.shape[1])
    y = raster.centre_px[0] - bodies.offset_px[there, 0] + away * np.sin(angle)
    x = raster.centre_px[1] - bodies.offset_px[there, 1] + away * np.cos(angle)
    pixel = np.arange(g, dtype=np.float32)
    dy = pixel[:, None] - y.astype(np.float32)[:, None, None]
    dx = pixel - x.astype(np.float32)[:, None, None]
    depth = size.astype(np.float32)[:, None, None] - np.sqrt(dy * dy + dx * dx)
    result = np.zeros((n, g, g), np.float32)
    # a ramp as wide as the point spread
    result[there] = np.clip(0.5 + depth / np.float32(2.5 * raster.blur_px), 0, 1)
    return result


def cut(
    rng: np.random.Generator, scene: Scene, pixel_px: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the found regions to crops; what is foreign becomes noise like the crop's background.

    The region's box is off by a pixel of the image now and then, as outlines are.

    Returns
    -------
    crops : (n, size, size) float32 array
    box_px : (n,) float64 array
        Longer side of the boxes, raster pixels.
    """
    n = len(pixel_px)
    slips = rng.choice([-1.0, 0.0, 1.0], (4, n), p=[0.2, 0.6, 0.2]) / pixel_px
    low_y, high_y = _box(np.any(scene.mask, axis=2), slips[:2])
    low_x, high_x = _box(np.any(scene.mask, axis=1), slips[2:])
    box_px = np.maximum(high_y - low_y, high_x - low_x)
    step = np.maximum(box_px, 4.0) * (1 + 2 * _MARGIN) / size
    g = scene.mask.shape[1]
    down = _resampling(0.5 * (low_y + high_y - 1), step, size, g)
    along = np.swapaxes(_resampling(0.5 * (low_x + high_x - 1), step, size, g), 1, 2)
    keep = (~scene.foreign).astype(np.float32)
    value = down @ (scene.image * keep) @ along
    weight = down @ keep @ along
    body = down @ scene.mask.astype(np.float32) @ along
    kept = weight >= _LEAST_WEIGHT
    crop = np.where(kept, value / np.maximum(weight, _LEAST_WEIGHT), 0)
    mean, spread = _support(crop, kept & (weight > 0.999) & (body == 0))
    noise = rng.standard_normal(crop.shape, dtype=np.float32)
    return np.where(kept, crop, mean + spread * noise).astype(np.float32), box_px


def _box(occupied: np.ndarray, slips_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first and last + 1 of the occupied rows of an axis, (n,) each, with their slips."""
    first = occupied.argmax(axis=1)
    last = occupied.shape[1] - occupied[:, ::-1].argmax(axis=1)
    return first + slips_px[0], last + slips_px[1]


def _resampling(middle_px: np.ndarray, step: np.ndarray, size: int, g: int) -> np.ndarray:
    """Return (n, size, g) weights: bilinear, averaged over two points where a step is above 1."""
    k = 2
    at = ((np.arange(size * k) + 0.5) / k - size / 2) * step[:, None]
    point = np.where(
        step[:, None] > 1, at, ((np.arange(size * k) // k) + 0.5 - size / 2) * step[:, None]
    )
    where = (middle_px[:, None] + point).astype(np.float32)
    weight = np.maximum(1 - np.abs(where[..., None] - np.arange(g, dtype=np.float32)), 0)
    return weight.reshape(len(step), size, k, g).mean(axis=2)


def _support(crop: np.ndarray, pure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each crop's background, (n, 1, 1) each."""
    count = np.maximum(pure.sum(axis=(1, 2)), 1)
    mean = (crop * pure).sum(axis=(1, 2)) / count
    away = np.where(pure, crop - mean[:, None, None], 0)
    spread = np.sqrt((away**2).sum(axis=(1, 2)) / np.maximum(count - 1, 1))
    few = count < _FEWEST_BACKGROUND
    return (
        np.where(few, 0, mean)[:, None, None],
        np.where(few, 1, spread)[:, None, None],
    )


def _uniform(
    rng: np.random.Generator, low: float, high: float, shape: int | tuple[int, ...]
) -> np.ndarray:
    return rng.uniform(low, high, shape).astype(np.float32)
