"""What a camera and a carbon film add to a perfect image: shot noise, read noise, texture."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage

ELECTRONS_PER_PX = {"low": 1000.0, "medium": 200.0, "high": 40.0}
"""Electrons per pixel of the unobstructed beam (dark) or full signal (bright), by noise level."""

READ_NOISE_ELECTRONS = 2.0
OFFSET_COUNTS = 100.0
# full signal near 10,000 counts at every level, as an auto-exposed 16-bit camera would
FULL_SCALE_COUNTS = 10_000.0

_TILE = 1024
# below this many electrons the skewed normal approximation is no longer exact enough
_POISSON_BELOW = 30.0


def expose(signal: np.ndarray, electrons_per_px: float, rng: np.random.Generator) -> np.ndarray:
    """Turn relative intensity into 16-bit counts with shot and read noise.

    Above 30 electrons everywhere, Poisson numbers are drawn as a Cornish-Fisher
    expansion of the normal (mean and skewness exact, variance within 1/18 electron^2),
    which is several times quicker; below, they are drawn exactly.

    Parameters
    ----------
    signal : (h, w) float32 array
        Expected intensity, 1 where ``electrons_per_px`` arrive; not changed.
    electrons_per_px : float
        Exposure.
    rng : numpy.random.Generator
        The frame's generator.

    Returns
    -------
    (h, w) uint16 array
        Counts: 100 plus ``10,000 / electrons_per_px`` per electron, clipped at 65,535.
    """
    expected = np.maximum(signal, 0.0) * np.float32(electrons_per_px)
    if float(expected.min(initial=np.inf)) < _POISSON_BELOW:
        electrons = rng.poisson(expected).astype(np.float32)
    else:
        z = rng.standard_normal(signal.shape, dtype=np.float32)
        electrons = np.rint(expected + np.sqrt(expected) * z + (z * z - 1.0) / 6.0)
    electrons += np.float32(READ_NOISE_ELECTRONS) * rng.standard_normal(
        signal.shape, dtype=np.float32
    )
    electrons *= np.float32(FULL_SCALE_COUNTS / electrons_per_px)
    electrons += np.float32(OFFSET_COUNTS)
    return np.clip(np.rint(electrons), 0, 65_535).astype(np.uint16)


def film_texture(shape: tuple[int, int], seed: int, rng: np.random.Generator) -> np.ndarray:
    """Return a piece of amorphous film: mean 0, standard deviation 1, detail of 2 to 20 px.

    One periodic tile is made per seed and kept; each frame sees it shifted, turned
    and mirrored at random, so that frames differ at next to no cost.

    Parameters
    ----------
    shape : tuple of int
        Height and width, px.
    seed : int
        Seed of the session: the film.
    rng : numpy.random.Generator
        The frame's generator: which piece of the film.

    Returns
    -------
    (h, w) float32 array
        Relative film thickness.
    """
    tile = _tile(seed)
    quarter_turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
    dy, dx = rng.integers(_TILE, size=2)
    tile = np.rot90(tile[::-1] if mirror else tile, quarter_turns)
    rows = (np.arange(shape[0]) + dy) % _TILE
    columns = (np.arange(shape[1]) + dx) % _TILE
    return tile[rows[:, None], columns[None]]


@lru_cache(maxsize=4)
def _tile(seed: int) -> np.ndarray:
    white = np.random.default_rng([seed, 0xF11]).standard_normal((_TILE, _TILE), dtype=np.float32)
    texture = np.zeros_like(white)
    for sigma_px, share in ((1.5, 0.5), (4.0, 0.5), (10.0, 0.7)):
        layer = ndimage.gaussian_filter(white, sigma_px, mode="wrap")
        texture += share * layer / layer.std()
        # an independent layer at each scale, without drawing anew
        white = np.roll(white, (_TILE // 3, _TILE // 5), axis=(0, 1))
    texture -= texture.mean()
    texture /= texture.std()
    texture.setflags(write=False)
    return texture


def soft_patches(
    shape: tuple[int, int], n: int, scale_px: float, rng: np.random.Generator
) -> np.ndarray:
    """Return n broad Gaussian blots of contamination, each of height 0.3 to 1.

    Parameters
    ----------
    shape : tuple of int
        Height and width, px.
    n : int
        Number of blots.
    scale_px : float
        Typical particle diameter; blots are 2 to 6 times as wide (standard deviation).
    rng : numpy.random.Generator
        The frame's generator.

    Returns
    -------
    (h, w) float32 array
        Sum of the blots.
    """
    result = np.zeros(shape, dtype=np.float32)
    y, x = np.arange(shape[0], dtype=np.float32), np.arange(shape[1], dtype=np.float32)
    for _ in range(n):
        centre = rng.random(2) * shape
        sigma_y, sigma_x = scale_px * rng.uniform(2.0, 6.0, size=2)
        height = rng.uniform(0.3, 1.0)
        profile_y = np.exp(-0.5 * ((y - centre[0]) / sigma_y) ** 2)
        profile_x = np.exp(-0.5 * ((x - centre[1]) / sigma_x) ** 2)
        result += np.float32(height) * np.outer(profile_y, profile_x).astype(np.float32)
    return result
