"""Gaussians: the profile of a column and its derivatives at pairs of column and pixel.

All columns of a frame share the probe's astigmatism; each species has its own width. The
covariance of species s is ``sigma_s^2 [[1 + p, q], [q, 1 - p]]`` in (y, x).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stempede.columns.footprint import Footprint


@dataclass(frozen=True)
class Shape:
    """Widths of the species and the stretch they share.

    Parameters
    ----------
    log_sigma : (s,) float64 array
        Logarithm of the widths in px.
    stretch : (2,) float64 array
        ``p, q`` of the covariance.
    """

    log_sigma: np.ndarray
    stretch: np.ndarray

    @property
    def sigma_px(self) -> np.ndarray:
        """(s,) widths: root mean squares of the two axes."""
        return np.exp(self.log_sigma)

    def axes(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Return (s,) major and minor sigma in px and the major axis' angle in degrees."""
        p, q = self.stretch
        size = float(np.hypot(p, q))
        angle = 0.5 * np.arctan2(2 * q, -2 * p) if size > 0 else 0.0
        sigma = self.sigma_px
        return sigma * np.sqrt(1 + size), sigma * np.sqrt(1 - size), float(np.degrees(angle))


@dataclass(frozen=True)
class Profiles:
    """Unit-integral profiles at pairs, and what derivatives are made of.

    Parameters
    ----------
    value : (e,) float64 array
        Profile per px², integral 1.
    by_y, by_x : (e,) float64 array
        Logarithmic derivatives by the column's position.
    by_size : (e,) float64 array
        Logarithmic derivative by ``log_sigma``.
    by_stretch : (2, e) float64 array
    """

    value: np.ndarray
    by_y: np.ndarray
    by_x: np.ndarray
    by_size: np.ndarray
    by_stretch: np.ndarray


def profiles(
    pairs: Footprint,
    y: np.ndarray,
    x: np.ndarray,
    shape: Shape,
    species: np.ndarray,
    *,
    stretch: bool = True,
) -> Profiles:
    """Return the profiles of columns at (y, x) of the species given.

    Parameters
    ----------
    pairs : Footprint
    y, x : (n,) float64 array
    shape : Shape
    species : (n,) int64 array
        Index into ``shape.log_sigma``.
    stretch : bool
        Whether ``by_stretch`` is wanted.
    """
    dy = pairs.y[pairs.pixel] - y[pairs.column]
    dx = pairs.x[pairs.pixel] - x[pairs.column]
    p, q = shape.stretch
    det = 1 - p * p - q * q
    own = shape.sigma_px[species] ** 2
    variance, inverse = own[pairs.column], (1 / (own * det))[pairs.column]
    by_y = ((1 - p) * dy - q * dx) * inverse
    by_x = ((1 + p) * dx - q * dy) * inverse
    square = by_y * dy + by_x * dx
    value = np.exp(-0.5 * square) * inverse * (np.sqrt(det) / (2 * np.pi))
    if not stretch:
        return Profiles(value, by_y, by_x, square - 2, np.zeros((2, 0)))
    turn = 0.5 * variance * (by_y**2 - by_x**2) + p / det
    by_stretch = np.stack([turn, variance * by_y * by_x + q / det])
    return Profiles(value, by_y, by_x, square - 2, by_stretch)
