"""Forms: quantities of many columns with their gradient, so that every average has a true error.

A quantity (a tilt, an edge, a bond) is a plain function of a few points. Its gradient with
respect to the column positions is kept as a sparse matrix G; with the columns' covariance C,
any weighted sum L of the quantity has the covariance L G C G' L' (METHODS 1.2). Neighbouring
quantities share columns, so their errors are correlated; a standard deviation over the square
root of n knows nothing of that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

_STEP = 1e-3
"""Step of the central differences, px: truncation is below 1e-7 of a bond of 10 px."""


@dataclass(frozen=True)
class Form:
    """A quantity at m places, linear in the errors of n columns.

    Parameters
    ----------
    value : (m,) float64 array
        NaN where the quantity is not known; such rows of the gradient are empty.
    gradient : (m, 2 n) CSR array
        Derivative by column positions: first all y, then all x, in px.
    noise : (2 n, 2 n) CSR array
        Covariance of the column positions, px².
    """

    value: np.ndarray
    gradient: Any
    noise: Any

    def __len__(self) -> int:
        return len(self.value)

    def covariance(self, weights: Any = None) -> np.ndarray:
        """Return the covariance of weighted sums.

        Parameters
        ----------
        weights : (k, m) array or sparse array, or (m,) array, optional
            One sum per row; each place by itself where not given.

        Returns
        -------
        (k, k) float64 array
        """
        g = self.gradient
        if weights is not None:
            rows = weights if sparse.issparse(weights) else np.atleast_2d(weights)
            g = sparse.csr_array(rows) @ g
        return np.asarray((g @ self.noise @ g.T).todense())

    @cached_property
    def se(self) -> np.ndarray:
        """(m,) standard error at each place; NaN where the value is."""
        variance = np.asarray(((self.gradient @ self.noise) * self.gradient).sum(axis=1)).ravel()
        return np.where(np.isfinite(self.value), np.sqrt(np.maximum(variance, 0)), np.nan)

    def sums(self, weights: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return (k,) weighted sums and their standard errors; weight on a NaN gives NaN."""
        rows = sparse.csr_array(weights if sparse.issparse(weights) else np.atleast_2d(weights))
        g = rows @ self.gradient
        variance = np.asarray(((g @ self.noise) * g).sum(axis=1)).ravel()
        return rows @ self.value, np.sqrt(np.maximum(variance, 0))

    def mean(self, where: np.ndarray | None = None) -> tuple[float, float]:
        """Return mean and standard error over the known places among ``where``."""
        known = np.isfinite(self.value)
        if where is not None:
            known &= where
        if not known.any():
            return np.nan, np.nan
        g = self.gradient[np.flatnonzero(known)].sum(axis=0) / known.sum()
        variance = float(g @ (self.noise @ g))
        return float(self.value[known].mean()), float(np.sqrt(max(variance, 0)))

    def take(self, rows: np.ndarray) -> Form:
        """Return the form at some places, by index or mask."""
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows)
        return Form(self.value[rows], self.gradient[rows], self.noise)

    def times(self, factor: np.ndarray | float) -> Form:
        """Return the form with each place multiplied by a known factor."""
        factor = np.broadcast_to(np.asarray(factor, np.float64), self.value.shape)
        scaled = sparse.diags_array(factor).tocsr() @ self.gradient
        return Form(self.value * factor, scaled, self.noise)


@dataclass(frozen=True)
class Nodes:
    """Points that quantities are made of: columns, and points linear in columns.

    Parameters
    ----------
    yx : (p, 2) float64 array
    weights : (p, n) CSR array
        Of which columns each point is the weighted sum (up to a constant).
    covariance : (n, 2, 2) float64 array
        Of the columns' positions, independent of each other.
    """

    yx: np.ndarray
    weights: Any
    covariance: np.ndarray

    @classmethod
    def of(cls, yx: np.ndarray, covariance: np.ndarray) -> Nodes:
        """Return the columns themselves."""
        return cls(yx, sparse.eye_array(len(yx), format="csr"), covariance)

    def with_points(self, yx: np.ndarray, weights: Any) -> Nodes:
        """Return these nodes with more points appended."""
        stacked = sparse.vstack([self.weights, sparse.csr_array(weights)], format="csr")
        return Nodes(np.vstack([self.yx, yx]), stacked, self.covariance)

    def only(self, which: Any) -> Nodes:
        """Return some of the nodes; they still know all columns."""
        return Nodes(self.yx[which], self.weights[which], self.covariance)

    @cached_property
    def noise(self) -> Any:
        """(2 n, 2 n) CSR covariance of the columns, first all y, then all x."""
        yy, yx, xx = (sparse.diags_array(self.covariance[:, *k]) for k in ((0, 0), (0, 1), (1, 1)))
        return sparse.block_array([[yy, yx], [yx, xx]], format="csr")

    @cached_property
    def own_covariance(self) -> np.ndarray:
        """(p, 2, 2) covariance of each point by itself."""
        flat = self.weights.power(2) @ self.covariance.reshape(-1, 4)
        return np.asarray(flat).reshape(-1, 2, 2)


def linearise(
    function: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    nodes: Nodes,
    index: np.ndarray,
    *,
    unbiased: bool = False,
) -> dict[str, Form]:
    """Return the quantities of a function of points with their gradients.

    Parameters
    ----------
    function : callable
        From (m, k, 2) points to (m,) arrays by name; NaN where it has no value.
    nodes : Nodes
    index : (m, k) int array
        Which nodes are the points of each place.
    unbiased : bool
        Take off the mean that the function's curvature makes of the points' errors (a length
        grows by the variance across it over twice the length), as if they were independent.

    Returns
    -------
    dict of str to Form
    """
    points = nodes.yx[index]
    value = {k: np.asarray(v, np.float64) for k, v in function(points).items()}
    slopes: dict[str, list[Any]] = {name: [] for name in value}
    for axis in (0, 1):
        parts = {name: np.zeros(index.shape) for name in value}
        for k in range(index.shape[1]):
            shift = np.zeros((index.shape[1], 2))
            shift[k, axis] = _STEP
            above, below = function(points + shift), function(points - shift)
            for name, part in parts.items():
                part[:, k] = (above[name] - below[name]) / (2 * _STEP)
        for name, part in parts.items():
            slopes[name].append(_scatter(part, index, len(nodes.yx)) @ nodes.weights)
    if unbiased:
        value = _without_curvature(function, nodes, index, value)
    return {
        name: Form(value[name], sparse.hstack(slopes[name], format="csr"), nodes.noise)
        for name in value
    }


def _scatter(part: np.ndarray, index: np.ndarray, n: int) -> Any:
    """Return the (m, n) CSR array of derivatives by node."""
    rows = np.repeat(np.arange(len(index)), index.shape[1])
    flat = np.nan_to_num(part.ravel())
    matrix = sparse.csr_array((flat, (rows, index.ravel())), shape=(len(index), n))
    # a zero left in would make an unknown error out of a column that has no part in it
    matrix.eliminate_zeros()
    return matrix


def _without_curvature(
    function: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    nodes: Nodes,
    index: np.ndarray,
    value: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Return values less half the trace of curvature times covariance."""
    points = nodes.yx[index]
    excess = {name: np.zeros(len(index)) for name in value}
    root = _roots(nodes.own_covariance)[index]  # (m, k, 2, 2)
    for k in range(index.shape[1]):
        for column in (0, 1):
            shift = np.zeros_like(points)
            shift[:, k] = root[:, k, :, column]
            above, below = function(points + shift), function(points - shift)
            for name in value:
                excess[name] += (above[name] + below[name]) / 2 - value[name]
    # a point without an error has no curvature to correct
    return {name: value[name] - np.nan_to_num(excess[name]) for name in value}


def _roots(covariance: np.ndarray) -> np.ndarray:
    """Return (p, 2, 2) Cholesky factors; zero where there is no covariance."""
    yy, yx, xx = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
    root = np.zeros_like(covariance)
    known = np.isfinite(yy + yx + xx) & (yy > 0)
    first = np.sqrt(yy[known])
    root[known, 0, 0] = first
    root[known, 1, 0] = yx[known] / first
    root[known, 1, 1] = np.sqrt(np.maximum(xx[known] - (yx[known] / first) ** 2, 0))
    return root
