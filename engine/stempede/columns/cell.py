"""Cell: edges, angle, area, strain and centring of the cells of a network, with their errors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from stempede.columns.bending import Bending
from stempede.columns.directions import Grid, crystal_lattice, role_of
from stempede.columns.forms import Form, Nodes, linearise
from stempede.columns.network import Network

_MOST_COLUMNS = 1500
"""Up to here the mean lattice's own error is part of the strains'; beyond, it is a hundredth of
theirs or less, and every strain would depend on every column."""

_CORNERS = np.array([(-1, -1), (1, -1), (-1, 1), (1, 1)])


@dataclass(frozen=True)
class Lattice:
    """Mean lattice of a crystal, fitted to its B columns; px of equal size.

    Parameters
    ----------
    origin : Nodes
        One point: where the B sublattice has (0, 0).
    vectors : Nodes
        Two points: a and b.
    bending : Bending or None
        How the B columns depart from it, where that is more than their errors.
    """

    origin: Nodes
    vectors: Nodes
    bending: Bending | None = None

    @classmethod
    def of(cls, network: Network) -> Lattice | None:
        """Fit the lattice of a network; None where its columns do not span one."""
        ij = network.ij2 / 2
        covariance = network.nodes.covariance
        rows = crystal_lattice(ij, network.seen, covariance)
        if rows is None:
            return None
        nodes = Nodes.of(network.nodes.yx[: len(ij)], covariance)
        fitted = nodes.with_points(rows @ nodes.yx, rows)
        n = len(ij)
        b = network.seen & (role_of(network.ij2) == "B")
        bending = Bending.of(ij[b], nodes.yx[b], covariance[b])
        return cls(fitted.only([n]), fitted.only([n + 1, n + 2]), bending)

    @cached_property
    def forms(self) -> dict[str, Form]:
        """``a_px b_px gamma_deg``, one place each."""
        return linearise(_lengths, self.vectors, np.array([[0, 1]]))

    @cached_property
    def se(self) -> dict[str, float]:
        """Standard errors of ``forms``, with what residuals tell of distortion.

        The columns' errors, times their scatter about a lattice that may bend, and the rms by
        which the local lattice varies over the crystal; see ``Bending``.
        """
        own = {name: float(form.se[0]) for name, form in self.forms.items()}
        if self.bending is None:
            return own
        spread = self.bending.spread(_lengths, self.vectors.yx)
        return {k: float(np.hypot(np.sqrt(self.bending.scatter) * own[k], spread[k])) for k in own}


@dataclass(frozen=True)
class Cells:
    """Cells of a crystal: four B columns seen, and the A column between them where seen.

    Parameters
    ----------
    network : Network
    ij2 : (c, 2) int array
        Twice the coordinates of each centre, in order of (i, j).
    corners : (c, 4) int array
        B columns at (i, j), (i + 1, j), (i, j + 1), (i + 1, j + 1).
    centre : (c,) int array
        A column, -1 where none was seen.
    """

    network: Network
    ij2: np.ndarray
    corners: np.ndarray
    centre: np.ndarray

    @classmethod
    def of(cls, network: Network) -> Cells:
        """Find the cells of a network."""
        found = np.flatnonzero(network.seen)
        grid = Grid(network.ij2[found])
        lookup = np.append(found, -1)
        here = found[role_of(network.ij2[found]) == "B"]
        ij2 = network.ij2[here] + 1
        corners = lookup[grid.at(ij2[:, None] + _CORNERS)]
        whole = (corners >= 0).all(axis=1)
        ij2, corners = ij2[whole], corners[whole]
        order = np.lexsort((ij2[:, 1], ij2[:, 0]))
        return cls(network, ij2[order], corners[order], lookup[grid.at(ij2[order])])

    def __len__(self) -> int:
        return len(self.corners)

    @cached_property
    def centre_yx_px(self) -> np.ndarray:
        """(c, 2) mean of the four B columns, px of the frame."""
        return self.network.nodes.yx[self.corners].mean(axis=1) / self.network.scale_yx


def cells_forms(
    cells: Cells, lattice: Lattice | None, given: np.ndarray | None = None
) -> dict[str, Form]:
    """Return what is measured of each cell, one place per cell.

    Parameters
    ----------
    cells : Cells
    lattice : Lattice or None
        Mean lattice; without one strains are null.
    given : (2, 2) float64 array, optional
        (y, x) of a and b of the lattice that strain is measured against, px of equal size, in
        any orientation: it is turned so that the mean lattice has no rotation against it. The
        mean lattice itself where not given.

    Returns
    -------
    dict of str to Form
        ``a_px b_px gamma_deg area_px2 strain_aa strain_bb strain_ab rotation_deg`` and
        ``cs_offset_y_px cs_offset_x_px``. Lengths are free of the stretch that noise makes.
    """
    nodes = cells.network.nodes
    forms = linearise(_edges, nodes, cells.corners, unbiased=True)
    forms |= linearise(_angle_and_area, nodes, cells.corners)
    forms |= _strains(cells, lattice, given)
    return forms | _centring(cells)


def _edge_pairs(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (c, 2, 2) both edges along a, and along b, of (c, 4, 2) corners."""
    return points[:, [1, 3]] - points[:, [0, 2]], points[:, [2, 3]] - points[:, [0, 1]]


def _edges(points: np.ndarray) -> dict[str, np.ndarray]:
    a, b = (np.linalg.norm(pair, axis=-1).mean(axis=1) for pair in _edge_pairs(points))
    return {"a_px": a, "b_px": b}


def _angle_and_area(points: np.ndarray) -> dict[str, np.ndarray]:
    a, b = (pair.mean(axis=1) for pair in _edge_pairs(points))
    # the diagonals' cross product is twice the area of any quadrilateral
    one, other = points[:, 3] - points[:, 0], points[:, 2] - points[:, 1]
    return {"gamma_deg": _angle_deg(a, b), "area_px2": np.abs(_cross(one, other)) / 2}


def _lengths(points: np.ndarray) -> dict[str, np.ndarray]:
    a, b = points[:, 0], points[:, 1]
    return {
        "a_px": np.linalg.norm(a, axis=-1),
        "b_px": np.linalg.norm(b, axis=-1),
        "gamma_deg": _angle_deg(a, b),
    }


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return x y' - y x' of (…, 2) vectors (y, x): positive from +x towards +y."""
    return np.asarray(one[..., 1] * other[..., 0] - one[..., 0] * other[..., 1])


def _angle_deg(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the unsigned angle between vectors."""
    return np.degrees(np.arctan2(np.abs(_cross(one, other)), (one * other).sum(axis=-1)))


def _strains(cells: Cells, lattice: Lattice | None, given: np.ndarray | None) -> dict[str, Form]:
    """Return strain and rotation against the reference, its own error included."""
    nodes = cells.network.nodes
    if lattice is None:
        none = linearise(_edges, nodes, cells.corners)["a_px"].times(np.nan)
        return dict.fromkeys(("strain_aa", "strain_bb", "strain_ab", "rotation_deg"), none)
    first = len(nodes.yx)
    weights = lattice.vectors.weights
    if weights.shape[1] > _MOST_COLUMNS:
        weights = sparse.csr_array(weights.shape)
    nodes = nodes.with_points(lattice.vectors.yx, weights)
    index = np.column_stack([cells.corners, np.full((len(cells), 2), (first, first + 1))])

    def strain(points: np.ndarray) -> dict[str, np.ndarray]:
        actual = np.stack([pair.mean(axis=1) for pair in _edge_pairs(points[:, :4])], axis=1)
        reference = points[:, 4:]
        if given is not None:
            reference = _turned(given, reference)
        return _stretch(actual, reference)

    return linearise(strain, nodes, index)


def _turned(given: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return (c, 2, 2) the given vectors, turned as the mean ones are against them."""
    angle = _polar_angle(np.linalg.inv(given) @ mean)
    c, s = np.cos(angle), np.sin(angle)
    # row vectors (y, x), turned from +x towards +y
    turn = np.stack([np.stack([c, -s], axis=-1), np.stack([s, c], axis=-1)], axis=-2)
    return np.asarray(given @ turn)


def _polar_angle(gradient: np.ndarray) -> np.ndarray:
    """Return the rotation from +x towards +y of (c, 2, 2) gradients that act on rows (y, x)."""
    g = gradient
    return np.arctan2(g[:, 1, 0] - g[:, 0, 1], g[:, 0, 0] + g[:, 1, 1])


def _stretch(actual: np.ndarray, reference: np.ndarray) -> dict[str, np.ndarray]:
    """Return strain in the reference's axes and rotation of (c, 2, 2) vectors (rows a, b)."""
    gradient = np.linalg.inv(reference) @ actual  # row @ gradient: reference to actual
    angle = _polar_angle(gradient)
    c, s = np.cos(angle), np.sin(angle)
    back = np.stack([np.stack([c, s], axis=-1), np.stack([-s, c], axis=-1)], axis=-2)
    stretch = gradient @ back - np.eye(2)  # symmetric
    along = reference[:, 0] / np.linalg.norm(reference[:, 0], axis=-1, keepdims=True)
    aside = np.stack([along[:, 1], -along[:, 0]], axis=-1)  # a quarter turn towards +y
    return {
        "strain_aa": np.einsum("ci,cij,cj->c", along, stretch, along),
        "strain_bb": np.einsum("ci,cij,cj->c", aside, stretch, aside),
        "strain_ab": np.einsum("ci,cij,cj->c", along, stretch, aside),
        "rotation_deg": np.degrees(angle),
    }


def _centring(cells: Cells) -> dict[str, Form]:
    """Return the A column against the mean of its four B columns, px of the frame."""
    known = np.where(cells.centre >= 0, 1.0, np.nan)
    centre = np.where(cells.centre >= 0, cells.centre, cells.corners[:, 0])
    scale_y, scale_x = cells.network.scale_yx

    def offset(points: np.ndarray) -> dict[str, np.ndarray]:
        y, x = (points[:, 4] - points[:, :4].mean(axis=1)).T
        return {"cs_offset_y_px": known * y / scale_y, "cs_offset_x_px": known * x / scale_x}

    return linearise(offset, cells.network.nodes, np.column_stack([cells.corners, centre]))
