"""Gaussians: the widths of a frame's columns, and how profiles depend on them.

All columns of a frame share the probe's astigmatism; each species has its own width. The
covariance of species s is ``sigma_s^2 [[1 + p, q], [q, 1 - p]]`` in (y, x).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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

    def gaussians(self, y: np.ndarray, x: np.ndarray, species: np.ndarray) -> np.ndarray:
        """Return (n, 5) places and inverse covariances [y, x, pyy, pyx, pxx] of columns.

        Parameters
        ----------
        y, x : (n,) float64 array
        species : (n,) int64 array
            Index into ``log_sigma``.
        """
        p, q = self.stretch
        inverse = np.exp(-2 * self.log_sigma)[species] / (1 - p * p - q * q)
        return np.column_stack([y, x, (1 - p) * inverse, -q * inverse, (1 + p) * inverse])

    def forms(self, species: np.ndarray) -> np.ndarray:
        """Return (n, s + 2, 6) logarithmic derivatives of profiles by widths and stretch.

        As factors of 1, by_y, by_x, by_y², by_y by_x, by_x², the logarithmic slopes of a
        profile by its column's place.
        """
        p, q = self.stretch
        det, n_species = 1 - p * p - q * q, len(self.log_sigma)
        variance = np.exp(2 * self.log_sigma)
        by_shape = np.zeros((n_species, n_species + 2, 6))
        for s, own in enumerate(variance):
            by_shape[s, s] = [-2, 0, 0, own * (1 + p), 2 * own * q, own * (1 - p)]
            by_shape[s, -2] = [p / det, 0, 0, own / 2, 0, -own / 2]
            by_shape[s, -1] = [q / det, 0, 0, 0, own, 0]
        return by_shape[species]
