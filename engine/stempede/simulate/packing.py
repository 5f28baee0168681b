"""Packed layers: particles side by side with narrow gaps, as nanocrystals assemble."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from stempede.simulate.support import smooth_field

# cells around a point that may bound its own
_NEIGHBOURS = 5
# sites of a unit cell of area 1 with their vectors: cells are hexagons, squares, triangles
_HEXAGON, _TRIANGLE = np.sqrt(2 / np.sqrt(3)), np.sqrt(4 / np.sqrt(3))
_SLANT = np.array([[1.0, 0.0], [0.5, np.sqrt(3) / 2]])
_LATTICES = (
    (_HEXAGON * _SLANT, np.zeros((1, 2))),
    (np.eye(2), np.zeros((1, 2))),
    (_TRIANGLE * _SLANT, _TRIANGLE * np.array([[0.0, 0.0], [0.5, 0.5 / np.sqrt(3)]])),
)


def packed(
    shape: tuple[int, int], diameter_px: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw islands of packed particles: hexagons, squares or triangles, more or less regular.

    Particles are the cells about the sites of a disturbed lattice, drawn in from their
    neighbours by half a gap, with rounded corners; some sites are empty.

    Parameters
    ----------
    shape : tuple of int
        Height and width, px.
    diameter_px : float
        Typical equivalent diameter.
    rng : numpy.random.Generator
        The frame's generator.

    Returns
    -------
    thickness : (h, w) float32 array
        1 on average inside; plates to pyramids.
    labels : (h, w) int32 array
        1 ... n, 0 elsewhere.
    """
    gap_px = float(np.exp(rng.uniform(np.log(0.7), np.log(max(1.0, 0.25 * diameter_px)))))
    sites = _sites(shape, diameter_px + gap_px, rng)
    inset_px = 0.5 * gap_px * np.exp(0.3 * rng.standard_normal(len(sites)))
    there = _occupied(shape, sites, diameter_px, rng)
    round_px = rng.uniform(0.02, 0.12) * diameter_px
    grid = np.indices(shape, np.float32).reshape(2, -1).T
    away, near = cKDTree(sites).query(grid, k=_NEIGHBOURS)
    own = near[:, 0]
    apart = np.linalg.norm(sites[near[:, 1:]] - sites[own, None], axis=-1)
    walls = (away[:, 1:] ** 2 - away[:, :1] ** 2) / (2 * apart)
    # the smallest distance to a wall; smooth, so that corners are round
    inward = -round_px * np.log(np.exp(-walls / round_px).sum(axis=1)) - inset_px[own]
    inward = np.where(there[own], inward, -1.0)
    numbers = np.unique(own[inward > 0], return_inverse=True)[1]
    labels = np.zeros(len(grid), np.int32)
    labels[inward > 0] = numbers + 1
    pyramid = rng.uniform(0, 1) ** 2
    # a third of the way in is the mean of a pyramid's height
    rise = (1 - pyramid) + pyramid * np.maximum(inward, 0) / (0.15 * diameter_px)
    thickness = np.clip(inward + 0.5, 0, 1) * rise
    return thickness.reshape(shape).astype(np.float32), labels.reshape(shape)


def _sites(shape: tuple[int, int], spacing_px: float, rng: np.random.Generator) -> np.ndarray:
    """Return (n, 2) places of cells that fill a frame and more, each of a disc's area."""
    vectors, basis = _LATTICES[int(rng.integers(len(_LATTICES)))]
    unit_px = spacing_px * np.sqrt(np.pi) / 2
    # triangles have two sites to a cell of area 2
    reach = int(np.ceil(np.hypot(*shape) / unit_px)) + 3
    steps = np.indices((2 * reach + 1, 2 * reach + 1)).reshape(2, -1).T[:, None] - reach
    sites = (steps @ vectors + basis).reshape(-1, 2) * unit_px
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    sites = sites @ turn + rng.random(2) * shape
    sites += rng.uniform(0, 0.16) * spacing_px * rng.standard_normal(sites.shape)
    margin = 3 * spacing_px
    kept: np.ndarray = sites[((sites > -margin) & (sites < np.array(shape) + margin)).all(axis=1)]
    return kept


def _occupied(
    shape: tuple[int, int], sites: np.ndarray, diameter_px: float, rng: np.random.Generator
) -> np.ndarray:
    """Return which sites hold a particle: islands with vacancies."""
    islands = smooth_field(shape, diameter_px * rng.uniform(1.0, 4.0), rng)
    at = np.clip(np.round(sites).astype(int), 0, np.array(shape) - 1)
    filled = islands[at[:, 0], at[:, 1]] > rng.uniform(-2.5, 0.5)
    found: np.ndarray = filled & (rng.random(len(sites)) > rng.uniform(0, 0.25))
    return found
