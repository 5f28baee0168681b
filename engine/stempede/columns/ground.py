"""Ground: the background that columns stand on, smooth over a few cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from stempede.columns.footprint import Footprint
from stempede.columns.widths import log_slopes
from stempede_kernels import frame_fit

if TYPE_CHECKING:
    from stempede.columns.joint import Problem, State

_ROUGHNESS = 0.2
"""Neighbouring nodes differ by about this share of the background's level."""


@dataclass(frozen=True)
class Ground:
    """A bilinear surface on nodes, tied to its neighbours by a weak penalty.

    Parameters
    ----------
    penalty : (m, m) sparse array
        Precision of the differences of neighbouring nodes.
    start : (m,) float64 array
        Level before any fit.
    claims : (m,) float64 array
        Electrons of each node that columns take for theirs; see ``claimed``.
    least : float
        Lower bound of the nodes.
    nodes : (m,) int64 array
        Which nodes of the whole frame are used.
    spacing_px : float
    grid : (int, int)
        Nodes of the whole frame, down and across.
    """

    penalty: sp.csr_array
    start: np.ndarray
    claims: np.ndarray
    least: float
    nodes: np.ndarray
    spacing_px: float
    grid: tuple[int, int]

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.nodes)

    @classmethod
    def over(cls, pairs: Footprint, problem: Problem) -> Ground:
        """Return the ground under the pixels of a footprint."""
        spacing = problem.spacing_px
        grid = tuple(int(size / spacing) + 2 for size in pairs.used.shape)
        cells = frame_fit.corner_sums(pairs.used[None].astype(np.float64), spacing)[0]
        there = np.zeros(grid, bool)
        for down, across in np.ndindex(2, 2):
            part = there[down : down + grid[0] - 1, across : across + grid[1] - 1]
            part |= cells.sum(axis=(2, 3)) > 0
        nodes = np.flatnonzero(there)
        observed = problem.electrons.ravel()[pairs.flat]
        level = _level(observed, positive=problem.noise.positive)
        scale = max(abs(level), float(observed.std()) * 0.02, 1e-6)
        least = 1e-3 * scale if problem.noise.positive else -np.inf
        penalty = _differences(nodes, grid[1], _ROUGHNESS * scale)
        start = np.full(len(nodes), max(level, 10 * least) if problem.noise.positive else level)
        return cls(penalty, start, np.zeros(len(nodes)), least, nodes, spacing, (grid[0], grid[1]))

    def claimed(self, problem: Problem, state: State) -> Ground:
        """Return this ground with what columns claim of it, positions being fitted to noise.

        Each column stands where most of the electrons around it can be its own; its position's
        information tells how many of the ground's it so takes (see ``widths``).
        """
        if not problem.noise.positive:
            return self
        sigma = state.shape.sigma_px[problem.species]
        level = self.at_columns(state.ground, state.y, state.x)
        taken = -log_slopes(state.intensity, sigma, level, problem.noise, problem.window)[1]
        place, weight = self._corners(state.y, state.x)
        taken = taken * problem.moves * ~problem.held / np.maximum(weight.sum(axis=0), 1e-12)
        claims = np.bincount(place.ravel(), (weight * taken).ravel(), self.size)
        return replace(self, claims=claims)

    def prior(self, values: np.ndarray) -> tuple[float, np.ndarray, sp.dia_array]:
        """Return log density, score and information of penalty and claims at node values."""
        rough = self.penalty @ values
        if not self.claims.any():
            return -0.5 * float(values @ rough), -rough, self.penalty
        log = float(self.claims @ np.log(values)) - 0.5 * float(values @ rough)
        share = self.claims / values
        return log, share - rough, self.penalty + sp.diags_array(share / values)

    def surface(self, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Return (h, w) the level at every pixel."""
        levels = np.zeros(self.grid)
        levels.ravel()[self.nodes] = values
        return frame_fit.surface(levels, self.spacing_px, shape)

    def sums(self, images: np.ndarray) -> np.ndarray:
        """Return (k, m) sums of (k, h, w) images times what each node adds to pixels."""
        cells = frame_fit.corner_sums(images, self.spacing_px)
        found = np.zeros((len(images), *self.grid))
        for down, across in np.ndindex(2, 2):
            part = cells[..., down, across]
            found[:, down : down + part.shape[1], across : across + part.shape[2]] += part
        return found.reshape(len(images), -1)[:, self.nodes]

    def information(self, weight: np.ndarray, prior: sp.csr_array) -> sp.csr_array:
        """Return the information of the nodes, and of their penalty, for (h, w) weights."""
        cells = frame_fit.corner_products(weight, self.spacing_px)
        down, across = np.arange(cells.shape[0])[:, None], np.arange(cells.shape[1])
        first = down * self.grid[1] + across
        corner = first[:, :, None] + np.array([0, 1, self.grid[1], self.grid[1] + 1])
        known = cells[..., 0, 0] + cells[..., 3, 3] > 0
        place = np.searchsorted(self.nodes, corner[known])
        rows, columns = np.broadcast_arrays(place[:, :, None], place[:, None, :])
        where = (rows.ravel(), columns.ravel())
        size = (self.size, self.size)
        return sp.coo_array((cells[known].ravel(), where), shape=size).tocsr() + prior

    def between(self, first: np.ndarray, sums: np.ndarray) -> sp.csr_array:
        """Return (3 n, m) couplings of y, x, intensity of columns with the nodes.

        Parameters
        ----------
        first : (n, 2) int64 array
            First node, down and across, of each column's ``sums``.
        sums : (n, r, c, 3) float64 array
        """
        n, down, across = sums.shape[:3]
        step = np.arange(down)[:, None] * self.grid[1] + np.arange(across)
        node = (first @ [self.grid[1], 1])[:, None, None] + step
        column, row, place = np.nonzero(np.any(sums != 0, axis=3))
        found = np.searchsorted(self.nodes, node[column, row, place])
        values = sums[column, row, place].T
        rows = column + n * np.arange(3)[:, None]
        where = (rows.ravel(), np.tile(found, 3))
        return sp.coo_array((values.ravel(), where), shape=(3 * n, self.size)).tocsr()

    def bounded(self, values: np.ndarray) -> np.ndarray:
        """Return node values kept at or above the bound."""
        return np.maximum(values, self.least)

    def at_columns(self, values: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return the (n,) level at columns."""
        place, weight = self._corners(y, x)
        return (weight * values[place]).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-12)

    def _corners(self, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (4, n) places in ``nodes`` around points and their weights, 0 where not used."""
        across = self.grid[1]
        top, left = np.floor(y / self.spacing_px), np.floor(x / self.spacing_px)
        dy, dx = y / self.spacing_px - top, x / self.spacing_px - left
        first = (top * across + left).astype(np.int64)
        node = np.stack([first, first + 1, first + across, first + across + 1])
        weight = np.stack([(1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx])
        place = np.minimum(np.searchsorted(self.nodes, node), self.size - 1)
        return place, weight * (self.nodes[place] == node)


def _level(observed: np.ndarray, *, positive: bool) -> float:
    """Return a first level: below most of the columns' light."""
    if not positive:
        return float(np.percentile(observed, 10))
    mean = float(observed.mean())
    low = np.sort(observed)[: max(1, len(observed) // 4)].mean()
    return max(float(low), 0.1 * mean)


def _differences(nodes: np.ndarray, across: int, spread: float) -> sp.csr_array:
    """Return the precision of differences of neighbouring nodes, each of this spread."""
    pairs = []
    for step in (1, across):
        place = np.searchsorted(nodes, nodes + step)
        there = (place < len(nodes)) & (nodes[np.minimum(place, len(nodes) - 1)] == nodes + step)
        if step == 1:
            there &= nodes % across < across - 1
        pairs.append(np.stack([np.flatnonzero(there), place[there]]))
    first, second = np.concatenate(pairs, axis=1)
    rows = np.arange(len(first))
    ones = np.ones(len(first))
    difference = sp.csc_array(
        (np.concatenate([ones, -ones]), (np.tile(rows, 2), np.concatenate([first, second]))),
        shape=(len(first), len(nodes)),
    )
    return ((difference.T @ difference) / spread**2).tocsr()
