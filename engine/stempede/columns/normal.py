"""Normal: the normal equations of a joint fit, their steps and their covariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.linalg import lapack
from scipy.sparse.linalg import splu

_DENSE = 4000
"""Most unknowns whose covariance is taken from one dense inverse."""

_CHUNK = 256


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

    def covariance(self) -> np.ndarray:
        """Return (n, 3, 3) covariances of y, x, intensity of each column."""
        diagonal = np.concatenate([self.local.diagonal(), np.diag(self.shape)])
        floor = self._floor(diagonal)
        size, m = len(diagonal), self.local.shape[0]
        if size <= _DENSE:
            full = np.empty((size, size))
            full[:m, :m] = self.local.toarray()
            full[:m, m:], full[m:, :m] = self.cross, self.cross.T
            full[m:, m:] = self.shape
            full[np.arange(size), np.arange(size)] += floor
            return self._own_blocks(inverse(full))
        border = np.vstack([self.cross, np.zeros((0, self.cross.shape[1]))])
        matrix = sp.block_array(
            [[self.local, border], [border.T, self.shape]], format="csc"
        ) + sp.diags_array(floor)
        return self._solved_blocks(splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A"), size)

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

    def _own_blocks(self, full: np.ndarray) -> np.ndarray:
        rows = np.arange(self.n)[:, None] + self.n * np.arange(3)
        return full[rows[:, :, None], rows[:, None, :]]

    def _solved_blocks(self, factor: object, size: int) -> np.ndarray:
        found = np.empty((self.n, 3, 3))
        rows = np.arange(self.n)[:, None] + self.n * np.arange(3)
        for first in range(0, self.n, _CHUNK):
            part = rows[first : first + _CHUNK]
            unit = np.zeros((size, part.size))
            unit[part.ravel(), np.arange(part.size)] = 1
            solved = factor.solve(unit)  # type: ignore[attr-defined]
            columns = np.arange(part.size).reshape(part.shape)
            found[first : first + _CHUNK] = solved[part[:, :, None], columns[:, None, :]]
        return found


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
