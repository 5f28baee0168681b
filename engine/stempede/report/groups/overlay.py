"""Group overlays: micrographs with each particle outlined in the colour of its group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stempede.report.figures import start
from stempede.report.groups.colours import rgb8
from stempede.report.groups.findings import Group, Grouped
from stempede.report.overlays import fit, grey
from stempede.report.preview import nearest, nice_length, rim

MOST = 2
_MAX_SIDE_PX = 1000
_LEAST_SIDE_PX = 700
_WIDTH_INCH = 6.7
_SHADE = 0.35
# of the legend above the image, and the room for the scale bar below it
_COLUMNS, _ROW_INCH, _BELOW_INCH = 6, 0.2, 0.3


@dataclass(frozen=True)
class Outlined:
    """Particles of one frame.

    Parameters
    ----------
    labels : (h, w) int array or None
        Label map; ellipses are drawn where the run kept none.
    rows : (n,) int array
        Rows of ``Grouped.particles`` in this frame.
    """

    labels: np.ndarray | None
    rows: np.ndarray


def telling_frames(grouped: Grouped) -> list[int]:
    """Return the frames that show most particles of most groups, at most two."""
    frame, number = np.asarray(grouped.particles["frame"], np.int64), grouped.number
    frames = np.unique(frame[number >= 0])
    score = np.zeros(len(frames))
    for group in grouped.groups:
        counts = np.bincount(
            np.searchsorted(frames, frame[number == group.number]), minlength=len(frames)
        )
        score += np.log1p(counts)
    return [int(f) for f in frames[np.argsort(-score, kind="stable")][:MOST]]


def group_overlay(
    grouped: Grouped,
    image: np.ndarray,
    outlined: Outlined,
    groups: Sequence[Group],
    pixel_size_nm: float | None,
) -> Any:
    """Draw a micrograph with outlines by group, a legend above it and a scale bar below it.

    Parameters
    ----------
    grouped : Grouped
    image : (h, w) array
        Counts.
    outlined : Outlined
    groups : sequence of Group
        Those of the frame have a place in the legend.
    pixel_size_nm : float or None
        None: the bar is in px.
    """
    small, scale = fit(image, _MAX_SIDE_PX)
    times = max(1, min(-(-_LEAST_SIDE_PX // max(small.shape)), _MAX_SIDE_PX // max(small.shape)))
    rgb = np.repeat(grey(small)[..., None], 3, axis=2).repeat(times, axis=0).repeat(times, axis=1)
    scale *= times
    number = grouped.number[outlined.rows]
    if outlined.labels is not None:
        _rims(rgb, outlined.labels, np.asarray(grouped.particles["label"])[outlined.rows], number)
    height, width = rgb.shape[:2]
    n_named = sum(bool((number == g.number).any()) for g in groups)
    above = _ROW_INCH * -(-n_named // _COLUMNS) + 0.1
    tall = _WIDTH_INCH * height / width + above + _BELOW_INCH
    figure, axes = start((_WIDTH_INCH, tall), layout=None)
    figure.subplots_adjust(left=0, right=1, bottom=_BELOW_INCH / tall, top=1 - above / tall)
    axes.imshow(rgb, interpolation="none", extent=(0, width, height, 0))
    if outlined.labels is None:
        _ellipses(axes, grouped, outlined.rows, scale)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    _legend(figure, groups, number)
    _bar(axes, height, width, scale, pixel_size_nm)
    return figure


def _rims(rgb: np.ndarray, labels: np.ndarray, label: np.ndarray, number: np.ndarray) -> None:
    """Shade labelled particles and colour their rims, in place; the rest stays grey."""
    near = nearest(labels, rgb.shape[:2])
    table = np.full(int(labels.max(initial=0)) + 1, -1)
    known = (label >= 0) & (label < len(table))
    table[np.asarray(label, int)[known]] = number[known]
    group = table[near]
    edge = rim(near)
    for g in np.unique(group[group >= 0]):
        inside = group == g
        rgb[inside] = (_SHADE * np.array(rgb8(int(g))) + (1 - _SHADE) * rgb[inside]).astype(
            np.uint8
        )
        rgb[inside & edge] = rgb8(int(g))


def _ellipses(axes: Any, grouped: Grouped, rows: np.ndarray, scale: float) -> None:
    from stempede.report.groups.colours import colour

    turn = np.linspace(0, 2 * np.pi, 49)
    p = grouped.particles
    for row in rows:
        a, b = (0.5 * float(p[k][row]) for k in ("major_axis_px", "minor_axis_px"))
        t = np.deg2rad(float(p["orientation_deg"][row]))
        x = float(p["x_px"][row]) + a * np.cos(turn) * np.cos(t) - b * np.sin(turn) * np.sin(t)
        y = float(p["y_px"][row]) + a * np.cos(turn) * np.sin(t) + b * np.sin(turn) * np.cos(t)
        axes.plot(
            (x + 0.5) * scale,
            (y + 0.5) * scale,
            color=colour(int(grouped.number[row])),
            linewidth=1.4,
        )


def _legend(figure: Any, groups: Sequence[Group], number: np.ndarray) -> None:
    from matplotlib.lines import Line2D

    counts = {g.number: int((number == g.number).sum()) for g in groups}
    handles = [
        Line2D([], [], color=g.colour, linewidth=3, label=f"{g.name} ({counts[g.number]})")
        for g in groups
        if counts[g.number]
    ]
    figure.legend(
        handles=handles,
        loc="upper left",
        ncols=_COLUMNS,
        columnspacing=1.1,
        handlelength=1.2,
        borderaxespad=0.1,
        bbox_to_anchor=(0, 1),
    )


def _bar(axes: Any, height: int, width: int, scale: float, pixel_size_nm: float | None) -> None:
    per_px = (pixel_size_nm or 1.0) / scale
    unit = "nm" if pixel_size_nm else "px"
    length = nice_length(0.2 * width * per_px)
    y = height + 0.14 * width / _WIDTH_INCH
    ends = [width - length / per_px, width]
    axes.plot(ends, [y, y], color="black", linewidth=3, solid_capstyle="butt", clip_on=False)
    text = f"{length / 1000:g} µm" if unit == "nm" and length >= 1000 else f"{length:g} {unit}"
    axes.text(ends[0] - 8, y, text, ha="right", va="center")
