"""Network: columns and octahedra over their image, drawn in the time that a click may take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stempede.dashboard.style import TILT_RANGE_DEG
from stempede.report.dots.network import HIDDEN, SPECIES, squares_of
from stempede.report.overlays import fit, grey
from stempede.report.style import PURPLE

if TYPE_CHECKING:
    from stempede.report.folder import Columns

FILL = 150
"""How opaque squares are, of 255."""
DOT_PX, CROSS_PX = 2, 3


def network_picture(
    image: np.ndarray, columns: Columns, octahedra: Columns, side_px: int
) -> np.ndarray:
    """Draw octahedra as squares in the colours of their tilts, columns as dots.

    Parameters
    ----------
    image : (h, w) array
    columns, octahedra : Columns
        Of one crystal.
    side_px : int
        Longest side of the picture; small images are enlarged by whole numbers.

    Returns
    -------
    (y, x, 3) uint8 array
    """
    from PIL import Image, ImageDraw

    small, scale = fit(image, side_px)
    times = max(1, side_px // max(small.shape))
    shown = grey(small).repeat(times, axis=0).repeat(times, axis=1)
    canvas = Image.fromarray(np.repeat(shown[..., None], 3, axis=2))
    pen = ImageDraw.Draw(canvas, "RGBA")
    scale *= times
    tilts = np.asarray(octahedra["staggered_tilt_deg"], float)
    squares = np.array(squares_of(columns, octahedra)).reshape(-1, 4, 2)
    for square, fill in zip(_places(squares, scale).tolist(), _fills(tilts), strict=True):
        if fill is not None:
            pen.polygon([tuple(corner) for corner in square], fill, "white")
    _draw_columns(pen, columns, scale)
    return np.asarray(canvas)


def _places(xy_px: np.ndarray, scale: float) -> np.ndarray:
    """Return places in the picture: of whole numbers in the image, the middle of a pixel."""
    return scale * (xy_px + 0.5)


def _fills(tilts_deg: np.ndarray) -> list[tuple[int, ...] | None]:
    """Return the colour of each tilt, as the chart beside has it; None where there is none."""
    from bokeh.palettes import RdBu11
    from PIL.ImageColor import getrgb

    step = 2 * TILT_RANGE_DEG / len(RdBu11)
    place = np.nan_to_num((tilts_deg + TILT_RANGE_DEG) // step).clip(0, len(RdBu11) - 1)
    known = np.isfinite(tilts_deg).tolist()
    return [
        (*getrgb(RdBu11[k]), FILL) if there else None
        for k, there in zip(place.astype(int).tolist(), known, strict=True)
    ]


def _draw_columns(pen: Any, columns: Columns, scale: float) -> None:
    """Draw accepted columns as dots in the colour of their species, others as crosses."""
    xy_px = np.column_stack([columns["x_px"], columns["y_px"]]).astype(float)
    accepted, species = columns.flags("accepted"), columns.text("species")
    names = sorted({s for s, good in zip(species, accepted, strict=True) if s and good})
    colours = dict(zip(names, SPECIES, strict=False))
    # a column drowned by brighter ones stands where the lattice says: no find to be judged
    shown = np.isfinite(xy_px).all(axis=1)
    shown &= np.array([reason != HIDDEN for reason in columns.text("reject_reason")], bool)
    for k in np.flatnonzero(shown).tolist():
        x, y = _places(xy_px[k], scale).tolist()
        if accepted[k]:
            box = (x - DOT_PX, y - DOT_PX, x + DOT_PX, y + DOT_PX)
            pen.ellipse(box, colours.get(species[k], SPECIES[-1]))
            continue
        for rise in (-CROSS_PX, CROSS_PX):
            pen.line((x - CROSS_PX, y - rise, x + CROSS_PX, y + rise), PURPLE)
