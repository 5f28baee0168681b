"""Contours: how much, how often and how unevenly an outline departs from a circle."""

from __future__ import annotations

import numpy as np

CONTOUR = ("contour_amplitude", "contour_order", "contour_spread")
"""What ``contour`` returns."""

# amplitude, as a share of the radius, below which harmonics hardly count
_UNSEEN = 0.08
_HARMONICS = np.arange(1, 13, dtype=np.float64)
_DIRECTIONS = 128
_BLOCK = 1 << 16
# eggs at once: 25 MB
_EGGS = 1 << 10


def contour(p: np.ndarray, d: np.ndarray, l_ratio: np.ndarray) -> dict[str, np.ndarray]:
    """Return how much, how often and how unevenly a superellipse departs from a circle.

    From the harmonics of the logarithm of its outline about its centroid: their energy, mean
    number and the spread of that number. Unlike ``p d l_ratio`` they are continuous at the
    circle, where all vanish and no d is better than another; what pixels cannot show hardly
    counts.

    Parameters
    ----------
    p, d, l_ratio : (n,) float64 array

    Returns
    -------
    dict of str to (n,) float64 array
        ``contour_amplitude contour_order contour_spread``; NaN where a parameter is.
    """
    energy = np.full((len(p), len(_HARMONICS)), np.nan)
    for start in range(0, len(p) if np.isfinite(p).any() else 0, _BLOCK):
        part = slice(start, start + _BLOCK)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            energy[part] = _energy(p[part], d[part], l_ratio[part])
    total = energy.sum(axis=1)
    share = energy / (total + _UNSEEN**2)[:, None]
    order = share @ _HARMONICS
    spread = np.sqrt((share * (_HARMONICS - order[:, None]) ** 2).sum(axis=1))
    return dict(zip(CONTOUR, (np.log(np.sqrt(total) + _UNSEEN), order, spread), strict=True))


def _energy(p: np.ndarray, d: np.ndarray, l_ratio: np.ndarray) -> np.ndarray:
    """Return the energy (n, m) of each harmonic of log R of eq. 1, about the centroid."""
    u = np.arange(_DIRECTIONS) * (2 * np.pi / _DIRECTIONS)
    turn = 0.5 * d[:, None] * u
    first = np.log(l_ratio[:, None] * np.abs(np.cos(turn)))
    second = np.log(np.abs(np.sin(turn)))
    # without overflow at large p
    log_r = -np.logaddexp(p[:, None] * first, p[:, None] * second) / p[:, None]
    waves = np.exp(-1j * np.outer(u, _HARMONICS)) * (2 / _DIRECTIONS)
    found: np.ndarray = np.abs(log_r @ waves) ** 2
    eggs = np.flatnonzero(d == 1)
    for some in np.array_split(eggs, len(eggs) // _EGGS + 1):
        found[some] = _energy_of_eggs(np.exp(log_r[some]), u)
    return found


def _energy_of_eggs(radius: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return the same of outlines (n, u) whose centre is not their centroid: those of d = 1.

    A circle about another point would otherwise have a first harmonic, and a shape of its own.
    """
    x, y = radius * np.cos(u), radius * np.sin(u)
    cross = x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y
    middle = (x + np.roll(x, -1, axis=1)) / 3
    x = x - ((cross * middle).sum(axis=1) / cross.sum(axis=1))[:, None]
    direction, log_r = np.unwrap(np.arctan2(y, x), axis=1), np.log(np.hypot(y, x))
    seen = np.diff(direction, axis=1, append=direction[:, :1] + 2 * np.pi)
    log_r = 0.5 * (log_r + np.roll(log_r, -1, axis=1)) * seen / np.pi
    turns = np.exp(-1j * (direction + 0.5 * seen)[:, :, None] * _HARMONICS)
    energy: np.ndarray = np.abs(np.einsum("nu,num->nm", log_r, turns)) ** 2
    return energy
