"""Local lattice: where a column should stand, from the columns of its kind around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_REACH = 2.3
"""Cells within which columns of one kind tell where another stands."""

_LEAST = 3


@dataclass(frozen=True)
class Predicted:
    """Places that the lattice gives.

    Parameters
    ----------
    y, x : (n,) float64 array
        px; NaN on no lattice or where nothing around was seen.
    se_px : (n,) float64 array
        Per axis: scatter of the columns around about their own predictions, and errors.
    ratio : (n,) float64 array
        Intensities around against those typical of their species.
    """

    y: np.ndarray
    x: np.ndarray
    se_px: np.ndarray
    ratio: np.ndarray


@dataclass(frozen=True)
class Known:
    """What was fitted, and which nodes are to be predicted.

    Parameters
    ----------
    crystal : (n,) int64 array
        -1 on no lattice.
    ij : (n, 2) float64 array
    yx : (n, 2) float64 array
        Fitted places, px.
    variance : (n,) float64 array
        Of these, mean over the axes, px².
    strength : (n,) float64 array
        Intensity over that typical of the species.
    seen : (n,) bool array
        Which were fitted with significance.
    which : (n,) bool array
        Nodes to predict; the others stay NaN.
    """

    crystal: np.ndarray
    ij: np.ndarray
    yx: np.ndarray
    variance: np.ndarray
    strength: np.ndarray
    seen: np.ndarray
    which: np.ndarray

    def take(self, rows: np.ndarray) -> Known:
        """Return some of the nodes."""
        return Known(*(values[rows] for values in vars(self).values()))


def predict(known: Known) -> Predicted:
    """Predict nodes from the columns around them, never from themselves.

    Columns of the same site in the cell and the same parity of cells shift alike where
    octahedra turn in a checkerboard: their mean displacement from the straight lattice gives
    that of the node. Where fewer than three were seen, all columns around give it, less well.
    """
    out = Predicted(*(np.full(len(known.yx), np.nan) for _ in range(4)))
    finite = np.isfinite(known.ij).all(axis=1)
    for c in np.unique(known.crystal[(known.crystal >= 0) & known.which]):
        rows = np.flatnonzero((known.crystal == c) & finite)
        own = known.take(rows)
        if own.seen.sum() > _LEAST:
            _of_crystal(out, rows, own)
    return out


def _of_crystal(out: Predicted, rows: np.ndarray, own: Known) -> None:
    ij = own.ij
    design = np.column_stack([np.ones(len(ij)), ij])
    straight = design @ np.linalg.lstsq(design[own.seen], own.yx[own.seen], rcond=None)[0]
    shift = own.yx - straight
    cell = np.floor(ij + 1e-6)
    place = np.rint((ij - cell) * 24) @ np.array([1, 25])
    label = place * 2 + (cell.sum(axis=1) % 2)
    for k in np.flatnonzero(own.which):
        distance2 = ((ij - ij[k]) ** 2).sum(axis=1)
        weight = np.exp(-0.5 * distance2 / (_REACH / 2) ** 2)
        weight *= own.seen & (distance2 < _REACH**2)
        weight[k] = 0
        if not weight.any():
            continue
        alike = weight * (label == label[k])
        use = alike if (alike > 0).sum() >= _LEAST else weight
        share = use / use.sum()
        mean = share @ shift
        scatter = (share @ ((shift - mean) ** 2)).mean()
        out.y[rows[k]], out.x[rows[k]] = straight[k] + mean
        # the node scatters as its kind does, and the mean is known no better than its members
        out.se_px[rows[k]] = np.sqrt(scatter * (1 + (share**2).sum()) + share**2 @ own.variance)
        out.ratio[rows[k]] = (weight @ own.strength) / weight.sum()
