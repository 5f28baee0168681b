"""Insides of particles: bends, facets and thickness across their whole width, and pale ones."""

from __future__ import annotations

import numpy as np

_FACETS = 4
_RANGE = (0.12, 3.0)


def interiors(labels: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Return factors on the contrast of each particle, as its crystal and its tilt give them.

    Every particle has a slope across it, some a bend contour (a band, darker or brighter) and
    some up to four facets that meet near its middle, as the faces of a pyramid do.

    Parameters
    ----------
    labels : (h, w) int32 array
        Particles, 1 ... n.
    strength : float
        How far factors are from 1 in a typical particle.
    rng : numpy.random.Generator
        The frame's generator.

    Returns
    -------
    (h, w) float32 array
        1 outside.
    """
    factors = np.ones(labels.shape, np.float32)
    inside = labels > 0
    which = labels[inside]
    n = int(labels.max()) + 1
    across, along = _own_coordinates(labels, rng.uniform(0, 2 * np.pi, n))
    found = 1 + (strength * rng.standard_normal(n) * 0.5)[which] * across
    bent = strength * rng.standard_normal(n) * 1.5 * (rng.random(n) < 0.4)
    places, widths = rng.uniform(-0.8, 0.8, n), rng.uniform(0.15, 0.6, n)
    found += bent[which] * np.exp(-(((across - places[which]) / widths[which]) ** 2))
    levels = strength * rng.standard_normal((n, _FACETS)) * (rng.random((n, 1)) < 0.4)
    n_facets = rng.integers(2, _FACETS + 1, n)
    middle = rng.uniform(-0.3, 0.3, (n, 2))
    turn = np.arctan2(across - middle[which, 0], along - middle[which, 1]) / (2 * np.pi) + 0.5
    facet = np.minimum((turn * n_facets[which]).astype(int), _FACETS - 1)
    found += levels[which, facet]
    factors[inside] = np.clip(found, *_RANGE)
    return factors


def paled(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return (h, w) float32 factors that leave some particles a sixth to two thirds of themselves.

    Parameters
    ----------
    labels : (h, w) int32 array
    share : float
        Of the particles that are pale.
    rng : numpy.random.Generator
        The frame's generator.
    """
    n = int(labels.max()) + 1
    left = np.where(rng.random(n) < share, rng.uniform(0.15, 0.65, n), 1.0).astype(np.float32)
    left[0] = 1
    factors: np.ndarray = left[labels]
    return factors


def _own_coordinates(labels: np.ndarray, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates of all pixels inside, in radii from the middle of their particle."""
    y, x = np.nonzero(labels)
    which = labels[y, x]
    areas = np.maximum(np.bincount(which, minlength=len(angles)), 1)
    away = []
    for at in (y, x):
        middle = np.bincount(which, at, len(angles)) / areas
        away.append((at - middle[which]) / np.sqrt(areas[which] / np.pi))
    sin, cos = np.sin(angles)[which], np.cos(angles)[which]
    return away[0] * sin + away[1] * cos, away[0] * cos - away[1] * sin
