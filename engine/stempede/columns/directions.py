"""Directions: the lattice vectors of a crystal and of each site's surroundings, as sums of columns.

Where a site lacks a neighbour, its bond is measured against the smoothed local lattice, a and
b each on its own: a + 90 degrees would be (gamma - 90)/2 off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

_RADIUS = 3
_WIDTH_CELLS = 1.5
"""Local lattice: a plane through the sites within three cells, weighted by a Gaussian."""

_LEAST_SPREAD = 0.02
"""Least variance (cells², weighted) of the sites along each axis that carry a direction."""


class Grid:
    """Finds columns by their lattice coordinates.

    Parameters
    ----------
    ij2 : (n, 2) int array
        Twice (i, j). Of two columns at one place the first is found.
    """

    def __init__(self, ij2: np.ndarray) -> None:
        self._low = ij2.min(axis=0, initial=0)
        self._high = ij2.max(axis=0, initial=0)
        keys = self._key(ij2)
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def _key(self, ij2: np.ndarray) -> np.ndarray:
        width = self._high[1] - self._low[1] + 1
        return (ij2[..., 0] - self._low[0]) * width + ij2[..., 1] - self._low[1]

    def at(self, ij2: np.ndarray) -> np.ndarray:
        """Return (...) column numbers at (..., 2) doubled coordinates, -1 where there is none."""
        if not len(self._keys):
            return np.full(ij2.shape[:-1], -1)
        key = self._key(ij2)
        place = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        inside = ((ij2 >= self._low) & (ij2 <= self._high)).all(axis=-1)
        return np.where(inside & (self._keys[place] == key), self._order[place], -1)


@dataclass(frozen=True)
class Vectors:
    """Lattice vectors a and b at m places: weighted sums of columns, or constants.

    Parameters
    ----------
    weights_a, weights_b : (m, n) CSR array
    constant_a, constant_b : (m, 2) float64 array
        (y, x) of vectors that no columns carry; zero elsewhere, NaN where nothing is known.
    """

    weights_a: Any
    weights_b: Any
    constant_a: np.ndarray
    constant_b: np.ndarray


def mean_lattice(ij: np.ndarray, weight: np.ndarray) -> np.ndarray | None:
    """Return (3, n) weights of the least-squares lattice: origin, a and b as sums of columns.

    Each sublattice keeps its own offset, so that cations off their centre do not lean the
    lattice. The origin is where the B sublattice puts (0, 0).

    Parameters
    ----------
    ij : (n, 2) float64 array
        Lattice coordinates, multiples of a half.
    weight : (n,) float64 array
        Zero leaves a column out.

    Returns
    -------
    (3, n) float64 array or None
        None where the columns do not span the lattice.
    """
    used = np.flatnonzero(weight > 0)
    if not len(used):
        return None
    half = np.rint(2 * ij[used]).astype(np.int64) % 2
    kind = half[:, 0] * 2 + half[:, 1]
    kinds = np.unique(kind)
    design = np.column_stack([kind[:, None] == kinds, ij[used]]).astype(np.float64)
    root = np.sqrt(weight[used])
    if np.linalg.matrix_rank(design * root[:, None]) < design.shape[1]:
        return None
    solved = np.linalg.pinv(design * root[:, None]) * root
    rows = np.zeros((3, len(ij)))
    # B is the first kind: both of its coordinates are whole
    rows[:, used] = solved[[0, -2, -1]]
    return rows


def crystal_lattice(ij: np.ndarray, seen: np.ndarray, covariance: np.ndarray) -> np.ndarray | None:
    """Return the ``mean_lattice`` of a crystal, from its B columns where they span it.

    A columns stand half a cell further out, and would weigh the rim of an uneven crystal
    differently: they help only where B alone does not span the lattice, weighted by one over
    each sublattice's typical variance. X columns stand aside by the tilt, which does not cancel
    at the rim.
    """
    role = role_of(np.rint(2 * ij).astype(np.int64))
    variance = np.trace(covariance, axis1=1, axis2=2)
    for roles in ("B", "BA"):
        weight = np.zeros(len(ij))
        for name in roles:
            here = seen & (role == name)
            known = here & np.isfinite(variance) & (variance > 0)
            weight[here] = 1 / np.median(variance[known]) if known.any() else 1.0
        rows = mean_lattice(ij, weight)
        if rows is not None:
            return rows
    return None


def role_of(ij2: np.ndarray) -> np.ndarray:
    """Return (n,) roles by doubled coordinates: B both whole, A both half, X one of them."""
    odd = ij2 % 2 != 0
    return np.where(odd.all(axis=1), "A", np.where(odd.any(axis=1), "X", "B"))


def local_vectors(
    ij2: np.ndarray,
    seen_b: np.ndarray,
    places: np.ndarray,
    spare: np.ndarray | None,
    given: np.ndarray,
) -> Vectors:
    """Return the smoothed lattice vectors around B sites.

    Parameters
    ----------
    ij2 : (n, 2) int array
        Doubled lattice coordinates of all columns.
    seen_b : (n,) bool array
        B columns that were seen.
    places : (m,) int array
        B columns around which vectors are wanted.
    spare : (3, n) float64 array or None
        Mean lattice of the crystal, for surroundings that do not span it.
    given : (2, 2) float64 array
        (y, x) of a and b for crystals that do not span it either; may be NaN.
    """
    rows = np.flatnonzero(seen_b)
    grid = Grid(ij2[rows])
    reach = np.arange(-_RADIUS, _RADIUS + 1)
    steps = np.stack(np.meshgrid(reach, reach, indexing="ij"), axis=-1).reshape(-1, 2)
    steps = steps[(steps**2).sum(axis=1) <= _RADIUS**2]
    found = grid.at(ij2[places][:, None] + 2 * steps)  # (m, k)
    weight = np.exp(-(steps**2).sum(axis=1) / (2 * _WIDTH_CELLS**2)) * (found >= 0)
    total = np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    centred = steps - (weight[:, :, None] * steps).sum(axis=1, keepdims=True) / total[:, :, None]
    scatter = np.einsum("mk,mka,mkb->mab", weight, centred, centred)
    spans = np.linalg.eigvalsh(scatter / total[:, :, None])[:, 0] > _LEAST_SPREAD
    inverse = np.linalg.inv(np.where(spans[:, None, None], scatter, np.eye(2)))
    both = np.einsum("mk,mka,mab->mkb", weight, centred, inverse)
    columns = rows[np.where(found >= 0, found, 0)] if len(rows) else np.zeros_like(found)
    sums = []
    constants = np.zeros((2, len(places), 2))
    for axis in (0, 1):
        keep = spans[:, None] & (found >= 0)
        at = np.nonzero(keep)
        matrix = sparse.csr_array(
            (both[:, :, axis][keep], (at[0], columns[keep])), shape=(len(places), len(ij2))
        )
        if spare is not None:
            alone = sparse.csr_array((~spans)[:, None].astype(np.float64))
            matrix = matrix + alone @ sparse.csr_array(spare[1 + axis][None])
        else:
            constants[axis, ~spans] = given[axis]
        sums.append(sparse.csr_array(matrix))
    return Vectors(sums[0], sums[1], constants[0], constants[1])
