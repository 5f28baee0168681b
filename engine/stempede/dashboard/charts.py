"""Charts of the live page: each a figure with the source that feeds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stempede.dashboard.board import Board
from stempede.dashboard.style import BLUE, GREY, ORANGE, SKY, TILT_RANGE_DEG

HEIGHT_PX = 250
CARD = {"flex": "1 1 22rem", "min-width": "min(100%, 18rem)"}


def _figure(title: str, x: str, y: str, **options: Any) -> Any:
    from bokeh.plotting import figure

    made = figure(
        title=title,
        x_axis_label=x,
        y_axis_label=y,
        height=HEIGHT_PX,
        sizing_mode="stretch_width",
        tools="pan,wheel_zoom,box_zoom,reset,save",
        active_drag=None,
        styles=CARD,
        toolbar_location="right",
        **options,
    )
    made.toolbar.logo = None
    return made


class Charts:
    """Figures of one viewer.

    Parameters
    ----------
    columns : bool
        Tilts and layers instead of sizes.
    """

    def __init__(self, *, columns: bool) -> None:
        from bokeh.models import ColumnDataSource

        self.columns = columns
        self._sources = {
            name: ColumnDataSource({}) for name in ("curve", "histogram", "layers", "tilts")
        }
        self.mean = self._running("mean", "low", "high", band=True)
        self.spread = self._running("spread", "spread_low", "spread_high", band=False)
        self.histogram = self._histogram()
        self.figures = [self.mean, self.histogram]
        self.below = self._tilts() if columns else self.spread
        if columns:
            self.figures.append(self._layers())

    def update(self, board: Board, frame: int | None) -> None:
        """Push what has changed."""
        unit = board.tally.unit if board.tally is not None else ""
        name = "staggered tilt" if self.columns else "size"
        self.mean.yaxis.axis_label = f"mean {name}, {unit}" if unit else f"mean {name}"
        self.spread.yaxis.axis_label = "σ/d"
        size = "tilt" if board.tally is None or self.columns else board.tally.size
        label = "staggered tilt" if self.columns else size.replace("_", " ")
        self.histogram.xaxis.axis_label = f"{label}, {unit}" if unit else label
        self._set("curve", board.curve())
        self._set("histogram", board.histogram())
        if self.columns:
            self._set("layers", board.layers())
            self._set("tilts", board.tilts(frame))

    def _set(self, name: str, table: Mapping[str, np.ndarray]) -> None:
        source, before = self._sources[name], self._sources[name].data
        same = set(before) == set(table) and all(
            np.array_equal(np.asarray(before[k]), v, equal_nan=True) for k, v in table.items()
        )
        if not same:
            source.data = dict(table)

    def _running(self, value: str, low: str, high: str, *, band: bool) -> Any:
        source = self._sources["curve"]
        names = ("n", "mean", "low", "high", "band_low", "band_high")
        source.data = {key: [] for key in (*names, "spread", "spread_low", "spread_high")}
        made = _figure("Running mean" if band else "Running σ/d", "frames", value)
        made.varea("n", low, high, source=source, fill_color=SKY, fill_alpha=0.35)
        made.line("n", value, source=source, line_color=BLUE, line_width=2)
        if band:
            for edge in ("band_low", "band_high"):
                made.line(
                    "n", edge, source=source, line_color=ORANGE, line_dash="dashed", line_width=1
                )
            made.title.text = "Mean, 95 % interval; dashed: all looks together"
        return made

    def _histogram(self) -> Any:
        source = self._sources["histogram"]
        source.data = {key: [] for key in ("left", "right", "top")}
        name = "staggered tilt" if self.columns else "size"
        title = "Tilts of all frames, oriented" if self.columns else "Sizes of all frames"
        made = _figure(title, name, "share")
        made.quad(
            left="left",
            right="right",
            top="top",
            bottom=0,
            source=source,
            fill_color=BLUE,
            fill_alpha=0.75,
            line_color="white",
        )
        made.y_range.start = 0
        return made

    def _tilts(self) -> Any:
        from bokeh.models import ColorBar, LinearColorMapper
        from bokeh.palettes import RdBu11

        source = self._sources["tilts"]
        source.data = {key: [] for key in ("y", "x", "radius", "tilt")}
        mapper = LinearColorMapper(RdBu11, low=-TILT_RANGE_DEG, high=TILT_RANGE_DEG)
        made = _figure("Staggered tilt of this frame, deg", "x, px", "y, px", match_aspect=True)
        made.circle(
            "x",
            "y",
            radius="radius",
            source=source,
            line_color="white",
            fill_color={"field": "tilt", "transform": mapper},
        )
        made.y_range.flipped = True
        made.add_layout(ColorBar(color_mapper=mapper, width=8), "right")
        return made

    def _layers(self) -> Any:
        from bokeh.models import SingleIntervalTicker

        source = self._sources["layers"]
        source.data = {key: [] for key in ("layer", "mean", "low", "high")}
        made = _figure("Tilt by layer (provisional)", "layer from the surface", "deg")
        made.xaxis.ticker = SingleIntervalTicker(interval=1, num_minor_ticks=0)
        made.segment("layer", "low", "layer", "high", source=source, line_color=GREY)
        made.scatter("layer", "mean", source=source, size=8, fill_color=BLUE, line_color=None)
        return made
