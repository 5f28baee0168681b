"""Montages: particles of a group, or of all, beside each other at one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stempede.report.figures import start
from stempede.report.groups.crops import CELL_PX, Crops
from stempede.report.preview import nice_length

ACROSS = 15
_GAP_PX = 3
_INCH_PER_CELL = 0.4


def montage(crops: Crops, colours: Sequence[str] | None = None) -> Any:
    """Draw crops in rows, with a scale bar below them.

    Parameters
    ----------
    crops : Crops
        All of one scale.
    colours : sequence of str, optional
        A frame of this colour around each.
    """
    n = len(crops.rows)
    down = -(-n // ACROSS)
    pitch = CELL_PX + 2 * _GAP_PX
    sheet = np.full((down * pitch, ACROSS * pitch, 3), 255, np.uint8)
    for k in range(n):
        y, x = (k // ACROSS) * pitch + _GAP_PX, (k % ACROSS) * pitch + _GAP_PX
        if colours is not None:
            # a white line stays between the frames of neighbours
            r = _GAP_PX - 1
            rim = tuple(bytes.fromhex(colours[k][1:]))
            sheet[y - r : y + CELL_PX + r, x - r : x + CELL_PX + r] = rim
        sheet[y : y + CELL_PX, x : x + CELL_PX] = crops.images[k][..., None]
    height = sheet.shape[0] / pitch * _INCH_PER_CELL
    width = sheet.shape[1] / pitch * _INCH_PER_CELL
    figure, axes = start((width, height + 0.26), layout=None)
    figure.subplots_adjust(left=0, right=1, bottom=0.26 / (height + 0.26), top=1)
    axes.imshow(sheet, interpolation="none", extent=(0, sheet.shape[1], sheet.shape[0], 0))
    axes.axis("off")
    _bar(axes, sheet.shape, float(crops.side[0]) / CELL_PX, crops.unit)
    axes.set_xlim(0, sheet.shape[1])
    axes.set_ylim(sheet.shape[0], 0)
    return figure


def _bar(axes: Any, shape: tuple[int, ...], per_px: float, unit: str) -> None:
    """Draw a scale bar below a sheet."""
    length = nice_length(1.6 * CELL_PX * per_px)
    y = shape[0] + 0.13 / _INCH_PER_CELL * CELL_PX
    right = shape[1] - _GAP_PX
    axes.plot(
        [right - length / per_px, right],
        [y, y],
        color="black",
        linewidth=3,
        solid_capstyle="butt",
        clip_on=False,
    )
    text = f"{length / 1000:g} µm" if unit == "nm" and length >= 1000 else f"{length:g} {unit}"
    axes.text(right - length / per_px - 6, y, text, ha="right", va="center", fontsize="medium")
