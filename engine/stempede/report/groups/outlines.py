"""Fitted superellipses drawn again over the crops they were fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stempede.report import style
from stempede.report.figures import start
from stempede.report.groups.crops import CELL_PX, Crops
from stempede.report.groups.findings import Group, Grouped
from stempede.simulate.superellipse import radius

ACROSS = 8
_GAP_PX = 5
_TEXT_PX = 15
_INCH_PER_CELL = 0.78
# the same tips and waists for every d
_VERTICES = 240


def ranked(grouped: Grouped, crops: Crops, group: int) -> np.ndarray:
    """Return up to eight crops of a group, from the least Jaccard overlap to the greatest.

    They stand at even ranks, so that the worst are among them.

    Returns
    -------
    (k,) int array
        Places in ``crops``.
    """
    jaccard = np.asarray(grouped.particles["jaccard"], float)[crops.rows]
    fitted = np.isfinite(np.asarray(grouped.particles["shape_radius_px"], float)[crops.rows])
    mine = np.flatnonzero((grouped.number[crops.rows] == group) & np.isfinite(jaccard) & fitted)
    mine = mine[np.argsort(jaccard[mine], kind="stable")]
    if len(mine) <= ACROSS:
        return mine
    return mine[np.linspace(0, len(mine) - 1, ACROSS).round().astype(int)]


def outlines_over_crops(
    grouped: Grouped, crops: Crops, rows: Sequence[tuple[Group | None, np.ndarray]]
) -> Any:
    """Draw crops with the re-rendered outline over each and its Jaccard overlap below it.

    Parameters
    ----------
    grouped : Grouped
    crops : Crops
    rows : sequence of (Group or None, (k,) int array)
        One line of crops per group; None stands for all particles.
    """
    pitch_x, pitch_y = CELL_PX + _GAP_PX, CELL_PX + _GAP_PX + _TEXT_PX
    width, height = ACROSS * pitch_x + 14, len(rows) * pitch_y
    sheet = np.full((height, width, 3), 255, np.uint8)
    per_inch = CELL_PX / _INCH_PER_CELL
    figure, axes = start((width / per_inch, height / per_inch), layout=None)
    figure.subplots_adjust(left=0, right=1, bottom=0, top=1)
    for line, (group, places) in enumerate(rows):
        colour = group.colour if group else style.VERMILION
        for k, place in enumerate(places):
            y, x = line * pitch_y, 14 + k * pitch_x
            sheet[y : y + CELL_PX, x : x + CELL_PX] = crops.images[place][..., None]
            _one(axes, grouped, crops, int(place), (y, x), colour)
        if group:
            axes.text(
                4,
                line * pitch_y + CELL_PX / 2,
                str(group.number),
                color=colour,
                fontweight="bold",
                va="center",
                ha="center",
            )
    axes.imshow(sheet, interpolation="none", extent=(0, width, height, 0))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    return figure


def _one(
    axes: Any, grouped: Grouped, crops: Crops, place: int, corner: tuple[int, int], colour: str
) -> None:
    row = int(crops.rows[place])
    y, x = outline_px(grouped, row)
    step, centre = crops.step_px[place], crops.centre[place]
    at_y = corner[0] + CELL_PX / 2 + (y - centre[0]) / step
    at_x = corner[1] + CELL_PX / 2 + (x - centre[1]) / step
    axes.plot(at_x, at_y, color="white", linewidth=2.0, alpha=0.7)
    axes.plot(at_x, at_y, color=colour, linewidth=1.2)
    axes.text(
        corner[1] + CELL_PX / 2,
        corner[0] + CELL_PX + 1,
        f"{float(grouped.particles['jaccard'][row]):.2f}",
        ha="center",
        va="top",
        fontsize="small",
    )


def outline_px(grouped: Grouped, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the fitted outline of a particle in its frame, px.

    Returns
    -------
    y, x : (n,) float64 arrays
        Closed: the first point stands at the end again.
    """
    particles = grouped.particles
    p, d, l_ratio, scale, angle, y, x = (
        float(particles[k][row])
        for k in (
            *("p", "d", "l_ratio", "shape_radius_px", "shape_angle_deg"),
            *("shape_y_px", "shape_x_px"),
        )
    )
    turn = np.linspace(0, 2 * np.pi, _VERTICES + 1)
    distance = scale * radius(turn, np.array(p), np.array(d), np.array(l_ratio))
    seen = turn + np.deg2rad(angle)
    return y + distance * np.sin(seen), x + distance * np.cos(seen)
