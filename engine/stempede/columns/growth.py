"""Growth: a lattice followed from a seed outwards, each node predicted from its neighbours.

The cell of the spectrum is one straight lattice for the whole frame. Scan drift, bending and
strain bend it, and another crystal ends it; so nodes are taken in ring by ring, where a
candidate lies close to the place that the nodes already taken predict.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from stempede.columns.crystal import Crystal
from stempede.columns.spectrum import Cell, grid_of

REACH = 0.2
"""Farthest a column is looked for from its predicted place, in cell edges."""
_TOLERANCE = 0.07
"""Farthest a new anchor lies from where its neighbours predict it, in cell edges: columns of
another crystal do so in one of sixteen cases, too rarely for a lattice to go on among them."""
_NEIGHBOURS = 24
_RADIUS = 2.6
"""Distance in cells up to which nodes predict each other."""
_RINGS = 200


@dataclass(frozen=True)
class Candidates:
    """Maxima of the response: (n, 2) places (y, x), (n,) counts and significance."""

    yx: np.ndarray
    height: np.ndarray
    significance: np.ndarray

    def without(self, taken: np.ndarray) -> Candidates:
        """Return the candidates whose flag in an (n,) mask is not set."""
        return Candidates(self.yx[~taken], self.height[~taken], self.significance[~taken])


@dataclass(frozen=True)
class Anchors:
    """Nodes with a candidate: (n, 2) lattice coordinates, (n, 2) places, (n,) weights."""

    ij: np.ndarray
    yx: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.ij)


def predict(anchors: Anchors, cell: Cell, ij: np.ndarray, *, radius: float = _RADIUS) -> np.ndarray:
    """Return (n, 2) places of lattice coordinates by local linear fits to the anchors.

    The displacement from the straight lattice is fitted, shrunk to the local mean where few
    anchors are near, so that extrapolation past a rim stays tame. NaN without an anchor.

    Parameters
    ----------
    anchors : Anchors
    cell : Cell
    ij : (n, 2) array
    radius : float
        Reach of the fit in cells.
    """
    if not len(anchors):
        return np.full((len(ij), 2), np.nan)
    count = min(_NEIGHBOURS, len(anchors))
    distance, near = cKDTree(anchors.ij).query(ij, k=count, distance_upper_bound=2 * radius)
    distance, near = distance.reshape(len(ij), count), near.reshape(len(ij), count)
    known = np.isfinite(distance)
    near = np.where(known, near, 0)
    shift = (anchors.yx - cell.at(anchors.ij))[near]
    weight = np.where(known, anchors.weight[near] * np.exp(-0.5 * (distance / radius) ** 2), 0.0)
    design = np.concatenate([np.ones((*near.shape, 1)), anchors.ij[near] - ij[:, None, :]], axis=2)
    normal = np.einsum("nk,nkp,nkq->npq", weight, design, design)
    # a slope is held to zero by about one anchor a cell away
    normal += np.diag([1e-9, 1.0, 1.0]) * anchors.weight.mean()
    right = np.einsum("nk,nkp,nkc->npc", weight, design, shift)
    offset = np.linalg.solve(normal, right)[:, 0]
    return np.where(known.any(1)[:, None], cell.at(ij) + offset, np.nan)


def nearest(
    candidates: Candidates, places: np.ndarray, reach_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return each place's likeliest candidate and whether there is one.

    Likeliest trades significance for distance: half the squared significance against the
    squared distance in thirds of the reach.

    Returns
    -------
    index : (n,) int64 array
        Into the candidates; 0 where there is none.
    found : (n,) bool array
    """
    if not len(candidates.yx) or not len(places):
        return np.zeros(len(places), np.int64), np.zeros(len(places), bool)
    count = min(5, len(candidates.yx))
    distance, near = cKDTree(candidates.yx).query(
        np.nan_to_num(places, nan=-1e6), k=count, distance_upper_bound=reach_px
    )
    distance, near = distance.reshape(-1, count), near.reshape(-1, count)
    known = np.isfinite(distance)
    near = np.where(known, near, 0)
    worth = candidates.significance[near].clip(0, 8) ** 2 / 2
    worth = worth - 0.5 * (np.where(known, distance, 0) / (reach_px / 3)) ** 2
    best = np.argmax(np.where(known, worth, -np.inf), axis=1)
    return near[np.arange(len(near)), best], known.any(1)


def grow(cell: Cell, candidates: Candidates, crystal: Crystal, *, least: float = 2.5) -> Anchors:
    """Follow a lattice through its brighter sites from where it is clearest.

    Parameters
    ----------
    cell : Cell
    candidates : Candidates
    crystal : Crystal
    least : float
        Significance below which a candidate is no anchor.

    Returns
    -------
    Anchors
        Empty where no seed of nodes that support each other is found.
    """
    sites = _anchor_sites(crystal)
    strong = candidates.without(candidates.significance < least)
    reach = REACH * cell.edge_px
    anchors = _seed(cell, strong, sites, reach)
    if not len(anchors):
        return anchors
    tried = anchors.ij
    for _ in range(_RINGS):
        ij = _around(anchors.ij, sites)
        ij = ij[cKDTree(tried).query(ij)[0] > 1e-6] if len(ij) else ij
        if not len(ij):
            break
        tried = np.concatenate([tried, ij])
        places = predict(anchors, cell, ij)
        index, found = nearest(strong, places, reach)
        off = np.hypot(*(strong.yx[index] - places).T)
        found &= off < _TOLERANCE * cell.edge_px
        anchors = _joined(anchors, _anchors(ij[found], strong, index[found]))
    return settled(anchors, cell)


def settled(anchors: Anchors, cell: Cell, *, rounds: int = 2) -> Anchors:
    """Drop anchors that disagree with their neighbours, by robust local residuals."""
    for _ in range(rounds):
        if len(anchors) < 6:
            return anchors
        residual = np.hypot(*(anchors.yx - predict(anchors, cell, anchors.ij)).T)
        limit = max(3.5 * 1.4826 * float(np.median(residual)) / 1.18, 0.03 * cell.edge_px)
        keep = (residual < limit) & (_support(anchors.ij) >= 2)
        anchors = Anchors(anchors.ij[keep], anchors.yx[keep], anchors.weight[keep])
    return anchors


def _anchor_sites(crystal: Crystal) -> np.ndarray:
    """Return (n, 2) fractions of the sites that tilts do not move and that are bright enough."""
    top = max(s.brightness for s in crystal.sites)
    fixed = [s for s in crystal.sites if s.role != "X" and s.brightness > 0.15 * top]
    return np.array([(s.i, s.j) for s in fixed])


def _anchors(ij: np.ndarray, candidates: Candidates, index: np.ndarray) -> Anchors:
    weight = candidates.significance[index].clip(1, 20) ** 2
    return Anchors(ij, candidates.yx[index], weight)


def _joined(first: Anchors, second: Anchors) -> Anchors:
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return Anchors(*(np.concatenate(pair) for pair in pairs))


def _seed(cell: Cell, candidates: Candidates, sites: np.ndarray, reach: float) -> Anchors:
    """Take the 3 x 3 cells whose sites have most support, if they have enough."""
    empty = Anchors(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0))
    if not len(candidates.yx):
        return empty
    span = cell.coordinates(candidates.yx)
    low, high = np.floor(span.min(0)).astype(int) - 1, np.ceil(span.max(0)).astype(int) + 1
    i, j = np.mgrid[low[0] : high[0] + 1, low[1] : high[1] + 1]
    corners = np.stack([i, j], -1).reshape(-1, 2)
    ij = (corners[:, None, :] + sites[None]).reshape(-1, 2)
    index, found = nearest(candidates, cell.at(ij), reach)
    off = np.hypot(*(candidates.yx[index] - cell.at(ij)).T) / reach
    worth = np.where(found, np.sqrt(candidates.significance[index].clip(0, 20)) * (1 - off**2), 0)
    worth = worth.reshape(*i.shape, len(sites)).sum(-1)
    around = np.zeros_like(worth)
    padded = np.pad(worth, 1)
    for di in range(3):
        for dj in range(3):
            around += padded[di : di + worth.shape[0], dj : dj + worth.shape[1]]
    centre = corners[int(np.argmax(around))]
    near = (np.abs(ij - centre - 0.25) <= 1.3).all(1) & found
    if near.sum() < 4:
        return empty
    return _anchors(ij[near], candidates, index[near])


def _around(ij: np.ndarray, sites: np.ndarray) -> np.ndarray:
    """Return the lattice coordinates of sites within about a cell of nodes, each once."""
    cells = np.unique(np.floor(ij + 1e-6).astype(int), axis=0)
    steps = grid_of(-1, 2)
    cells = np.unique((cells[:, None, :] + steps[None]).reshape(-1, 2), axis=0)
    nodes = (cells[:, None, :] + sites[None]).reshape(-1, 2)
    distance, _ = cKDTree(ij).query(nodes)
    return nodes[(distance < 1.1) & (distance > 1e-6)]


def _support(ij: np.ndarray) -> np.ndarray:
    """Return how many other nodes lie within 1.1 cells of each."""
    tree = cKDTree(ij)
    return tree.query_ball_point(ij, 1.1, return_length=True) - 1
