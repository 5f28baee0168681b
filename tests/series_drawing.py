"""Series of fast scans of a perovskite dot: Gaussian columns, drift, Poisson counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SITES = ((0.0, 0.0, 27.7, 0), (0.5, 0.5, 9.4, 0), (0.5, 0.0, 7.2, 1), (0.0, 0.5, 7.2, 2))
"""Position in the cell, electrons at 200 e/A^2, and along which axis a tilt moves the column."""


@dataclass(frozen=True)
class Dot:
    """A drawn dot.

    Parameters
    ----------
    y, x, electrons : (n,) arrays
        Columns without drift, electrons at 200 e/A^2.
    site : (n,) array
        Index into ``SITES``.
    i, j : (n,) arrays
        Lattice coordinates.
    """

    y: np.ndarray
    x: np.ndarray
    electrons: np.ndarray
    site: np.ndarray
    i: np.ndarray
    j: np.ndarray


def dot(shape, cells=9.0, a_px=41.9, turn_deg=7.0, tilt_deg=9.0, superellipse=4.0) -> Dot:
    """Return a dot of so many cells across in the middle; more than fit fill the frame."""
    n = int(cells) // 2 + 2
    t = np.deg2rad(turn_deg)
    a, b = a_px * np.array([np.sin(t), np.cos(t)]), a_px * np.array([np.cos(t), -np.sin(t)])
    rows = []
    for i in range(-n, n + 1):
        for j in range(-n, n + 1):
            for s, (fi, fj, electrons, moves) in enumerate(SITES):
                u, v = i + fi, j + fj
                if abs(u) ** superellipse + abs(v) ** superellipse > (cells / 2) ** superellipse:
                    continue
                swing = 0.5 * np.tan(np.deg2rad(tilt_deg)) * (-1) ** (i + j)
                u, v = u - swing * (moves == 2), v + swing * (moves == 1)
                at = u * a + v * b + (np.array(shape) - 1) / 2 + 0.31
                rows.append((*at, electrons, s, i + fi, j + fj))
    y, x, electrons, site, ii, jj = np.array(rows).T
    return Dot(y, x, electrons, site.astype(int), ii, jj)


def expected(shape, drawn: Dot, shift=(0.0, 0.0), dose=100.0, sigma_px=3.0, ground=0.005):
    """Return the (y, x) expected counts of one scan; ground is counts/px at 200 e/A^2."""
    image = np.full(shape, ground)
    reach = int(np.ceil(5 * sigma_px))
    for y, x, electrons in zip(drawn.y + shift[0], drawn.x + shift[1], drawn.electrons):
        y0, x0 = int(y) - reach, int(x) - reach
        rows = np.arange(max(y0, 0), min(y0 + 2 * reach + 1, shape[0]))
        cols = np.arange(max(x0, 0), min(x0 + 2 * reach + 1, shape[1]))
        if len(rows) and len(cols):
            fy = np.exp(-0.5 * ((rows - y) / sigma_px) ** 2)
            fx = np.exp(-0.5 * ((cols - x) / sigma_px) ** 2)
            image[np.ix_(rows, cols)] += electrons / (2 * np.pi * sigma_px**2) * np.outer(fy, fx)
    return image * (dose / 200)


def drift(rng, n, total_px=66.0) -> np.ndarray:
    """Return a smooth (n, 2) path from (0, 0): steady, curved, with a little unrest."""
    t = np.linspace(0, 1, n)[:, None]
    angle = rng.uniform(0, 2 * np.pi)
    way = np.array([np.sin(angle), np.cos(angle)]) * total_px * rng.uniform(0.3, 1.0)
    side = np.array([way[1], -way[0]]) * rng.normal(0, 0.3)
    path = way * t + side * t * (1 - t) + rng.normal(0, 0.5, (n, 2))
    path -= path[0]
    longest = np.hypot(*path.T).max()
    return path * min(1.0, total_px / longest)


def series(rng, shape, drawn: Dot, shifts, dose=100.0, **drawing) -> np.ndarray:
    """Return (n, y, x) float32 counts of scans at these shifts."""
    scans = [rng.poisson(expected(shape, drawn, s, dose, **drawing)) for s in shifts]
    return np.stack(scans).astype(np.float32)
