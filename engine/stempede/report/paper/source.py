"""Source data of a figure: what is drawn, read back from what was drawn."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HEADS = ("panel", "x_axis", "y_axis", "series", "kind", "x", "y", "x_end", "y_end")
_MOST_CELLS = 2500

Row = tuple[Any, ...]


def write_source(figure: Any, path: Path) -> int:
    """Write every line, bar, point and cell of a figure as CSV; return the number of rows.

    Pictures are not written: they are crops of the source images.
    """
    rows = [row for k, axes in enumerate(figure.axes) for row in _of_axes(k, axes)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADS)
        writer.writerows(rows)
    return len(rows)


def _of_axes(panel: int, axes: Any) -> Iterator[Row]:
    # a colour bar repeats what the map beside it has
    if hasattr(axes, "_colorbar"):
        return
    title = axes.get_title(loc="left") or axes.get_xlabel()
    common = (panel, title, axes.get_ylabel())
    bars = {id(p) for container in axes.containers for p in container}
    for artist in axes.get_children():
        for series, kind, *numbers in _of_artist(artist, id(artist) in bars):
            yield (*common, series, kind, *(_plain(n) for n in numbers))
    for container in axes.containers:
        for bar in container:
            if hasattr(bar, "get_width"):
                x, y = bar.get_x(), bar.get_y()
                ends = x + bar.get_width(), y + bar.get_height()
                yield (*common, _name(container), "bar", *(_plain(n) for n in (x, y, *ends)))


def _plain(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.8g}" if np.isfinite(value) else ""
    return value


def _name(artist: Any) -> str:
    label = str(artist.get_label() or "")
    return "" if label.startswith("_") else label


def _of_artist(artist: Any, is_bar: bool) -> Iterator[Row]:  # noqa: FBT001
    from matplotlib.collections import LineCollection, PathCollection, PolyCollection
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D
    from matplotlib.patches import StepPatch

    name = _name(artist)
    if isinstance(artist, StepPatch):
        data = artist.get_data()
        base = 0.0 if data.baseline is None else float(np.max(data.baseline))
        for low, high, y in zip(data.edges[:-1], data.edges[1:], data.values, strict=True):
            yield name, "bin", low, y, high, base
    elif isinstance(artist, Line2D) and not is_bar:
        for x, y in zip(*(np.asarray(v, float) for v in artist.get_data()), strict=True):
            yield name, "line", x, y, "", ""
    elif isinstance(artist, LineCollection):
        for segment in artist.get_segments():
            if len(segment) == 2:
                yield name, "interval", *segment[0], *segment[1]
    elif isinstance(artist, PathCollection):
        for x, y in np.asarray(artist.get_offsets(), float):
            yield name, "point", x, y, "", ""
    elif isinstance(artist, PolyCollection):
        for path in artist.get_paths():
            for x, y in path.vertices:
                yield name, "band", x, y, "", ""
    elif isinstance(artist, AxesImage):
        cells = np.ma.getdata(artist.get_array())
        if cells.ndim == 2 and cells.size <= _MOST_CELLS:
            for (y, x), value in np.ndenumerate(cells):
                yield f"{float(value):.8g}", "cell", x, y, "", ""
