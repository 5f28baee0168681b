"""Figures on their way to a journal: 85 or 170 mm wide, text as text, source data beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stempede.report import style
from stempede.report.html import Html, tag
from stempede.report.paper.source import write_source
from stempede.report.sketch import Sketch

COLUMN_MM, PAGE_MM = 85.0, 170.0
_MM_PER_INCH = 25.4
_WIDE_INCH = 5.5

RC: dict[str, Any] = {
    **style.RC,
    "font.family": "sans-serif",
    "font.sans-serif": ["Arial", "Helvetica", "Liberation Sans", "DejaVu Sans"],
    "font.size": 7.0,
    "axes.labelsize": 7.0,
    "axes.titlesize": 7.0,
    "legend.fontsize": 6.5,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.0,
    # text stays text in both formats
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}
"""Settings of matplotlib for figures of a paper."""


class PaperSketch(Sketch):
    """Writes each figure as SVG and PDF at the width of a column or a page, with its data.

    Parameters
    ----------
    folder : Path
        Where files go.
    left_out : tuple of str
        Figures whose names begin so are not for a paper.
    """

    def __init__(self, folder: Path, left_out: tuple[str, ...] = ()) -> None:
        super().__init__(folder)
        self.left_out = left_out
        self.captions: dict[str, str] = {}

    def __call__(
        self, name: str, alt: str, caption: Any, draw: Callable[..., Any], *numbers: Any
    ) -> Html:
        """Write a figure; its caption is kept for the list of captions."""
        if name.startswith(self.left_out):
            return tag("figure")
        from matplotlib import rc_context

        with rc_context(RC):
            figure = draw(*numbers)
            wide, tall = figure.get_size_inches()
            width = (PAGE_MM if wide > _WIDE_INCH else COLUMN_MM) / _MM_PER_INCH
            figure.set_size_inches(width, tall * width / wide)
            # no date: the same run gives the same files
            figure.savefig(self.folder / f"{name}.svg", metadata={"Date": None})
            figure.set_layout_engine("none")
            figure.savefig(self.folder / f"{name}.pdf", dpi=600, metadata={"CreationDate": None})
            write_source(figure, self.folder / f"{name}.csv")
        self.captions[name] = f"{alt}. {caption or ''}".strip()
        return tag("figure")

    # pictures carry their scale bars as vectors like any other figure
    picture = __call__
