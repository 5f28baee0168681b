"""The superellipse outline that simulated particles are cut from, and its exact moments.

Source: eq. 1 of Williamson et al., Nanoscale 2022 (doi 10.1039/D2NR01712D),
``R(u) = [(L |cos(d u / 2)|)^p + |sin(d u / 2)|^p]^(-1/p)`` with ``u`` the direction in
the body's own frame. ``d = 2`` gives ellipses and squircles, ``d = 3`` triangles,
``d = 4 ... 6`` stars; with ``L = 1`` the outline has ``2 d`` equal lobes, with
``L > 1`` it has ``d``.
"""

from __future__ import annotations

import numpy as np

# divisible by 2 d for every d of 1 to 6: each tip and each waist is a vertex
N_VERTICES = 720


def radius(u: np.ndarray, p: np.ndarray, d: np.ndarray, l_ratio: np.ndarray) -> np.ndarray:
    """Return the outline's distance from the centre in directions u.

    Parameters
    ----------
    u : float64 array
        Directions in the body's frame, radians.
    p, d, l_ratio : float64 arrays that broadcast with u
        Exponent, symmetry and elongation.

    Returns
    -------
    float64 array
        Radius in units of the longest radius of the body (its tips are at 1 for ``l_ratio >= 1``).
    """
    half = 0.5 * d * u
    first = (l_ratio * np.abs(np.cos(half))) ** p
    second = np.abs(np.sin(half)) ** p
    result: np.ndarray = (first + second) ** (-1.0 / p)
    return result


def unit_outlines(p: np.ndarray, d: np.ndarray, l_ratio: np.ndarray) -> np.ndarray:
    """Return the radius at ``N_VERTICES`` equal directions, scaled to an area of pi / 4.

    A body of equivalent diameter ``D`` then has the radius ``D`` times this.

    Parameters
    ----------
    p, d, l_ratio : (n,) float64 array
        Shape parameters.

    Returns
    -------
    (n, N_VERTICES) float64 array
        Radii for a body whose equivalent diameter is 1.
    """
    u = np.arange(N_VERTICES) * (2 * np.pi / N_VERTICES)
    radii = radius(u[None], p[:, None], d[:, None], l_ratio[:, None])  # (n, vertices)
    area = _polygon_moments(radii)[0]
    return radii / np.sqrt(4.0 * area / np.pi)[:, None]


def axes(radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the moment major and minor axis of outlines (full lengths).

    The axis is four times the root of the principal second moment of the filled
    outline, so that an ellipse gives its own axes and a square 1.155 times its edge.

    Parameters
    ----------
    radii : (n, vertices) float64 array
        Radii at equal directions from the centre.

    Returns
    -------
    major, minor : (n,) float64 array
        In the unit of ``radii``.
    """
    area, yy, xx, yx = _polygon_moments(radii)
    mean, spread = 0.5 * (yy + xx), np.hypot(0.5 * (yy - xx), yx)
    return (
        4.0 * np.sqrt((mean + spread) / area),
        4.0 * np.sqrt(np.maximum(mean - spread, 0.0) / area),
    )


def _polygon_moments(radii: np.ndarray) -> tuple[np.ndarray, ...]:
    """Area and second moments (yy, xx, yx) about the centre of polygons given by their radii."""
    u = np.arange(radii.shape[1]) * (2 * np.pi / radii.shape[1])
    y, x = radii * np.sin(u), radii * np.cos(u)
    y1, x1 = np.roll(y, -1, axis=1), np.roll(x, -1, axis=1)
    cross = x * y1 - x1 * y
    area = 0.5 * cross.sum(axis=1)
    yy = (cross * (y * y + y * y1 + y1 * y1)).sum(axis=1) / 12.0
    xx = (cross * (x * x + x * x1 + x1 * x1)).sum(axis=1) / 12.0
    yx = (cross * (x * y1 + 2 * x * y + 2 * x1 * y1 + x1 * y)).sum(axis=1) / 24.0
    return area, yy, xx, yx
