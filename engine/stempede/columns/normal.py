"""Normal: the normal equations of a joint fit, their steps and their covariance."""

from __future__ import annotations

from dataclasses import dataclass

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
    n : int
        Columns.
    local : (m, m) sparse array
        Information of columns and ground.
    cross : (m, s) float64 array
        Between these and the shape.
    shape : (s, s) float64 array
        Of the shape.
    score : (m + s,) float64 array
    """

    n: int
    local: sp.csr_array
    cross: np.ndarray
    shape: np.ndarray
    score: np.ndarray

    def step(self, damping: np.ndarray) -> np.ndarray:
        """Solve the equations damped by (m + s,) shares of the diagonal.

        By conjugate gradients on blocks of each column.
        """
        diagonal = np.concatenate([self.local.diagonal(), np.diag(self.shape)])
        ridge = damping * diagonal + self._floor(diagonal)
        precondition = self._blocks(ridge)
        m = self.local.shape[0]

        def times(v: np.ndarray) -> np.ndarray:
            top = self.local @ v[:m] + self.cross @ v[m:]
            return np.concatenate([top, self.cross.T @ v[:m] + self.shape @ v[m:]]) + ridge * v

        return _conjugate_gradients(times, precondition, self.score)

    def position_information(self) -> np.ndarray:
        """Return (n,) information of a column's position, mean over the axes, others fixed."""
        return self.local.diagonal()[: 2 * self.n].reshape(2, self.n).mean(axis=0)

    def covariance(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return (n, 3, 3) covariances of y, x, intensity of each column.

        Large frames are cut into tiles; each is solved with the ground under it and all columns
        that stand on that ground too, what lies farther away held.

        Parameters
        ----------
        y, x : (n,) float64 array
            Where the columns stand, px.
        """
        size, m = self.local.shape[0] + len(self.shape), self.local.shape[0]
        if size <= _DENSE:
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
        return np.full(len(diagonal), 1e-10 * diagonal.max(initial=0) + 1e-300)

    def _blocks(self, ridge: np.ndarray):  # type: ignore[no-untyped-def]
        """Return the preconditioner: columns one by one, the ground, and the shape."""
        n, m = self.n, self.local.shape[0]
        own: np.ndarray = np.zeros((n, 3, 3))
        for p in range(3):
            for q in range(3):
                part = self.local[p * n : (p + 1) * n, q * n : (q + 1) * n]
                own[:, p, q] = part.diagonal()
            own[:, p, p] += ridge[p * n : (p + 1) * n]
        own = np.linalg.inv(own)
        ground = splu((self.local[3 * n :, 3 * n :] + sp.diags_array(ridge[3 * n : m])).tocsc())
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
