"""Starts: every node around a crystal's anchors, and where its column's fit should begin.

A tilt moves X columns across their bond, in opposite directions at neighbouring octahedra.
That staggered shift is read from the columns themselves, pooled over neighbours, and names a
second place to look at beside the node. Which of both holds is decided by the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from stempede.columns.crystal import Crystal
from stempede.columns.growth import REACH, Anchors, Candidates, nearest, predict
from stempede.columns.spectrum import Cell, grid_of

_POOL = 1.6
"""Radius in cells over which the staggered shift is pooled."""


@dataclass(frozen=True)
class Nodes:
    """Nodes of one crystal.

    Parameters
    ----------
    ij : (n, 2) float64 array
    site : (n,) int64 array
        Which site of the basis.
    place : (n, 2) float64 array
        (y, x) the lattice and the staggered shift predict.
    start : (n, 2) float64 array
        (y, x) of the likeliest column, the place where there is none.
    height : (n,) float64 array
        Counts there.
    significance : (n,) float64 array
    candidate : (n,) int64 array
        Which candidate was taken, -1 for none.
    """

    ij: np.ndarray
    site: np.ndarray
    place: np.ndarray
    start: np.ndarray
    height: np.ndarray
    significance: np.ndarray
    candidate: np.ndarray

    def __len__(self) -> int:
        return len(self.ij)

    def take(self, rows: np.ndarray) -> Nodes:
        """Return the nodes of a mask or an index."""
        return Nodes(*(v[rows] for v in vars(self).values()))


def place_nodes(anchors: Anchors, cell: Cell, candidates: Candidates, crystal: Crystal) -> Nodes:
    """Return every site within a cell of an anchor, with its likeliest column."""
    ij, site = _nodes_around(anchors.ij, crystal)
    straight = predict(anchors, cell, ij)
    lean = _lean_of(ij, site, crystal, cell)
    reach = REACH * cell.edge_px
    nodes = _matched(ij, site, straight, candidates, reach)
    for _ in range(2):
        shift = _pooled_shift(nodes, straight, lean)
        nodes = _matched(ij, site, straight + shift[:, None] * lean, candidates, reach)
    return nodes


def _nodes_around(ij: np.ndarray, crystal: Crystal) -> tuple[np.ndarray, np.ndarray]:
    cells = np.unique(np.floor(ij + 1e-6).astype(int), axis=0)
    steps = grid_of(-1, 2)
    cells = np.unique((cells[:, None, :] + steps[None]).reshape(-1, 2), axis=0)
    sites = crystal.positions()
    nodes = (cells[:, None, :] + sites[None]).reshape(-1, 2)
    site = np.tile(np.arange(len(sites)), len(cells))
    distance, _ = cKDTree(ij).query(nodes)
    near = distance < 1.05
    return nodes[near], site[near]


def _lean_of(ij: np.ndarray, site: np.ndarray, crystal: Crystal, cell: Cell) -> np.ndarray:
    """Return (n, 2) px that an X column moves per radian of the staggered tilt; 0 for others.

    The octahedron at (i, j) turns by (-1)^(i + j) times the tilt, positive from +a to +b.
    """
    a, b = cell.vectors
    bridging = np.array([s.role == "X" for s in crystal.sites])[site]
    along_a = bridging & (np.abs(ij[:, 0] % 1 - 0.5) < 0.25)
    centre = np.floor(ij + 1e-6)
    sign = np.where((centre.sum(1) % 2) == 0, 1.0, -1.0)
    lean = np.where(along_a[:, None], b / 2, -a / 2) * sign[:, None]
    return np.where(bridging[:, None], lean, 0.0)


def _pooled_shift(nodes: Nodes, straight: np.ndarray, lean: np.ndarray) -> np.ndarray:
    """Return the local staggered tilt in radians at every node, from X columns around it."""
    size = np.sum(lean**2, 1)
    use = (size > 0) & (nodes.candidate >= 0) & (nodes.significance > 2)
    if use.sum() < 3:
        return np.zeros(len(nodes))
    tilt = np.sum((nodes.start - straight)[use] * lean[use], 1) / size[use]
    weight = nodes.significance[use].clip(0, 10) ** 2
    count = min(24, int(use.sum()))
    distance, near = cKDTree(nodes.ij[use]).query(nodes.ij, k=count)
    pull = weight[near] * np.exp(-0.5 * (distance / _POOL) ** 2)
    # a fifth of a typical column of no tilt: few neighbours do not carry a node far
    return (pull * tilt[near]).sum(1) / (pull.sum(1) + 0.2 * np.median(weight))


def _matched(
    ij: np.ndarray, site: np.ndarray, place: np.ndarray, candidates: Candidates, reach: float
) -> Nodes:
    index, found = nearest(candidates, place, reach)
    found = _once(index, found, candidates, place)
    start = np.where(found[:, None], candidates.yx[index], place)
    height = np.where(found, candidates.height[index], 0.0)
    seen = np.where(found, candidates.significance[index], 0.0)
    return Nodes(ij, site, place, start, height, seen, np.where(found, index, -1))


def _once(
    index: np.ndarray, found: np.ndarray, candidates: Candidates, place: np.ndarray
) -> np.ndarray:
    """Leave a candidate that two nodes claim to the nearer one: the (n,) mask of holders."""
    off = np.where(found, np.hypot(*(candidates.yx[index] - place).T), np.inf)
    order = np.argsort(off, kind="stable")[: int(found.sum())]
    holders = order[np.unique(index[order], return_index=True)[1]]
    kept = np.zeros(len(index), bool)
    kept[holders] = True
    return kept
