"""Writes the folder of a paper: figures, source data, captions, Methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stempede.errors import InputError, ResultsError
from stempede.report import aside, sections
from stempede.report.findings import Findings, gather
from stempede.report.folder import RunFolder
from stempede.report.groups.distributions import ridges_sheet
from stempede.report.groups.findings import Grouped
from stempede.report.groups.page import of_groups
from stempede.report.groups.sections import rests
from stempede.report.paper.methods import methods
from stempede.report.paper.sketch import PaperSketch

# one panel per feature: they stand together in one figure here
_LEFT_OUT = ("feature-", "group-histogram-")


def write_paper(run: Path | str, folder: Path | str | None = None) -> Path:
    """Write figures of 85 or 170 mm as SVG and PDF, their source data, captions and Methods.

    Parameters
    ----------
    run : Path
        Folder of a particles run.
    folder : Path, optional
        Where to; ``RUN/paper`` unless given.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        The run is one of columns.
    ResultsError
        The folder is not a run, or cannot be written to.
    """
    opened = RunFolder.open(run)
    if (opened.path / "columns").is_dir():
        raise InputError(
            f"--style paper is for particles; {opened.path} has columns; its figures are SVG files "
            "in figures/"
        )
    target = opened.path / "paper" if folder is None else Path(folder)
    found = gather(opened)
    try:
        target.mkdir(parents=True, exist_ok=True)
        sketch = PaperSketch(target, _LEFT_OUT)
        n_groups = _draw(found, sketch)
        (target / "methods.md").write_text(methods(found, n_groups), encoding="utf-8")
        captions = [f"**{name}** {text}\n" for name, text in sketch.captions.items()]
        (target / "captions.md").write_text(
            "# Captions\n\n" + "\n".join(captions), encoding="utf-8"
        )
    except OSError as error:
        raise ResultsError(
            f"wanted to write figures into {target}, but {error}; make room or change its "
            "permissions"
        ) from error
    return target


def _draw(found: Findings, sketch: PaperSketch) -> int:
    """Draw what the page draws, and every predictor in one figure; return the number of groups."""
    sections.sizes(found, sketch)
    aside.set_aside(found, sketch)
    sections.samples(found, sketch)
    of_groups(found, sketch)
    sections.systematics(found, sketch)
    grouped = Grouped.gather(found)
    if grouped is None or not grouped.groups:
        return 0
    inside = np.flatnonzero(grouped.number >= 0)
    sketch(
        "group-predictors",
        "Every predictor by group",
        f"{rests(grouped)}. Filled: edge-weighted distributions, each scaled to its own peak; "
        "lines: normal laws of the same mean and standard deviation.",
        ridges_sheet,
        [(p.title, p.of(grouped.particles)[inside]) for p in grouped.drawn],
        grouped.weights[inside],
        grouped.number[inside],
        grouped.groups,
    )
    return len(grouped.groups)
