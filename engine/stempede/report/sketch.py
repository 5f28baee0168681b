"""Figures on their way to the page: drawn, written to the run's folder, captioned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stempede.report import figures
from stempede.report.html import Html, tag


class Sketch:
    """Draws figures into the run's folder and returns them as HTML.

    Parameters
    ----------
    folder : Path
        Where files go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self, name: str, alt: str, caption: Any, draw: Callable[..., Any], *numbers: Any
    ) -> Html:
        """Draw a figure, save it as SVG and PNG, and return it with its caption."""
        with figures.styled():
            uri = figures.save(draw(*numbers), self.folder, name)
        picture = tag("img", src=uri, alt=alt, class_="chart")
        return tag("figure", picture, tag("figcaption", caption) if caption else None)

    def picture(
        self, name: str, alt: str, caption: Any, draw: Callable[..., Any], *numbers: Any
    ) -> Html:
        """Draw a figure made of pixels: SVG and PNG as files, a JPEG on the page."""
        with figures.styled():
            uri, (width, height) = figures.save_picture(draw(*numbers), self.folder, name)
        picture = tag("img", src=uri, alt=alt, width=width, height=height, loading="lazy")
        return tag("figure", picture, tag("figcaption", caption) if caption else None)
