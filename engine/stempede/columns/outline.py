"""Outline: which nodes of a lattice hold a column, and where the crystal ends.

A node is kept on the evidence at its own place, weighed against what its neighbours say of the
crystal there: next to many columns little is needed, out in the vacuum much.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from stempede.columns.crystal import Crystal
from stempede.columns.starts import Nodes

_POOL = 1.2
_LEAST_SHARE = 0.3
"""Least intensity of a column over what its species and neighbours let expect."""


def expected_counts(nodes: Nodes, kept: np.ndarray, crystal: Crystal) -> np.ndarray:
    """Return (n,) counts that a column would have: its species' typical ones, locally scaled."""
    site = np.array([crystal.species.index(s.species) for s in crystal.sites])[nodes.site]
    typical = np.array(
        [_median(nodes.height[kept & (site == s)]) for s in range(len(crystal.species))]
    )
    brightness = np.array(
        [next(s.brightness for s in crystal.sites if s.species == n) for n in crystal.species]
    )
    unit = _median(typical / brightness)
    typical = np.where(typical > 0, typical, unit * brightness)[site]
    use = kept & (nodes.height > 0)
    if not use.any():
        return typical
    count = min(20, int(use.sum()))
    distance, near = cKDTree(nodes.ij[use]).query(nodes.ij, k=count)
    distance, near = distance.reshape(len(nodes), count), near.reshape(len(nodes), count)
    weight = np.exp(-0.5 * (distance / _POOL) ** 2)
    total = (weight * typical[use][near]).sum(1) + 2 * np.median(typical)
    found = (weight * nodes.height[use][near]).sum(1) + 2 * np.median(typical)
    return typical * np.clip(found / total, 0.2, 3.0)


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.median(values)) if len(values) else 0.0


def outline(nodes: Nodes, crystal: Crystal) -> np.ndarray:
    """Return the (n,) mask of the nodes that hold a column."""
    kept = nodes.significance > 3
    for _ in range(6):
        want = expected_counts(nodes, kept, crystal)
        own = np.where(nodes.height > _LEAST_SHARE * want, nodes.significance, 0.0)
        support = _support(nodes.ij, kept)
        now = own > 1.5 + 4.0 * (1 - support) ** 2
        now &= support > 0.2
        if np.array_equal(now, kept):
            break
        kept = now
    return kept


def _support(ij: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the share of the (up to eight) nodes within a cell that are kept."""
    pairs = cKDTree(ij).query_pairs(0.75, output_type="ndarray")
    both = np.concatenate([pairs, pairs[:, ::-1]])
    return np.bincount(both[:, 0], kept[both[:, 1]].astype(float), minlength=len(ij)) / 8
