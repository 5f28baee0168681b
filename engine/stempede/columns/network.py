"""Network: the octahedra of one crystal as forms of its columns.

The tilt of a B site (Pb) is the mean, over the X columns seen, of the signed angle from the
direction to its own neighbouring B to the direction to the X between them, positive from +x
towards +y. Where that neighbour was not seen, the direction is the smoothed local lattice's.

Positions are in px of equal size along y and x: where a frame's calibration tells different
pixel sizes, coordinates are scaled to their geometric mean first, so that every angle is the
specimen's; without a calibration pixels count as square.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from stempede.columns.directions import Grid, crystal_lattice, local_vectors, role_of
from stempede.columns.forms import Form, Nodes, linearise
from stempede.tables import Table

STEPS = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])
"""The four neighbours of a B site, in (i, j): +a, +b, -a, -b."""

LEAST_X = 2
"""X columns that a tilt wants at least."""

UNKNOWN = np.full((2, 2), np.nan)


@dataclass(frozen=True)
class Network:
    """Columns of one crystal, joined to octahedra.

    Parameters
    ----------
    rows : (n,) int array
        Rows of the columns table, those of this crystal that are accepted.
    ij2 : (n, 2) int array
        Twice the lattice coordinates.
    nodes : Nodes
        The n columns, then one point for each neighbour that had to be stood in for.
    seen : (n,) bool array
        Fitted, not inferred from the lattice.
    sites : (s,) int array
        B columns (numbers within ``rows``), in order of (i, j).
    x : (s, 4) int array
        X columns seen towards +a, +b, -a, -b; -1 where none was.
    b : (s, 4) int array
        Neighbouring B columns seen; -1 where none was.
    towards : (s, 4) int array
        Node that the direction of each bond leads to: the neighbour or its stand-in, else -1.
    scale_yx : (2,) float64 array
        Px of equal size per px.
    """

    rows: np.ndarray
    ij2: np.ndarray
    nodes: Nodes
    seen: np.ndarray
    sites: np.ndarray
    x: np.ndarray
    b: np.ndarray
    towards: np.ndarray
    scale_yx: np.ndarray

    @classmethod
    def of(
        cls,
        columns: Table,
        rows: Any = None,
        *,
        pixel_size_yx_nm: Any = None,
        vectors_yx_px: np.ndarray = UNKNOWN,
    ) -> Network:
        """Join the columns of one crystal.

        Parameters
        ----------
        columns : Table
            Fitted columns.
        rows : (k,) bool or int array, optional
            Which rows are the crystal's; all where not given.
        pixel_size_yx_nm : (float, float), optional
            Pixel size along y and x; only its ratio counts here.
        vectors_yx_px : (2, 2) array
            (y, x) of a and b in px: used for crystals whose columns do not span the lattice.
        """
        rows = np.arange(len(columns)) if rows is None else np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        rows = _usable(columns, rows)
        scale = equal_pixels(pixel_size_yx_nm)
        yx = np.column_stack([columns["y_px"][rows], columns["x_px"][rows]]) * scale
        covariance = _covariance(columns, rows) * np.outer(scale, scale)
        ij = np.column_stack([columns["i"][rows], columns["j"][rows]])
        ij2 = np.rint(2 * ij).astype(np.int64).reshape(-1, 2)
        seen = np.asarray(columns["state"][rows] == "CONVERGED")
        role = role_of(ij2)
        sites = np.flatnonzero(role == "B")
        sites = sites[np.lexsort((ij2[sites, 1], ij2[sites, 0]))]
        found = np.flatnonzero(seen)
        grid = Grid(ij2[found])
        lookup = np.append(found, -1)
        x = lookup[grid.at(ij2[sites][:, None] + STEPS)]
        b = lookup[grid.at(ij2[sites][:, None] + 2 * STEPS)]
        nodes = Nodes.of(yx, covariance)
        nodes, towards = _stand_ins(
            nodes, ij2, seen, sites, x=x, b=b, given=np.asarray(vectors_yx_px) * scale
        )
        return cls(rows, ij2, nodes, seen, sites, x, b, towards, scale)

    def __len__(self) -> int:
        return len(self.sites)

    @property
    def i(self) -> np.ndarray:
        """(s,) lattice coordinate along a of each site."""
        return self.ij2[self.sites, 0] // 2

    @property
    def j(self) -> np.ndarray:
        """(s,) lattice coordinate along b of each site."""
        return self.ij2[self.sites, 1] // 2

    @property
    def parity(self) -> np.ndarray:
        """(s,) float64 (-1)^(i + j): fixed by the lattice's origin, never by a tilt."""
        return 1.0 - 2.0 * ((self.i + self.j) % 2)

    @cached_property
    def bonds(self) -> np.ndarray:
        """(s, 4) bool: X seen, with a direction to measure it from, within 45 degrees of it."""
        known = (self.x >= 0) & (self.towards >= 0) & self.seen[self.sites][:, None]
        points = self.nodes.yx[self.index]
        with np.errstate(invalid="ignore"):
            return known & (np.abs(bond_angles_deg(points)) <= 45)

    @cached_property
    def n_x(self) -> np.ndarray:
        """(s,) X columns seen of each site."""
        return (self.x >= 0).sum(axis=1)

    @cached_property
    def index(self) -> np.ndarray:
        """(s, 9) nodes of each octahedron: B, four X, four neighbours; B itself for a missing one.

        A missing X is its neighbour's node, so that its bond has an angle of zero (and no weight).
        """
        own = np.broadcast_to(self.sites[:, None], self.x.shape)
        towards = np.where(self.towards >= 0, self.towards, own)
        x = np.where(self.x >= 0, self.x, towards)
        return np.column_stack([self.sites, x, towards])

    @cached_property
    def tilt(self) -> Form:
        """Tilt of each site, degrees, NaN with fewer than two bonds."""
        weight = np.where(self.bonds, 1.0, 0.0)
        few = weight.sum(axis=1) < LEAST_X
        weight = np.where(few[:, None], np.nan, weight) / np.maximum(weight.sum(axis=1), 1)[:, None]

        def tilt(points: np.ndarray) -> dict[str, np.ndarray]:
            return {"tilt": (weight * np.nan_to_num(bond_angles_deg(points))).sum(axis=1)}

        return linearise(tilt, self.nodes, self.index)["tilt"]

    @cached_property
    def staggered(self) -> Form:
        """Tilt times parity."""
        return self.tilt.times(self.parity)

    @property
    def tilt_deg(self) -> np.ndarray:
        """(s,) float64."""
        return self.tilt.value

    @property
    def staggered_tilt_deg(self) -> np.ndarray:
        """(s,) float64."""
        return self.staggered.value

    @property
    def gradient(self) -> Any:
        """(s, 2 n) CSR derivative of the tilts by the columns' y, then x."""
        return self.tilt.gradient

    def covariance(self, weights: Any = None) -> np.ndarray:
        """Return L G C G' L' of the tilts, degrees²; without weights that of every site."""
        return self.tilt.covariance(weights)

    def find(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Return the site at whole lattice coordinates, -1 where there is none."""
        ij = np.column_stack([np.rint(i), np.rint(j)]).astype(np.int64)
        return Grid(np.column_stack([self.i, self.j])).at(ij)

    @cached_property
    def neighbours(self) -> np.ndarray:
        """(s, 4) neighbouring sites, seen or not; -1 where there is none."""
        return Grid(np.column_stack([self.i, self.j])).at(
            np.column_stack([self.i, self.j])[:, None] + STEPS
        )

    def form(
        self,
        function: Callable[[np.ndarray], Mapping[str, np.ndarray]],
        index: np.ndarray,
        *,
        unbiased: bool = False,
    ) -> dict[str, Form]:
        """Return quantities of some of the network's nodes: see ``forms.linearise``."""
        return linearise(function, self.nodes, index, unbiased=unbiased)


def bond_angles_deg(points: np.ndarray) -> np.ndarray:
    """Return (s, 4) signed angles from B-to-neighbour to B-to-X, in (-180, 180].

    Parameters
    ----------
    points : (s, 9, 2) float64 array
        B, four X, four neighbours.
    """
    bond = points[:, 1:5] - points[:, :1]
    edge = points[:, 5:9] - points[:, :1]
    across = edge[..., 1] * bond[..., 0] - edge[..., 0] * bond[..., 1]
    return np.degrees(np.arctan2(across, (edge * bond).sum(axis=-1)))


def equal_pixels(pixel_size_yx_nm: Any) -> np.ndarray:
    """Return (2,) factors that make pixels square, of their geometric mean; 1 if unknown."""
    if pixel_size_yx_nm is None:
        return np.ones(2)
    size = np.asarray(pixel_size_yx_nm, np.float64)
    return size / np.sqrt(size.prod()) if np.isfinite(size).all() else np.ones(2)


def _usable(columns: Table, rows: np.ndarray) -> np.ndarray:
    """Return accepted rows with a position on the lattice; of two at one place the clearer one."""
    fields = ("y_px", "x_px", "i", "j")
    finite = np.isfinite([columns[name][rows] for name in fields]).all(axis=0)
    rows = rows[finite & columns["accepted"][rows]]
    rows = rows[np.argsort(-np.nan_to_num(columns["significance"][rows]), kind="stable")]
    ij2 = np.rint(2 * np.column_stack([columns["i"][rows], columns["j"][rows]]))
    return rows[np.sort(np.unique(ij2, axis=0, return_index=True)[1])]


def _covariance(columns: Table, rows: np.ndarray) -> np.ndarray:
    """Return (n, 2, 2) covariance of (y, x), px²."""
    covariance = np.empty((len(rows), 2, 2))
    covariance[:, 0, 0] = columns["se_y_px"][rows] ** 2
    covariance[:, 1, 1] = columns["se_x_px"][rows] ** 2
    covariance[:, 0, 1] = covariance[:, 1, 0] = np.nan_to_num(columns["cov_yx_px2"][rows])
    return covariance


def _stand_ins(
    nodes: Nodes,
    ij2: np.ndarray,
    seen: np.ndarray,
    sites: np.ndarray,
    *,
    x: np.ndarray,
    b: np.ndarray,
    given: np.ndarray,
) -> tuple[Nodes, np.ndarray]:
    """Return nodes with a point for each neighbour that a bond lacks, and (s, 4) node numbers."""
    towards = b.copy()
    lacking = (x >= 0) & (b < 0) & seen[sites][:, None]
    places = np.flatnonzero(lacking.any(axis=1))
    if not len(places):
        return nodes, towards
    spare = crystal_lattice(ij2 / 2, seen, nodes.covariance)
    seen_b = seen & (role_of(ij2) == "B")
    vectors = local_vectors(ij2, seen_b, sites[places], spare, given)
    own = sparse.eye_array(len(ij2), format="csr")[sites[places]]
    for k, (along_a, along_b) in enumerate(STEPS):
        here = lacking[places, k]
        weights = own + along_a * vectors.weights_a + along_b * vectors.weights_b
        shift = along_a * vectors.constant_a + along_b * vectors.constant_b
        weights = sparse.csr_array(weights)[np.flatnonzero(here)]
        points = weights @ nodes.yx[: len(ij2)] + shift[here]
        known = np.isfinite(points).all(axis=1)
        towards[places[here][known], k] = len(nodes.yx) + np.arange(known.sum())
        nodes = nodes.with_points(points[known], weights[np.flatnonzero(known)])
    return nodes, towards
