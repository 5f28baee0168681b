"""What particles lie on and among: clumps of a rough support, debris, grain inside crystals."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# a clump's thickness rises over this many typical diameters
_CLUMP_SCALES = (1.5, 6.0)
# diameters of debris as a share of the typical one, and its thickness
_DEBRIS_SIZES, _DEBRIS_STRENGTHS = (0.06, 0.22), (0.3, 1.0)
_GRAIN_SCALES = (0.12, 0.5)


def smooth_field(shape: tuple[int, int], sigma_px: float, rng: np.random.Generator) -> np.ndarray:
    """Return a random (h, w) float32 field of one length: mean 0, standard deviation 1.

    Drawn on a grid of half that length and interpolated, so that long lengths cost nothing.

    Parameters
    ----------
    shape : tuple of int
        Height and width, px.
    sigma_px : float
        Standard deviation of the Gaussian that white noise is smoothed with.
    rng : numpy.random.Generator
        The frame's generator.
    """
    step = max(1.0, sigma_px / 2)
    coarse = [int(np.ceil(side / step)) + 3 for side in shape]
    field = ndimage.gaussian_filter(
        rng.standard_normal(coarse).astype(np.float32), sigma_px / step, mode="wrap"
    )
    field /= max(float(field.std()), 1e-6)
    offset = rng.random(2)
    at = [np.arange(side) / step + o for side, o in zip(shape, offset)]
    grid = np.meshgrid(*at, indexing="ij")
    found: np.ndarray = ndimage.map_coordinates(field, grid, order=1, mode="nearest")
    return found


def clumps(shape: tuple[int, int], scale_px: float, rng: np.random.Generator) -> np.ndarray:
    """Return the thickness of a lumpy support that covers a part of the frame.

    Parameters
    ----------
    shape : tuple of int
        Height and width, px.
    scale_px : float
        Typical particle diameter; lumps are 1.5 to 6 times as wide.
    rng : numpy.random.Generator
        The frame's generator.

    Returns
    -------
    (h, w) float32 array
        0 beside it, about 1 on it, with edges as sharp as 2 px or as soft as its lumps.
    """
    sigma_px = scale_px * np.exp(rng.uniform(*np.log(_CLUMP_SCALES))) / 2
    outline = smooth_field(shape, 2.0 * sigma_px, rng) - np.float32(rng.uniform(-1.0, 0.8))
    softness = np.float32(np.exp(rng.uniform(np.log(1.0 / sigma_px), 0.0)))
    cover = np.clip(0.5 + outline / softness, 0.0, 1.0)
    lumps = 1.0 + np.float32(rng.uniform(0.0, 0.5)) * smooth_field(shape, sigma_px, rng)
    result: np.ndarray = (cover * np.maximum(lumps, 0.0)).astype(np.float32)
    return result


def speckle(shape: tuple[int, int], period_px: float, rng: np.random.Generator) -> np.ndarray:
    """Return the phase contrast of an amorphous film out of focus: grain of one period.

    Parameters
    ----------
    shape : tuple of int
        Height and width, px.
    period_px : float
        Typical distance of neighbouring grains; there is nothing much coarser.
    rng : numpy.random.Generator
        The frame's generator.

    Returns
    -------
    (h, w) float32 array
        Mean 0, standard deviation 1.
    """
    white = rng.standard_normal(shape, dtype=np.float32)
    # the difference of these two passes a band about the period
    fine, coarse = (
        ndimage.gaussian_filter(white, share * period_px, mode="wrap", truncate=3.0)
        for share in (0.18, 0.29)
    )
    grains: np.ndarray = fine - coarse
    return grains / grains.std()


def debris(shape: tuple[int, int], n: int, scale_px: float, rng: np.random.Generator) -> np.ndarray:
    """Return the thickness of n specks, far smaller than particles and none of them.

    Parameters
    ----------
    shape : tuple of int
        Height and width, px.
    n : int
        Number of specks.
    scale_px : float
        Typical particle diameter; specks have 6 to 22 % of it.
    rng : numpy.random.Generator
        The frame's generator.

    Returns
    -------
    (h, w) float32 array
    """
    result = np.zeros(shape, np.float32)
    for _ in range(n):
        centre = rng.random(2) * shape
        sigma_px = scale_px * rng.uniform(*_DEBRIS_SIZES) / 2
        strength = rng.uniform(*_DEBRIS_STRENGTHS)
        low = np.maximum(np.floor(centre - 3 * sigma_px), 0).astype(int)
        high = np.minimum(np.ceil(centre + 3 * sigma_px) + 1, shape).astype(int)
        y, x = (np.arange(a, b) - c for a, b, c in zip(low, high, centre))
        blot = np.outer(*(np.exp(-0.5 * (axis / sigma_px) ** 2) for axis in (y, x)))
        result[low[0] : high[0], low[1] : high[1]] += np.float32(strength) * blot
    return result


def grain(
    shape: tuple[int, int], strength: float, scale_px: float, rng: np.random.Generator
) -> np.ndarray:
    """Return (h, w) float32 factors on the contrast inside crystals: bends, twins, thickness.

    Parameters
    ----------
    shape : tuple of int
        Height and width, px.
    strength : float
        Relative standard deviation.
    scale_px : float
        Typical particle diameter; the grain has 12 to 50 % of it.
    rng : numpy.random.Generator
        The frame's generator.
    """
    sigma_px = scale_px * rng.uniform(*_GRAIN_SCALES)
    factors = 1.0 + np.float32(strength) * smooth_field(shape, sigma_px, rng)
    return np.clip(factors, 0.3, 3.0)
