"""What particles lie on and among: clumps of a rough support, debris, grain inside crystals."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# a clump's thickness rises over this many typical diameters
_CLUMP_SCALES = (1.5, 6.0)
# diameters of debris as a share of the typical one, and its thickness
_DEBRIS_SIZES, _DEBRIS_STRENGTHS = (0.06, 0.22), (0.3, 1.0)
_GRAIN_SCALES = (0.12, 0.5)
_TRUNCATE = 4
# widths of a support's grains and of its spheres, in typical diameters
_GRANULE_SCALES, _SPHERE_SCALES = (0.06, 0.5), (0.7, 5.0)


def smooth_field(shape: tuple[int, int], sigma_px: float, rng: np.random.Generator) -> np.ndarray:
    """Return a random (h, w) float32 field of one length, of a law with mean 0 and deviation 1.

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
    margin = _TRUNCATE * int(np.ceil(sigma_px / step))
    coarse = [int(np.ceil(side / step)) + 3 + margin for side in shape]
    field = ndimage.gaussian_filter(
        rng.standard_normal(coarse).astype(np.float32),
        sigma_px / step,
        mode="wrap",
        truncate=_TRUNCATE,
    )
    # of the law, not of this piece, which may be smaller than what it shows
    spike = np.zeros(2 * margin + 1)
    spike[margin] = 1
    weights = ndimage.gaussian_filter1d(spike, sigma_px / step, truncate=_TRUNCATE)
    field /= np.float32((weights**2).sum())
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


def granules(shape: tuple[int, int], scale_px: float, rng: np.random.Generator) -> np.ndarray:
    """Return the thickness of a support whose grains are finer than particles or as coarse.

    Grains are drawn out along a side of the frame now and then, as in slices of a tomogram.

    Parameters
    ----------
    shape : tuple of int
        Height and width, px.
    scale_px : float
        Typical particle diameter; grains have 6 to 50 % of it.
    rng : numpy.random.Generator
        The frame's generator.

    Returns
    -------
    (h, w) float32 array
        0 beside it, about 1 on it.
    """
    sigma_px = max(0.7, 0.5 * scale_px * np.exp(rng.uniform(*np.log(_GRANULE_SCALES))))
    white = rng.standard_normal(shape, dtype=np.float32)
    drawn_out = np.where(rng.random(2) < 0.25, rng.uniform(1, 4, 2), 1.0)
    grains = ndimage.gaussian_filter(white, sigma_px * drawn_out, mode="wrap", truncate=3.0)
    rough = 1.0 + np.float32(rng.uniform(0.1, 0.6)) * grains / max(float(grains.std()), 1e-6)
    cover = np.clip(clumps(shape, scale_px, rng), 0.0, 1.0)
    result: np.ndarray = cover * np.maximum(rough, 0.0)
    return result


def clouds(shape: tuple[int, int], scale_px: float, rng: np.random.Generator) -> np.ndarray:
    """Return the thickness of a support without a scale of its own: clouds upon clouds.

    Parameters
    ----------
    shape : tuple of int
        Height and width, px.
    scale_px : float
        Typical particle diameter; clouds are a quarter to eight times as wide.
    rng : numpy.random.Generator
        The frame's generator.

    Returns
    -------
    (h, w) float32 array
        About 1 on average, nowhere below 0.
    """
    steeper = rng.uniform(0.2, 1.0)
    result = np.ones(shape, np.float32)
    for octave in range(6):
        sigma_px = max(0.7, 0.125 * scale_px * 2**octave)
        height = np.float32(0.4 * 2 ** (steeper * (octave - 5)))
        result += height * smooth_field(shape, sigma_px, rng)
    return np.maximum(result, 0.0)


def spheres(shape: tuple[int, int], scale_px: float, rng: np.random.Generator) -> np.ndarray:
    """Return the thickness of a support of spheres that lie over and beside each other.

    Parameters
    ----------
    shape : tuple of int
        Height and width, px.
    scale_px : float
        Typical particle diameter; spheres are 0.7 to 5 times as wide, all about the same.
    rng : numpy.random.Generator
        The frame's generator.

    Returns
    -------
    (h, w) float32 array
        About 1 where they are thickest; softened, for they lie out of focus.
    """
    typical_px = 0.5 * scale_px * np.exp(rng.uniform(*np.log(_SPHERE_SCALES)))
    n = int(rng.integers(2, 3 + min(40, int(shape[0] * shape[1] / typical_px**2))))
    middle, reach = rng.random(2) * shape, rng.uniform(0.2, 0.7) * max(shape)
    result = np.zeros(shape, np.float32)
    y, x = np.ogrid[: shape[0], : shape[1]]
    for _ in range(n):
        radius_px = typical_px * np.exp(0.25 * rng.standard_normal())
        cy, cx = middle + reach * rng.standard_normal(2)
        low, high = (
            [int(np.clip(c + s * radius_px, 0, side)) for c, side in zip((cy, cx), shape)]
            for s in (-1, 1)
        )
        part = (slice(low[0], high[0] + 1), slice(low[1], high[1] + 1))
        away = ((y[part[0]] - cy) ** 2 + (x[:, part[1]] - cx) ** 2) / radius_px**2
        result[part] += np.sqrt(np.maximum(1 - away, 0)).astype(np.float32)
    result /= max(1.0, float(np.quantile(result, 0.98)))
    soft: np.ndarray = ndimage.gaussian_filter(result, rng.uniform(0.3, 0.2 * typical_px + 0.4))
    return soft


def streaks(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return an (h, w) float32 field of lines along one side, as scans and slices have them.

    Mean 0, standard deviation 1; lines of 8 to 60 px.

    Parameters
    ----------
    shape : tuple of int
        Height and width, px.
    rng : numpy.random.Generator
        The frame's generator.
    """
    sigma_px = [rng.uniform(0.3, 1.0), rng.uniform(8.0, 60.0)][:: rng.choice([-1, 1])]
    white = rng.standard_normal(shape, dtype=np.float32)
    field = ndimage.gaussian_filter(white, sigma_px, mode="wrap", truncate=2.0)
    result: np.ndarray = field / max(float(field.std()), 1e-6)
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
