"""Normal: the normal equations of a joint fit, their steps and their covariance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.linalg import lapack
from scipy.sparse.linalg import splu

_DENSE = 2500
"""Most unknowns whose covariance is taken from one dense inverse."""

_TILE = 200
"""Columns in a tile of a larger frame."""


@dataclass(frozen=True)
class Normal:
    """Information and score of a joint fit.

    Unknowns are in the order y, x, intensity of all columns, ground, shape.

    Parameters
    ----------
    own : (n, 3, 3) float64 array
        Information of each column.
    columns : (3 n, 3 n) sparse array
        Of the columns among each other.
    between : (3 n, m) sparse array
        Of columns and ground.
    under : (m, m) sparse array
        Of the ground.
    cross : (3 n + m, s) float64 array
        Between these and the shape.
    shape : (s, s) float64 array
        Of the shape.
    score : (3 n + m + s,) float64 array
    """

    own: np.ndarray
    columns: sp.csr_array
    between: sp.csr_array
    under: sp.csr_array
    cross: np.ndarray
    shape: np.ndarray
    score: np.ndarray

    @property
    def n(self) -> int:
        """Number of columns."""
        return len(self.own)

    @cached_property
    def local(self) -> sp.csr_array:
        """Information of columns and ground."""
        blocks = [[self.columns, self.between], [self.between.T, self.under]]
        return sp.block_array(blocks, format="csr")

    def step(self, damping: np.ndarray) -> np.ndarray:
        """Solve the equations damped by shares of the diagonal, one for each unknown.

        By conjugate gradients on blocks of each column.
        """
        own = self.own[:, [0, 1, 2], [0, 1, 2]].T.ravel()
        diagonal = np.concatenate([own, self.under.diagonal(), np.diag(self.shape)])
        ridge = damping * diagonal + self._floor(diagonal)
        precondition = self._blocks(ridge)
        k, m = 3 * self.n, len(self.cross)
        on_ground = self.between.T.tocsr()

        def times(v: np.ndarray) -> np.ndarray:
            columns, ground, shape = v[:k], v[k:m], v[m:]
            top = np.concatenate(
                [
                    self.columns @ columns + self.between @ ground,
                    on_ground @ columns + self.under @ ground,
                ]
            )
            bottom = self.cross.T @ v[:m] + self.shape @ shape
            return np.concatenate([top + self.cross @ shape, bottom]) + ridge * v

        return _conjugate_gradients(times, precondition, self.score)

    def position_information(self) -> np.ndarray:
        """Return (n,) information of a column's position, mean over the axes, others fixed."""
        mean: np.ndarray = 0.5 * (self.own[:, 0, 0] + self.own[:, 1, 1])
        return mean

    def covariance(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return (n, 3, 3) covariances of y, x, intensity of each column.

        Large frames are cut into tiles; each is solved with the ground under it and all columns
        that stand on that ground too, what lies farther away held.

        Parameters
        ----------
        y, x : (n,) float64 array
            Where the columns stand, px.
        """
        m = len(self.cross)
        if m + len(self.shape) <= _DENSE:
            return self._block_of(np.arange(self.n), np.arange(m))
        found = np.empty((self.n, 3, 3))
        for tile in _tiles(y, x):
            found[tile] = self._block_of(tile, self._around(tile))
        return found

    def _around(self, tile: np.ndarray) -> np.ndarray:
        """Return the unknowns of a tile, of the ground under it and of columns on that ground."""
        n = self.n
        touched = np.unique(self.local[_unknowns(tile, n)].indices)
        ground = touched[touched >= 3 * n]
        on_it = np.unique(self.local[ground].indices)
        columns = np.unique(np.concatenate([tile, touched[touched < 3 * n] % n]))
        columns = np.union1d(columns, on_it[on_it < 3 * n] % n)
        return np.concatenate([_unknowns(columns, n), ground])

    def _block_of(self, columns: np.ndarray, unknowns: np.ndarray) -> np.ndarray:
        """Return the covariances of columns among some of the unknowns and the shape."""
        m, n_shape = len(unknowns), len(self.shape)
        full = np.empty((m + n_shape, m + n_shape))
        full[:m, :m] = self.local[unknowns][:, unknowns].toarray()
        full[:m, m:] = self.cross[unknowns]
        full[m:, :m], full[m:, m:] = full[:m, m:].T, self.shape
        diagonal = np.arange(m + n_shape)
        full[diagonal, diagonal] += self._floor(full[diagonal, diagonal])
        place = np.empty(self.local.shape[0], np.int64)
        place[unknowns] = np.arange(m)
        rows = place[_unknowns(columns, self.n).reshape(3, -1).T]
        return inverse(full)[rows[:, :, None], rows[:, None, :]]

    def _floor(self, diagonal: np.ndarray) -> np.ndarray:
        """Return a ridge that no unknown notices of which anything is known.

        Each by its own size: that of widths is far above that of the intensities of bright columns.
        """
        known = diagonal > 0
        least = float(diagonal[known].min(initial=1.0)) if known.any() else 1.0
        return 1e-10 * np.where(known, diagonal, least)

    def _blocks(self, ridge: np.ndarray):  # type: ignore[no-untyped-def]
        """Return the preconditioner: columns one by one, the ground, and the shape."""
        n, m = self.n, len(self.cross)
        own = self.own.copy()
        own[:, [0, 1, 2], [0, 1, 2]] += ridge[: 3 * n].reshape(3, n).T
        own = np.linalg.inv(own)
        ground = splu((self.under + sp.diags_array(ridge[3 * n : m])).tocsc())
        shape = self.shape + np.diag(ridge[m:])

        def apply(v: np.ndarray) -> np.ndarray:
            columns = np.einsum("npq,qn->pn", own, v[: 3 * n].reshape(3, n)).ravel()
            parts = [columns, ground.solve(v[3 * n : m])]
            return np.concatenate([*parts, np.linalg.solve(shape, v[m:])])

        return apply


def _unknowns(columns: np.ndarray, n: int) -> np.ndarray:
    """Return the numbers of y, x, intensity of columns, one after the other."""
    return np.concatenate([columns, columns + n, columns + 2 * n])


def _tiles(y: np.ndarray, x: np.ndarray) -> list[np.ndarray]:
    """Return columns in groups of neighbours, cut along the longer side again and again."""
    done, open_ = [], [np.arange(len(y))]
    while open_:
        part = open_.pop()
        if len(part) <= _TILE:
            done.append(part)
            continue
        along = y if np.ptp(y[part]) > np.ptp(x[part]) else x
        order = part[np.argsort(along[part], kind="stable")]
        open_ += [order[: len(part) // 2], order[len(part) // 2 :]]
    return done


def inverse(matrix: np.ndarray) -> np.ndarray:
    """Return the inverse of a symmetric positive matrix, the pseudo-inverse where it is not."""
    factor, failed = lapack.dpotrf(matrix, lower=1)
    if failed:
        return np.linalg.pinv(matrix, hermitian=True)
    half, _ = lapack.dpotri(factor, lower=1)
    lower = np.tril(half)
    return lower + np.tril(lower, -1).T


def _conjugate_gradients(times, precondition, right: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Solve a positive system to a relative residual of 1e-6 in the preconditioned norm."""
    found = np.zeros_like(right)
    residual = right.copy()
    ahead = precondition(residual)
    direction, power = ahead.copy(), float(residual @ ahead)
    first = power
    for _ in range(200):
        if not power > 1e-12 * first:
            break
        image = times(direction)
        length = power / float(direction @ image)
        found += length * direction
        residual -= length * image
        ahead = precondition(residual)
        power, before = float(residual @ ahead), power
        direction = ahead + (power / before) * direction
    return found
