"""Vectors: the straight lattice of each crystal, from its fitted columns."""

from __future__ import annotations

import numpy as np

from stempede.columns.crystal import Crystal
from stempede.tables import Table

_VECTORS = ("origin_y_px", "origin_x_px", "a_y_px", "a_x_px", "b_y_px", "b_x_px")


def refined(columns: Table, crystals: Table, cell: Crystal) -> tuple[Table, Table]:
    """Return columns and crystals with vectors and numbering from the fitted columns.

    Vectors are weighted least squares over all columns seen, B columns alone where they span
    the plane. The origin moves to the B site nearest the centroid of the accepted columns; the
    lattice coordinates of the crystal's columns move with it. Crystals of fewer than four
    columns seen stay as they are.

    Parameters
    ----------
    columns, crystals : Table
        Of any number of frames.
    cell : Crystal
    """
    fields = {name: crystals[name].copy() for name in (*_VECTORS, "y_px", "x_px")}
    fields |= {name: crystals[name].copy() for name in ("n_columns", "n_inferred")}
    i, j = columns["i"].copy(), columns["j"].copy()
    state = np.array([str(s) for s in columns["state"]])
    centre = np.array([str(s) for s in columns["species"]]) == cell.named("B")
    for row in range(len(crystals)):
        own = columns["frame"] == crystals["frame"][row]
        own &= columns["crystal"] == crystals["crystal"][row]
        kept = own & columns["accepted"]
        inferred = kept & (state == "INFERRED")
        seen = kept & ~inferred & np.isfinite(i) & np.isfinite(columns["se_y_px"])
        fields["n_columns"][row], fields["n_inferred"][row] = seen.sum(), inferred.sum()
        if seen.sum() < 4:
            continue
        shift = _nearest_centre(columns, np.column_stack([i, j]), kept, centre)
        i[own] -= shift[0]
        j[own] -= shift[1]
        found = _straight(columns, np.column_stack([i, j]), seen, seen & centre)
        if found is not None:
            for name, value in zip(_VECTORS, found.ravel(), strict=True):
                fields[name][row] = value
        fields["y_px"][row] = columns["y_px"][kept].mean()
        fields["x_px"][row] = columns["x_px"][kept].mean()
    return columns.with_columns({"i": i, "j": j}), crystals.with_columns(fields)


def _nearest_centre(
    columns: Table, ij: np.ndarray, kept: np.ndarray, centre: np.ndarray
) -> np.ndarray:
    """Return the coordinates of the B column nearest the centroid."""
    which = np.flatnonzero(kept & centre)
    if not len(which):
        return np.zeros(2)
    yx = np.column_stack([columns["y_px"], columns["x_px"]])
    away = np.hypot(*(yx[which] - yx[kept].mean(axis=0)).T)
    return np.rint(ij[which[int(np.argmin(away))]])


def _straight(
    columns: Table, ij: np.ndarray, seen: np.ndarray, centres: np.ndarray
) -> np.ndarray | None:
    """Return (3, 2) origin, a and b in (y, x); None where the columns stand in a line."""
    for which in (centres, seen):
        design = np.column_stack([np.ones(int(which.sum())), ij[which]])
        if len(design) < 4 or np.linalg.matrix_rank(design) < 3:
            continue
        yx = np.column_stack([columns["y_px"], columns["x_px"]])[which]
        # columns differ by less in error than by how they depart from a straight lattice
        found: np.ndarray = np.linalg.lstsq(design, yx, rcond=None)[0]
        return found
    return None
