"""Tilt fields of simulated dots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from stempede.errors import InputError

TILTS = ("uniform", "core-shell", "gradient", "random")


@dataclass(frozen=True)
class Tilt:
    """In-plane rotation of the octahedra; neighbours turn opposite ways.

    Parameters
    ----------
    kind : {"uniform", "core-shell", "gradient", "random"}
    core_deg : float
        Of a uniform dot, of the core, at high a, or the mean of a random field.
    shell_deg : float
        Of the shell, or at low a.
    layers : int
        Layers of the shell; between shell and core the tilt rises evenly over them.
    sd_deg, correlation_cells : float
        Of the random part, which any kind may have.
    boundary : float or None
        Antiphase wall at this i (B sites with i above it turn the other way).
    """

    kind: str = "uniform"
    core_deg: float = 9.0
    shell_deg: float = 2.0
    layers: int = 2
    sd_deg: float = 0.0
    correlation_cells: float = 2.0
    boundary: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in TILTS:
            raise InputError(f"tilt is one of {', '.join(TILTS)}; found '{self.kind}'; correct it")

    def staggered(self, i: np.ndarray, layer: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the staggered tilt (deg) on a grid of B sites.

        Parameters
        ----------
        i : (n_b, n_a) int array
            Coordinate along a.
        layer : (n_b, n_a) int array
            0 outermost, -1 outside.
        rng : numpy.random.Generator
        """
        if self.kind == "core-shell":
            share = np.clip(layer, 0, self.layers) / self.layers
            tilt = self.shell_deg + (self.core_deg - self.shell_deg) * share
        elif self.kind == "gradient":
            inside = i[layer >= 0]
            share = (i - inside.min()) / max(1, np.ptp(inside))
            tilt = self.shell_deg + (self.core_deg - self.shell_deg) * share
        else:
            tilt = np.full(i.shape, self.core_deg)
        tilt = tilt + self.sd_deg * _smooth_noise(i.shape, self.correlation_cells, rng)
        if self.boundary is not None:
            tilt = np.where(i > self.boundary, -tilt, tilt)
        return tilt


def _smooth_noise(shape: tuple[int, ...], length: float, rng: np.random.Generator) -> np.ndarray:
    """Unit normal noise with correlation exp(-r^2 / (2 length^2)); white for length 0."""
    noise = rng.standard_normal(shape)
    if length <= 0:
        return noise
    kernel = np.zeros((2 * int(4 * length) + 3,) * 2)
    kernel[kernel.shape[0] // 2, kernel.shape[0] // 2] = 1.0
    kernel = ndimage.gaussian_filter(kernel, length / np.sqrt(2.0))
    wide = rng.standard_normal(tuple(n + kernel.shape[0] - 1 for n in shape))
    smooth = ndimage.convolve(wide, kernel)
    m = kernel.shape[0] // 2
    return smooth[m : m + shape[0], m : m + shape[1]] / np.sqrt((kernel**2).sum())
