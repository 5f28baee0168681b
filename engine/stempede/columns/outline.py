"""Outline: which nodes of a lattice hold a column, and where the crystal ends.

A node is kept on the evidence at its own place, weighed against what its neighbours say of the
crystal there: beside many columns little is needed, out in the vacuum much. Evidence is a Bayes
factor of counts with a column against counts without, averaged over where the column may stand
and how bright it may be, so that neither the freedom to search nor a guess of the brightness
speaks for a column.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import expit, logsumexp

from stempede.backend import Backend
from stempede.columns.crystal import Crystal
from stempede.columns.response import Response
from stempede.columns.spectrum import grid_of
from stempede.columns.starts import Nodes

_POOL = 1.2
"""Radius in cells over which the local brightness is pooled."""
_SHARES = np.array([0.4, 0.6, 0.8, 1.0, 1.25])
_ODDS = np.array([0.05, 0.15, 0.3, 0.3, 0.2])
"""Brightness of a column over the expected one, and how likely each is."""
_STRAY = {"B": 0.04, "A": 0.05, "X": 0.07}
"""Typical distance per axis of a column from its predicted place, in cell edges, by role."""
_GROUND = 6.0
"""Radius over which the ground between columns is pooled, in widths: about half a cell."""
_BESIDE = 0.75
"""Distance in cells up to which nodes are neighbours."""
_MOST_EVIDENCE = 3.2
"""Log odds that a node's own counts lend it at most: however bright, a single place does not
prove that the lattice reaches it."""
_COUPLING, _LEANING = 7.0, 0.7
_MOST_LENT = 3.5
"""Log odds that neighbours lend a node: from all of them left out (-7) to all kept (7), a little
over nought where half are, and never more than 3.5, as one column in thirty may be missing."""


@dataclass(frozen=True)
class Scene:
    """What a node's counts are compared with.

    Parameters
    ----------
    filtered : (y, x) float array
        Counts of the matched filter, background included: Poisson-like sums over its area.
    ground : (y / coarse, x / coarse) float array
        What they are between columns.
    coarse : int
        Pixels along a pixel of the ground.
    sigma_px : float
    others : (m, 3) float64 array
        y, x and counts of columns of other crystals.
    """

    filtered: np.ndarray
    ground: np.ndarray
    coarse: int
    sigma_px: float
    others: np.ndarray


def scene_of(seen: Response, columns: np.ndarray, backend: Backend) -> Scene:
    """Return what the nodes of a frame's lattices are compared with.

    Parameters
    ----------
    seen : Response
    columns : (m, 2) float64 array
        Places of likely columns: the ground is read between them.
    backend : Backend
    """
    blur, xp = backend.ndimage.gaussian_filter, backend.xp
    free = _between(seen.counts.shape, columns, 2.7 * seen.sigma_px)
    free = backend.upload(free, "columns.lattice")
    coarse = max(1, int(seen.sigma_px))
    wide = _GROUND * seen.sigma_px / coarse
    weight = blur(_binned(free, coarse), wide, mode="nearest")
    mean = blur(_binned(seen.counts * free, coarse), wide, mode="nearest")
    # hardly a free pixel near: the filter's own background
    mean = xp.where(
        weight > 0.01, mean / xp.maximum(weight, 1e-6), _binned(seen.background, coarse)
    )
    floor = max(seen.shift, 0.05 * float(seen.counts.mean()), 1e-6)
    host = (backend.download(v, "columns.lattice") for v in (seen.smooth, xp.maximum(mean, floor)))
    top, ground = (v * seen.area_px2 for v in host)
    return Scene(top, ground, coarse, seen.sigma_px, np.zeros((0, 3)))


def _binned(image: Any, by: int) -> Any:
    """Return means over squares of pixels, the rows and columns left over dropped."""
    height, width = (n // by for n in image.shape)
    return image[: height * by, : width * by].reshape(height, by, width, by).mean(axis=(1, 3))


def _between(shape: tuple[int, int], columns: np.ndarray, radius: float) -> np.ndarray:
    """Return 1 where a pixel lies farther than a radius from every column, else 0."""
    free = np.ones(shape, np.float32)
    reach = int(np.ceil(radius))
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.hypot(dy, dx) <= radius
    centre = np.rint(columns).astype(int)
    y = (centre[:, :1] + dy[disc]).ravel()
    x = (centre[:, 1:] + dx[disc]).ravel()
    inside = (y >= 0) & (x >= 0) & (y < shape[0]) & (x < shape[1])
    free[y[inside], x[inside]] = 0
    return free


def expected_counts(nodes: Nodes, share: np.ndarray, crystal: Crystal) -> np.ndarray:
    """Return (n,) counts that a column would have: its species' typical ones, locally scaled.

    Parameters
    ----------
    nodes : Nodes
    share : (n,) float64 array
        Probability that a node holds a column.
    crystal : Crystal
    """
    site = np.array([crystal.species.index(s.species) for s in crystal.sites])[nodes.site]
    kept = (share > 0.5) & (nodes.height > 0)
    brightness = np.array(
        [next(s.brightness for s in crystal.sites if s.species == n) for n in crystal.species]
    )
    typical = np.array([_median(nodes.height[kept & (site == s)]) for s in range(len(brightness))])
    unit = _median(typical / brightness)
    typical = np.where(typical > 0, typical, unit * brightness)[site]
    if not kept.any():
        return typical
    count = min(20, int(kept.sum()))
    distance, near = cKDTree(nodes.ij[kept]).query(nodes.ij, k=count)
    distance, near = distance.reshape(len(nodes), count), near.reshape(len(nodes), count)
    # a node's own counts are what is judged
    weight = np.where(distance > 0, np.exp(-0.5 * (distance / _POOL) ** 2), 0.0)
    # as much of the crystal's mean as a bright column beside it would weigh
    rest = np.median(typical[kept])
    total = (weight * typical[kept][near]).sum(1) + rest
    found = (weight * nodes.height[kept][near]).sum(1) + rest
    return typical * np.clip(found / total, 0.35, 2.0)


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.median(values)) if len(values) else 0.0


def log_evidence(
    nodes: Nodes,
    share: np.ndarray,
    want: np.ndarray,
    scene: Scene,
    crystal: Crystal,
    edge_px: float,
) -> np.ndarray:
    """Return (n,) log Bayes factors of a column at each node against none.

    Parameters
    ----------
    nodes : Nodes
    share : (n,) float64 array
        Probability that each node holds a column: what it adds to its neighbours' counts.
    want : (n,) float64 array
        Expected counts.
    scene : Scene
    crystal : Crystal
    edge_px : float
    """
    stray = np.array([_STRAY[s.role] for s in crystal.sites])[nodes.site] * edge_px
    step = grid_of(-3, 4) * 0.7
    prior = -0.5 * np.sum(step**2, 1)
    prior -= logsumexp(prior)
    place = nodes.place[:, None, :] + step[None] * stray[:, None, None]
    counts = _sampled(scene.filtered, place)
    ground = _sampled(scene.ground, (place + 0.5) / scene.coarse - 0.5) + _spill(
        nodes, share, scene, place
    )
    bright = want[:, None, None] * _SHARES
    gain = counts[..., None] * np.log1p(bright / ground[..., None]) - bright
    return logsumexp(gain + prior[None, :, None] + np.log(_ODDS), axis=(1, 2))


def _sampled(image: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return an image at the pixels nearest to (n, p, 2) places; the rim's beyond it."""
    y = np.rint(place[..., 0]).astype(int).clip(0, image.shape[0] - 1)
    x = np.rint(place[..., 1]).astype(int).clip(0, image.shape[1] - 1)
    return image[y, x].astype(np.float64)


def _spill(nodes: Nodes, share: np.ndarray, scene: Scene, place: np.ndarray) -> np.ndarray:
    """Return the counts that other columns add to the filter at (n, p, 2) places."""
    known = np.concatenate([nodes.start, scene.others[:, :2]])
    counts = np.concatenate([share * nodes.height.clip(0), scene.others[:, 2]])
    count = min(6, len(known))
    _, near = cKDTree(known).query(nodes.place, k=count)
    near = near.reshape(len(nodes), count)
    own = near == np.arange(len(nodes))[:, None]
    square = np.sum((place[:, None, :, :] - known[near][:, :, None, :]) ** 2, -1)
    light = np.where(own, 0.0, counts[near])[:, :, None]
    return np.sum(light * np.exp(-square / (4 * scene.sigma_px**2)), 1)


def outline(nodes: Nodes, scene: Scene, crystal: Crystal, *, edge_px: float) -> np.ndarray:
    """Return the (n,) probability that each node holds a column.

    Parameters
    ----------
    nodes : Nodes
    scene : Scene
    crystal : Crystal
    edge_px : float
    """
    height, width = scene.filtered.shape
    share = expit(nodes.significance**2 / 2 - 6)
    beyond = (nodes.place < -0.5) | (nodes.place > np.array([height, width]) - 0.5)
    links = cKDTree(nodes.ij).query_pairs(_BESIDE, output_type="ndarray")
    links = np.concatenate([links, links[:, ::-1]])
    most = _neighbours(crystal)[nodes.site]
    for _ in range(3):
        want = expected_counts(nodes, share, crystal)
        evidence = log_evidence(nodes, share, want, scene, crystal, edge_px)
        evidence = np.where(beyond.any(1), -50.0, np.minimum(evidence, _MOST_EVIDENCE))
        for _ in range(12):
            around = np.bincount(links[:, 0], share[links[:, 1]], minlength=len(nodes)) / most
            lent = (_LEANING + _COUPLING * (2 * around - 1)).clip(-_MOST_LENT, _MOST_LENT)
            share = expit(evidence + lent)
    return share


def _neighbours(crystal: Crystal) -> np.ndarray:
    """Return how many sites lie beside each site of the basis in an endless crystal, at least 1."""
    sites = crystal.positions()
    around = (sites[:, None, :] + grid_of(-1, 2)[None]).reshape(-1, 2)
    distance = np.hypot(*(sites[:, None, :] - around[None]).transpose(2, 0, 1))
    return np.maximum(((distance > 1e-6) & (distance < _BESIDE)).sum(1), 1)


def in_one_piece(nodes: Nodes, kept: np.ndarray, least: int) -> np.ndarray:
    """Return the mask of kept nodes that belong to a piece of at least some nodes."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = cKDTree(nodes.ij).query_pairs(_BESIDE, output_type="ndarray")
    links = links[kept[links].all(1)]
    n = len(nodes)
    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(n, n))
    _, piece = connected_components(graph, directed=False)
    size = np.bincount(piece[kept], minlength=piece.max(initial=0) + 1)
    return kept & (size[piece] >= least)


def beside(scene: Scene, starts: list[Nodes]) -> Scene:
    """Return the scene with the columns of crystals found before."""
    if not starts:
        return scene
    others = [np.concatenate([n.start, n.height[:, None]], 1) for n in starts]
    return replace(scene, others=np.concatenate(others))
