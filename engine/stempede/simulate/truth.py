"""The truth table of simulated particles: what a perfect measurement would find."""

from __future__ import annotations

from typing import Any

import numpy as np

from stempede.simulate.superellipse import axes
from stempede.tables import Field, Schema, Table, declare

TRUTH = declare(
    Schema(
        "truth_particles",
        (
            Field("frame", "int64", doc="frame of the session"),
            Field("particle", "int64", doc="0-based, raster order of the first visible pixel"),
            Field("label", "int64", doc="value in the label map, 0 where no pixel shows"),
            Field("y_px", "float64", "px", "centre, may lie outside the frame"),
            Field("x_px", "float64", "px", "centre, may lie outside the frame"),
            Field("shape", "string", doc="name of the shape, or of the group of a mixture"),
            Field("group", "int64", doc="group of a mixture, in its order", nullable=True),
            Field("p", "float64", doc="superellipse exponent"),
            Field("d", "float64", doc="superellipse symmetry"),
            Field("l_ratio", "float64", doc="superellipse elongation"),
            Field("angle_deg", "float64", "deg", "turn of the body, +x towards +y"),
            Field("area_px2", "float64", "px^2", "of the whole outline"),
            Field("area_nm2", "float64", "nm^2", "of the whole outline"),
            Field("equivalent_diameter_px", "float64", "px"),
            Field("equivalent_diameter_nm", "float64", "nm"),
            Field("major_axis_px", "float64", "px", "moment axis of the whole outline"),
            Field("major_axis_nm", "float64", "nm", "moment axis of the whole outline"),
            Field("minor_axis_px", "float64", "px", "moment axis of the whole outline"),
            Field("minor_axis_nm", "float64", "nm", "moment axis of the whole outline"),
            Field("agglomerate", "int64", doc="number of the agglomerate within the frame"),
            Field("touching", "bool", doc="belongs to an agglomerate of two or more"),
            Field("complete", "bool", doc="not cut by the border of the frame"),
            Field("visible", "float64", "", "visible pixels over the area of the outline"),
        ),
    )
)
"""One row per particle of which any part lies in the frame."""


def truth_table(
    frame: int,
    pixel_size_nm: float,
    radii_px: np.ndarray,
    columns: dict[str, Any],
) -> Table:
    """Measure outlines in closed form and put them into a table.

    Parameters
    ----------
    frame : int
        Frame number.
    pixel_size_nm : float
        Edge of a pixel.
    radii_px : (n, vertices) float64 array
        Outlines in their bodies' frames.
    columns : dict of (n,) arrays
        The fields that do not follow from the outline.

    Returns
    -------
    Table
        ``truth_particles``, n rows.
    """
    major, minor = axes(radii_px)
    step = 2 * np.pi / radii_px.shape[1]
    area = 0.5 * np.sin(step) * (radii_px * np.roll(radii_px, -1, axis=1)).sum(axis=1)
    lengths = {
        "equivalent_diameter": np.sqrt(4.0 * area / np.pi),
        "major_axis": major,
        "minor_axis": minor,
    }
    measured = {"area_px2": area, "area_nm2": area * pixel_size_nm**2}
    for name, value in lengths.items():
        measured[f"{name}_px"] = value
        measured[f"{name}_nm"] = value * pixel_size_nm
    n = len(radii_px)
    return Table(TRUTH, {"frame": np.full(n, frame), **measured, **columns})
