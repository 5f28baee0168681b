"""Cells: one row per unit cell of four Pb, and the mean lattice of each crystal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stempede.columns.cell import Cells, Lattice, cells_forms
from stempede.columns.octahedra import crystal_networks, with_errors
from stempede.columns.tables import CELLS
from stempede.errors import RecipeError
from stempede.frames import Batch
from stempede.tables import Table

_KEY = ("frame", "crystal")
_VECTORS = tuple(f"{v}_{c}_px" for v in ("origin", "a", "b") for c in "yx")
_SIZES = ("a_px", "b_px", "a_nm", "b_nm", "gamma_deg")
_UPDATED = ("n_cells", "u_cal_rel", *_VECTORS, *_SIZES, *(f"se_{name}" for name in _SIZES))
_BARE = (
    "gamma_deg",
    "strain_aa",
    "strain_bb",
    "strain_ab",
    "rotation_deg",
    "cs_offset_y_px",
    "cs_offset_x_px",
)


@dataclass(frozen=True)
class CellsStage:
    """Measure the cells of every crystal: the ``cells`` table.

    The crystals get the mean lattice: least squares over the B columns; others help only where
    these do not span it. Lengths are not corrected for scan distortion; where columns depart
    from a straight lattice by more than their errors, the errors of a, b and gamma hold it.

    Strain is the tensor U - 1 of the polar decomposition F = R U, in the axes of the reference
    (along a, and a quarter turn from it towards +y). Against the mean lattice its mean is zero
    by construction, and its errors hold the lattice's own.

    Parameters
    ----------
    reference_a_nm, reference_b_nm : float, optional
        Edges of the lattice that strain is measured against, turned with the crystal; both or
        neither. Frames without a calibration have no strain against it. The crystal's mean
        lattice where not given.
    reference_gamma_deg : float
        Angle of that lattice.
    """

    reference_a_nm: float | None = None
    reference_b_nm: float | None = None
    reference_gamma_deg: float = 90.0

    name: ClassVar[str] = "columns.cells"
    reads: ClassVar[tuple[str, ...]] = ("columns", "crystals")
    writes: ClassVar[tuple[str, ...]] = ("cells", "crystals")

    def __post_init__(self) -> None:
        if (self.reference_a_nm is None) != (self.reference_b_nm is None):
            raise RecipeError(
                "columns.cells wants reference_a_nm and reference_b_nm, or neither; found one"
            )
        if not 0 < self.reference_gamma_deg < 180:
            raise RecipeError(
                f"columns.cells wants reference_gamma_deg between 0 and 180; "
                f"found {self.reference_gamma_deg:g}"
            )

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with ``cells``, in order of frame, crystal, i, j."""
        columns, crystals = batch.tables["columns"], batch.tables["crystals"]
        tables = []
        fields = {name: crystals[name].copy() for name in _UPDATED}
        for record, size in zip(batch.records, batch.pixel_size_nm):
            rows = np.flatnonzero(crystals["frame"] == record.frame)
            relative = record.calibration.rel_u
            nm = float(np.sqrt(size.prod()))
            for row, network in zip(rows, crystal_networks(columns, crystals, rows, size)):
                cells, lattice = Cells.of(network), Lattice.of(network)
                key = {name: np.full(len(cells), crystals[name][row]) for name in _KEY}
                tables.append(Table(CELLS, {**key, **self._measure(cells, lattice, nm)}))
                fields["n_cells"][row] = len(cells)
                fields["u_cal_rel"][row] = np.nan if relative is None else relative
                if lattice is not None:
                    for name, value in _of_crystal(lattice, network.scale_yx, nm).items():
                        fields[name][row] = value
        cells_table = Table.concat(tables) if tables else Table.empty(CELLS)
        return batch.with_(tables={"cells": cells_table, "crystals": crystals.with_columns(fields)})

    def _measure(self, cells: Cells, lattice: Lattice | None, nm: float) -> dict[str, Any]:
        """Return the fields of one crystal's cells."""
        forms = cells_forms(cells, lattice, self._reference_px(nm))
        return {
            "i": cells.ij2[:, 0] / 2,
            "j": cells.ij2[:, 1] / 2,
            "y_px": cells.centre_yx_px[:, 0],
            "x_px": cells.centre_yx_px[:, 1],
            **with_errors({name: forms[name] for name in ("a_px", "b_px", *_BARE)}),
            **with_errors({f"{v}_nm": forms[f"{v}_px"].times(nm) for v in "ab"}),
            **with_errors({"area_nm2": forms["area_px2"].times(nm**2)}),
        }

    def _reference_px(self, nm: float) -> np.ndarray | None:
        """Return (2, 2) vectors (y, x) of the given lattice, a along +x; None without one."""
        if self.reference_a_nm is None or self.reference_b_nm is None:
            return None
        gamma = np.radians(self.reference_gamma_deg)
        along = np.array([[0.0, 1.0], [np.sin(gamma), np.cos(gamma)]])
        return along * np.array([[self.reference_a_nm], [self.reference_b_nm]]) / nm


def _of_crystal(lattice: Lattice, scale_yx: np.ndarray, nm: float) -> dict[str, float]:
    """Return origin and vectors in px of the frame, lengths and angle with their errors."""
    points = np.vstack([lattice.origin.yx, lattice.vectors.yx]) / scale_yx
    sizes = {name: float(form.value[0]) for name, form in lattice.forms.items()}
    sizes |= {f"se_{name}": se for name, se in lattice.se.items()}
    sizes |= {f"{p}{v}_nm": sizes[f"{p}{v}_px"] * nm for v in "ab" for p in ("", "se_")}
    return dict(zip(_VECTORS, points.ravel().tolist())) | sizes
