"""Spots: maxima of a frame's power spectrum that stand out of its noise."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stempede.backend import Backend

_STAGE = "columns.lattice"
_LEAST_POWER = 14.0
"""Power of a spot over the noise's mean; noise alone reaches ln(number of pixels)."""
_MOST_SPOTS = 36
_RINGS = 60


@dataclass(frozen=True)
class Spots:
    """Maxima of the power spectrum: (n, 2) cycles/px, and the map they were read from."""

    k: np.ndarray
    power: np.ndarray
    near: np.ndarray
    step: np.ndarray
    floor: np.ndarray
    widest: float

    def noise(self, k: np.ndarray) -> np.ndarray:
        """Return the noise's mean power at (..., 2) frequencies."""
        ring = np.hypot(k[..., 0], k[..., 1]) * (_RINGS / self.widest)
        return self.floor[ring.astype(int).clip(0, len(self.floor) - 1)]


def spots_of(image: np.ndarray, sigma: float, backend: Backend, longest: float) -> Spots:
    """Find the spots of an image that stand out of the noise at their distance from zero.

    Parameters
    ----------
    image : (y, x) float32 array
        Zero mean, on the device.
    sigma : float
        Width of the columns in px: beyond 0.36 / sigma they leave no power.
    backend : Backend
    longest : float
        Longest period in px.
    """
    xp = backend.xp
    coarse = max(1, int(sigma / 1.2))
    height, width = (n // coarse for n in image.shape)
    cut = image[: height * coarse, : width * coarse]
    small = cut.reshape(height, coarse, width, coarse).mean(axis=(1, 3))
    padded = (2 * height, 2 * width)
    power = xp.abs(xp.fft.fftshift(xp.fft.fft2(small, s=padded))) ** 2
    power = backend.download(power.astype(xp.float32), _STAGE)
    step = 1 / (np.array(padded) * coarse)
    ky, kx = ((np.arange(n) - n // 2) * s for n, s in zip(padded, step))
    k = np.hypot(ky[:, None], kx[None, :])
    floor, ring = _noise_floor(power, k)
    ratio = power / floor[ring]
    near = backend.ndimage.maximum_filter(backend.upload(ratio, _STAGE), size=3)
    near = backend.download(near, _STAGE)
    top = (ratio == near) & (k > 1 / longest) & (k < 0.36 / sigma) & (ratio > _LEAST_POWER)
    top &= (ky[:, None] > 0) | ((ky[:, None] == 0) & (kx[None, :] > 0))
    y, x = np.nonzero(top)
    order = np.argsort(-ratio[y, x])[:_MOST_SPOTS]
    y, x = y[order], x[order]
    place = np.stack([y + _bend(power, y, x, 0), x + _bend(power, y, x, 1)], 1)
    k_spots = (place - np.array(padded) // 2) * step
    # the frame was averaged over squares of pixels before its transform
    return Spots(k_spots, ratio[y, x], near, step, floor * coarse**4, float(k.max()))


def _noise_floor(power: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the noise's mean power by ring, from medians, and the ring of each frequency."""
    ring = (k * (_RINGS / k.max())).astype(np.int16)
    # every third bin along both axes is enough for medians
    some, values = ring[::3, ::3].ravel(), power[::3, ::3].ravel()
    order = np.argsort(some, kind="stable")
    edges = np.searchsorted(some[order], np.arange(ring.max() + 2))
    values = values[order]
    medians = [np.median(values[a:b]) if b > a else np.nan for a, b in pairwise(edges)]
    floor = np.array(medians) / np.log(2)
    floor = np.where(floor > 0, floor, np.nanmax(floor) if np.nanmax(floor) > 0 else 1.0)
    return floor.astype(np.float32), ring


def _bend(power: np.ndarray, y: np.ndarray, x: np.ndarray, axis: int) -> np.ndarray:
    """Return the vertex offset of log power along one axis at each maximum."""
    shift = np.array([axis == 0, axis == 1], dtype=int)
    size = np.array(power.shape)

    def at(sign: int) -> np.ndarray:
        return np.log(
            power[
                (y + sign * shift[0]).clip(0, size[0] - 1),
                (x + sign * shift[1]).clip(0, size[1] - 1),
            ]
            + 1e-30
        )

    before, here, after = at(-1), at(0), at(1)
    bend = 2 * here - before - after
    return np.where(bend > 0, (after - before) / 2 / np.where(bend > 0, bend, 1), 0).clip(-0.5, 0.5)
