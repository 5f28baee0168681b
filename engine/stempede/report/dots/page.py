"""The page of a columns run: its sections in reading order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stempede.report import record
from stempede.report.dots import sections
from stempede.report.dots.findings import Dots, choose
from stempede.report.dots.frames import frames
from stempede.report.folder import RunFolder
from stempede.report.html import Html, join, tag
from stempede.report.sketch import Sketch

TITLES = {
    "network": "Network",
    "layers": "Layers",
    "distributions": "Distributions",
    "crystals": "Crystals",
    "frames": "Frames",
    "problems": "Problems",
    "provenance": "Provenance",
    "speed": "Speed",
}


def body(run: RunFolder, figures_folder: Path) -> Html:
    """Return the page's body; figures are written to their folder on the way."""
    dots = Dots.gather(run)
    sketch = Sketch(figures_folder)
    chosen = choose(dots)
    parts = {
        "network": sections.crystals_shown(dots, chosen, sketch),
        "layers": sections.layers(dots, sketch),
        "distributions": sections.distributions(dots, sketch),
        "crystals": sections.crystals(dots),
        "frames": frames(dots),
        "problems": record.problems(run),
        "provenance": record.provenance(run),
        "speed": record.speed(run, len(dots.columns), "columns"),
    }
    shown = {name: part for name, part in parts.items() if part is not None}
    links = [tag("li", tag("a", TITLES[name], href=f"#{name}")) for name in shown]
    return join(
        tag(
            "header",
            tag("p", "stempede · columns", class_="eyebrow"),
            tag("h1", run.name),
            tag("p", record.subtitle(run), class_="sub"),
            _banner(dots),
            sections.headline(dots),
            tag("nav", tag("ul", *links), aria_label="Sections"),
        ),
        tag("main", *shown.values()),
        record.footer("columns"),
    )


def _banner(dots: Dots) -> Html | None:
    said: list[Any] = record.warnings(dots.run)
    sizes = np.asarray(dots.run.frames["pixel_size_nm"], float)
    if len(sizes) and not np.isfinite(sizes).any():
        said.append(
            "No pixel size is known: tilts and angles stand, lengths are in pixels, none in nm."
        )
    sources = dots.run.frames.text("counts_source")
    unscaled = sum(s == "none" for s in sources)
    if unscaled:
        said.append(
            f"{unscaled:,} of {len(sources):,} frames have no electron scale: their noise is taken "
            "from the residuals as Gaussian, and intensities are in the image's own units."
        )
    return tag("div", *(tag("p", s) for s in said), class_="banner", role="note") if said else None
