"""Ground: the background that columns stand on, smooth over a few cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from stempede.columns.footprint import Footprint

if TYPE_CHECKING:
    from stempede.columns.joint import Problem, State

_CORNERS = 4

_ROUGHNESS = 0.2
"""Neighbouring nodes differ by about this share of the background's level."""


@dataclass(frozen=True)
class Ground:
    """A bilinear surface on nodes, tied to its neighbours by a weak penalty.

    Parameters
    ----------
    matrix : (p, m) sparse array
        Values at the pixels read from those at the nodes.
    penalty : (m, m) sparse array
        Precision of the differences of neighbouring nodes.
    start : (m,) float64 array
        Level before any fit.
    least : float
        Lower bound of the nodes.
    nodes : (m,) int64 array
        Which nodes of the whole frame are used.
    spacing_px : float
    across : int
        Nodes in a row of the whole frame.
    """

    matrix: sp.csr_array
    penalty: sp.csr_array
    start: np.ndarray
    least: float
    nodes: np.ndarray
    spacing_px: float
    across: int

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.nodes)

    @classmethod
    def over(
        cls,
        pairs: Footprint,
        shape: tuple[int, int],
        spacing_px: float,
        state: State,
        problem: Problem,
    ) -> Ground:
        """Return the ground under the pixels of a footprint."""
        across = int(shape[1] / spacing_px) + 2
        node, weight = _corners(pairs.y, pairs.x, spacing_px, across)
        nodes, column = np.unique(node, return_inverse=True)
        rows = np.tile(np.arange(pairs.n_pixels), 4)
        matrix = sp.coo_array(
            (weight.ravel(), (rows, column.ravel())), shape=(pairs.n_pixels, len(nodes))
        ).tocsr()
        if problem.exposure is not None:
            matrix = scaled(matrix, problem.exposure.ravel()[pairs.flat])
        observed = problem.electrons.ravel()[pairs.flat]
        level = _level(observed, positive=problem.noise.positive)
        scale = max(abs(level), float(observed.std()) * 0.02, 1e-6)
        least = 1e-3 * scale if problem.noise.positive else -np.inf
        penalty = _differences(nodes, across, _ROUGHNESS * scale)
        start = np.full(len(nodes), max(level, 10 * least) if problem.noise.positive else level)
        return cls(matrix, penalty, start, least, nodes, spacing_px, across)

    @cached_property
    def _products(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the order of pixels by their corners, starts, corners, products of weights."""
        count = np.diff(self.matrix.indptr)
        full = np.flatnonzero(count == _CORNERS)
        nodes = self.matrix.indices[self.matrix.indptr[full][:, None] + np.arange(_CORNERS)]
        order = np.argsort(nodes[:, 0], kind="stable")
        order = order[np.lexsort((nodes[order, 3], nodes[order, 0]))]
        corners = nodes[order]
        change = np.any(corners[1:] != corners[:-1], axis=1)
        start = np.concatenate([[0], np.flatnonzero(change) + 1])
        pixel = full[order]
        values = self.matrix.data[self.matrix.indptr[pixel][:, None] + np.arange(_CORNERS)].T
        products = np.stack([values[p] * values[q] for p in range(4) for q in range(p + 1)])
        return pixel, start, corners[start], products

    def information(self, weight: np.ndarray) -> sp.csr_array:
        """Return the information of the nodes, and of their penalty, for weights of pixels."""
        pixel, start, corners, products = self._products
        sums = np.add.reduceat(products * weight[pixel], start, axis=1)
        rows, columns, values, k = [], [], [], 0
        for p in range(_CORNERS):
            for q in range(p + 1):
                rows += [corners[:, p], corners[:, q]][: 1 + (p != q)]
                columns += [corners[:, q], corners[:, p]][: 1 + (p != q)]
                values += [sums[k]] * (1 + (p != q))
                k += 1
        where = (np.concatenate(rows), np.concatenate(columns))
        size = (self.size, self.size)
        return sp.coo_array((np.concatenate(values), where), shape=size).tocsr() + self.penalty

    def bounded(self, values: np.ndarray) -> np.ndarray:
        """Return node values kept at or above the bound."""
        return np.maximum(values, self.least)

    def corners(self, y: np.ndarray, x: np.ndarray) -> sp.csr_array:
        """Return the (n, m) weights of the nodes around columns."""
        node, weight = _corners(y, x, self.spacing_px, self.across)
        place = np.minimum(np.searchsorted(self.nodes, node), self.size - 1)
        weight = weight * (self.nodes[place] == node)
        rows = np.tile(np.arange(len(y)), 4)
        return sp.coo_array(
            (weight.ravel(), (rows, place.ravel())), shape=(len(y), self.size)
        ).tocsr()

    def at_columns(self, values: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return the (n,) level at columns."""
        node, weight = _corners(y, x, self.spacing_px, self.across)
        place = np.minimum(np.searchsorted(self.nodes, node), self.size - 1)
        weight = weight * (self.nodes[place] == node)
        return (weight * values[place]).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-12)


def scaled(matrix: sp.csr_array, by: np.ndarray) -> sp.csr_array:
    """Return a matrix with each row times a number."""
    data = matrix.data * np.repeat(by, np.diff(matrix.indptr))
    return sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def _level(observed: np.ndarray, *, positive: bool) -> float:
    """Return a first level: below most of the columns' light."""
    if not positive:
        return float(np.percentile(observed, 10))
    mean = float(observed.mean())
    low = np.sort(observed)[: max(1, len(observed) // 4)].mean()
    return max(float(low), 0.1 * mean)


def _corners(
    y: np.ndarray, x: np.ndarray, spacing_px: float, across: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (4, k) nodes around points and their bilinear weights."""
    top, left = np.floor(y / spacing_px), np.floor(x / spacing_px)
    dy, dx = y / spacing_px - top, x / spacing_px - left
    first = (top * across + left).astype(np.int64)
    node = np.stack([first, first + 1, first + across, first + across + 1])
    weight = np.stack([(1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx])
    return node, weight


def _differences(nodes: np.ndarray, across: int, spread: float) -> sp.csr_array:
    """Return the precision of differences of neighbouring nodes, each of this spread."""
    pairs = []
    for step in (1, across):
        place = np.searchsorted(nodes, nodes + step)
        there = (place < len(nodes)) & (nodes[np.minimum(place, len(nodes) - 1)] == nodes + step)
        pairs.append(np.stack([np.flatnonzero(there), place[there]]))
    first, second = np.concatenate(pairs, axis=1)
    rows = np.arange(len(first))
    ones = np.ones(len(first))
    difference = sp.csc_array(
        (np.concatenate([ones, -ones]), (np.tile(rows, 2), np.concatenate([first, second]))),
        shape=(len(first), len(nodes)),
    )
    return ((difference.T @ difference) / spread**2).tocsr()
