"""What a training crop shows: body, support, exposure, and the cut to its size."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from stempede.simulate.crop_regions import (
    MARGIN,
    Raster,
    Regions,
    gaussian,
    moved,
    smooth,
    uniform,
)

_LEAST_WEIGHT = 0.5
_FEWEST_BACKGROUND = 16


def draw_images(
    raster: Raster, rng: np.random.Generator, regions: Regions, size: int
) -> np.ndarray:
    """Return the crops of regions, (n, size, size) float32, in units of the pixel noise."""
    image = expose(raster, rng, regions, bodies(raster, rng, regions))
    return cut(rng, image, regions, size)


def bodies(raster: Raster, rng: np.random.Generator, regions: Regions) -> np.ndarray:
    """Return (n, g, g) blurred brightness with rim, dome and wedge; 1 is a flat body's."""
    n, g = len(regions), raster.pixels
    rim = 1 - smooth(regions.whole, gaussian(g, raster.rim_px))
    body = _domes(raster, regions)
    body -= 1
    body *= uniform(rng, 0.0, 0.6, n)[:, None, None]
    body += 1
    slope, turn = uniform(rng, 0.0, 0.4, n), uniform(rng, 0.0, 2 * np.pi, n)
    # from the body's own origin
    pixel = np.arange(g) + regions.offset_px[:, :, None]
    axes = (pixel * (2 / (g - 1)) - 1).astype(np.float32)
    along_y = axes[:, 0] * (slope * np.sin(turn))[:, None]
    along_x = axes[:, 1] * (slope * np.cos(turn))[:, None] + 1
    body *= along_y[:, :, None] + along_x[:, None, :]
    rim *= uniform(rng, -0.2, 1.0, n)[:, None, None]
    body += rim
    body *= regions.whole
    return smooth(body, gaussian(g, raster.blur_px))


def _domes(raster: Raster, regions: Regions) -> np.ndarray:
    """Return sqrt(1 - (r/R)^2) of each pixel, (n, g, g)."""
    (at,), (r,) = raster.polar(regions.outline_px.shape[1], 1)
    share = np.ones((len(regions), *r.shape), np.float32)
    pairs = zip(share, regions.outline_px, regions.offset_px.tolist(), strict=True)
    for own, radii, offset in pairs:
        to, of = moved(raster.pixels, offset)
        own[to] = (r / radii.take(at))[of]
    share *= share
    np.subtract(1, share, out=share)
    np.maximum(share, 0, out=share)
    return np.sqrt(share, out=share)


def expose(
    raster: Raster, rng: np.random.Generator, regions: Regions, brightness: np.ndarray
) -> np.ndarray:
    """Return (n, g, g) images with neighbour, background and shot noise, in noise units.

    Bodies absorb (dark, turned bright) or scatter (bright); counts follow Poisson's law in a
    Cornish–Fisher expansion of the normal, mean and skewness exact.
    """
    n = len(regions)
    dark = rng.random(n) < 0.5
    absorbed = np.where(dark, rng.uniform(0.05, 0.6, n), np.exp(rng.uniform(-2.3, 1.5, n)))
    electrons = np.maximum((regions.contrast / absorbed) ** 2, 6.0)
    signed_root = (np.where(dark, -1, 1) * np.sqrt(electrons)).astype(np.float32)[:, None, None]
    mean = _background(rng, n, raster.pixels)
    mean += brightness
    mean += uniform(rng, 0.6, 1.4, n)[:, None, None] * regions.neighbour
    mean *= regions.contrast.astype(np.float32)[:, None, None]
    # in units of the noise of the support: 1 + mean / root, signed, times its variance
    image = mean / signed_root
    image += 1
    np.maximum(image, 0.1, out=image)
    np.sqrt(image, out=image)
    # skewed by Poisson's law, less so where many pixels are averaged
    per_px = 1 / regions.pixel_px.astype(np.float32)[:, None, None]
    skew = per_px**2 / (6 * signed_root)
    z = _noise(raster, rng, n)
    image *= per_px
    image += skew * z
    image *= z
    image += mean
    image -= skew
    return image


def _noise(raster: Raster, rng: np.random.Generator, n: int) -> np.ndarray:
    """Return (n, g, g) standard normal noise, correlated over ``grain_px``."""
    z = rng.standard_normal((n, raster.pixels, raster.pixels), dtype=np.float32)
    if raster.grain_px == 0:
        return z
    kernel = gaussian(raster.pixels, raster.grain_px)
    # the square of what is left of unit variance, away from the border
    return smooth(z, kernel / np.sqrt((kernel[len(kernel) // 2] ** 2).sum()))


def _background(rng: np.random.Generator, n: int, g: int) -> np.ndarray:
    """Return (n, g, g) uneven support: a slope and waves, relative to the body's brightness."""
    axis = np.linspace(-1, 1, g, dtype=np.float32)
    turn, slope = uniform(rng, 0, 2 * np.pi, n), uniform(rng, 0.0, 0.25, n)
    rate = np.exp(uniform(rng, np.log(1.0), np.log(12.0), (2, n, 4)))
    phase = uniform(rng, 0, 2 * np.pi, (2, n, 4))
    waves = np.sin(rate[..., None] * axis + phase[..., None])  # (2, n, 4, g)
    height = uniform(rng, 0.0, 0.08, (n, 1, 4))
    support: np.ndarray = np.matmul(np.swapaxes(waves[0], 1, 2) * height, waves[1])
    support += (slope * np.sin(turn))[:, None, None] * axis[:, None]
    support += (slope * np.cos(turn))[:, None, None] * axis
    return support


def cut(rng: np.random.Generator, image: np.ndarray, regions: Regions, size: int) -> np.ndarray:
    """Cut the found regions to crops; what is foreign becomes noise like the crop's background.

    Returns
    -------
    (n, size, size) float32 array
    """
    step = np.maximum(regions.side_px, 4.0) * (1 + 2 * MARGIN) / size
    middle = 0.5 * (regions.box_px[:, 0::2] + regions.box_px[:, 1::2] - 1)
    n, g, _ = image.shape
    layers = np.empty((n, g, 3, g), np.float32)
    np.logical_not(regions.foreign, out=layers[:, :, 1], casting="unsafe")
    np.multiply(image, layers[:, :, 1], out=layers[:, :, 0])
    layers[:, :, 2] = regions.mask
    down = _resampling(middle[:, 0], step, size, g) @ layers.reshape(n * g, 3 * g)
    turned = np.ascontiguousarray(down.reshape(n, size, 3, g).transpose(0, 3, 2, 1))
    found = _resampling(middle[:, 1], step, size, g) @ turned.reshape(n * g, 3 * size)
    value, weight, body = found.reshape(n, size, 3, size).transpose(2, 0, 3, 1)
    kept = weight >= _LEAST_WEIGHT
    crop = np.where(kept, value / np.maximum(weight, _LEAST_WEIGHT), 0)
    mean, spread = _support(crop, kept & (weight > 0.999) & (body == 0))
    of = np.nonzero(~kept)
    noise = rng.standard_normal(len(of[0]), dtype=np.float32)
    crop[of] = mean[of[0]] + spread[of[0]] * noise
    return crop


def _resampling(middle_px: np.ndarray, step: np.ndarray, size: int, g: int) -> csr_array:
    """Return (n * size, n * g) weights: bilinear, averaged over two points where a step is > 1."""
    n = len(step)
    apart = np.where(step > 1, 0.5, 0.0)[:, None, None] * np.array([-0.5, 0.5])
    place = np.arange(size)[:, None] + 0.5 - size / 2 + apart  # (n, size, 2)
    where = middle_px[:, None, None] + place * step[:, None, None]
    before = np.floor(where)
    share = (where - before)[..., None]
    tap = before[..., None] + np.array([0, 1])
    weight = 0.5 * np.concatenate([1 - share, share], axis=-1)
    weight[(tap < 0) | (tap >= g)] = 0
    column = np.clip(tap, 0, g - 1) + g * np.arange(n)[:, None, None, None]
    start = 4 * np.arange(n * size + 1)
    flat = (weight.astype(np.float32).ravel(), column.astype(np.int64).ravel(), start)
    return csr_array(flat, shape=(n * size, n * g))


def _support(crop: np.ndarray, pure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each crop's background, (n,) float32 each."""
    count = np.maximum(pure.sum(axis=(1, 2)), 1)
    mean = (crop * pure).sum(axis=(1, 2)) / count
    away = np.where(pure, crop - mean[:, None, None], 0)
    spread = np.sqrt((away**2).sum(axis=(1, 2)) / np.maximum(count - 1, 1))
    few = count < _FEWEST_BACKGROUND
    return np.where(few, 0, mean).astype(np.float32), np.where(few, 1, spread).astype(np.float32)
