"""Training crops: single superellipse particles of known shape, as a measured frame gives them.

Crops look like those that are cut from flat frames after segmentation: 44 pixels across, the
bounding box of the *found* region with 15 % on each side, particles bright, in units of the
frame's pixel noise, neighbours painted over. Small particles are drawn pixel by pixel and
enlarged, large ones drawn finer than the crop and averaged, so that blur, pixelation and the
correlation of the noise are those of a particle of that size.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from stempede.errors import InputError
from stempede.simulate.crop_images import draw_images
from stempede.simulate.crop_regions import Raster, draw_regions
from stempede.simulate.rows import Rows
from stempede.simulate.superellipse import radius

SIZE = 44
"""Side of a crop, pixels."""

BLOCK = 128
"""Crops that are drawn together: they share blur, line width and their place between pixels."""

P_RANGE, D_RANGE, L_RANGE = (0.3, 20.0), (1, 6), (1.0, 5.0)
"""Ranges of the shape: p and L log-uniform, d an integer."""

SIZE_RANGE_PX = (12.0, 200.0)
"""Longer side of a particle's box in its image, log-uniform, pixels."""

_ANGLES = 1440
# crops that are exposed together: few enough that their rasters stay in the cache
_TOGETHER = 64


@dataclass(frozen=True)
class Crops(Rows):
    """Crops and their truth; all arrays have n rows.

    Parameters
    ----------
    images : (n, 44, 44) float32 array
        Particles bright, in units of the pixel noise.
    p, d, l_ratio : (n,) float64 arrays
        Exponent, symmetry (1 to 6) and elongation (at least 1).
    angle_rad : (n,) float64 array
        Phase: direction of the body's own zero.
    size_px : (n,) float64 array
        Longer side of the found region's box, image pixels.
    contrast : (n,) float64 array
        Brightness of the body over the noise of an image pixel.
    """

    images: np.ndarray
    p: np.ndarray
    d: np.ndarray
    l_ratio: np.ndarray
    angle_rad: np.ndarray
    size_px: np.ndarray
    contrast: np.ndarray


def training_crops(
    n: int,
    *,
    seed: int = 0,
    first: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Crops:
    """Draw n crops; crop k of a seed is the same whatever else is asked for.

    Parameters
    ----------
    n : int
        Number of crops.
    seed : int
        Seed of the whole series.
    first : int
        Number of the first crop in the series.
    workers : int, optional
        Threads; as many as there are cores by default. Does not change the result.
    progress : callable, optional
        Called with the crops done and the crops in all.

    Returns
    -------
    Crops

    Raises
    ------
    InputError
        If ``n`` is below 1 or ``first`` negative.
    """
    if n < 1 or first < 0:
        raise InputError(f"crops want n >= 1 and first >= 0; found {n} and {first}; correct them")
    start, stop = first // BLOCK, (first + n - 1) // BLOCK + 1
    parts = []
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for part in pool.map(lambda block: draw_block(seed, block), range(start, stop)):
            parts.append(part)
            if progress is not None:
                progress(min(len(parts) * BLOCK, n), n)
    whole = Crops.joined(parts)
    return whole[first - start * BLOCK : first - start * BLOCK + n]


def draw_block(seed: int, block: int) -> Crops:
    """Draw the ``BLOCK`` crops of one block."""
    rng = np.random.Generator(np.random.SFC64([seed, block]))
    raster = Raster.draw(rng, SIZE_RANGE_PX)
    parts: list[Crops] = []
    missing = BLOCK
    # a fifth of them or so are too faint or too thin to be found as a region
    while missing > 0:
        tried = min(missing + missing // 4 + 4, _TOGETHER)
        parts.append(_draw_some(rng, raster, tried)[:missing])
        missing -= len(parts[-1])
    return Crops.joined(parts)


def _draw_some(rng: np.random.Generator, raster: Raster, n: int) -> Crops:
    """Draw n particles on one raster, and the crops of those that would be found as a region."""
    p, l_ratio = _log_uniform(rng, P_RANGE, n), _log_uniform(rng, L_RANGE, n)
    d = rng.integers(D_RANGE[0], D_RANGE[1] + 1, n).astype(np.float64)
    angle = rng.uniform(0.0, 2 * np.pi, n)
    u = np.arange(_ANGLES) * (2 * np.pi / _ANGLES) - angle[:, None]
    shape = (values.astype(np.float32)[:, None] for values in (p, d, l_ratio))
    regions = draw_regions(raster, rng, radius(u.astype(np.float32), *shape))
    found = np.flatnonzero(regions.found(raster))
    regions = regions[found]
    size_px = regions.side_px * regions.pixel_px
    images = draw_images(raster, rng, regions, SIZE)
    return Crops(
        images, p[found], d[found], l_ratio[found], angle[found], size_px, regions.contrast
    )


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float], n: int) -> np.ndarray:
    low, high = (float(np.log(limit)) for limit in limits)
    return np.exp(rng.uniform(low, high, n))
