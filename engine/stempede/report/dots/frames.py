"""The table of frames of a columns run."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import numpy as np

from stempede.report.dots.findings import Dots
from stempede.report.html import Html, tag
from stempede.report.perframe import MAX_ROWS, frames_section, state_cell

_NUMBERS = {
    "n_averaged": "scans summed",
    "n_columns": "columns",
    "dose_e_per_A2": "dose, e/Å²",
    "gain_per_electron": "counts/electron",
    "pixel_size_nm": "pixel size, nm",
    "focus": "focus",
}


def frames(dots: Dots) -> Html | None:
    """Return one row per frame, at most ``MAX_ROWS``."""
    whole = dots.run.frames
    if not len(whole):
        return None
    shown = whole.take(np.arange(min(len(whole), MAX_ROWS)))
    sources = shown.text("source")
    cells: dict[str, list[Any]] = {
        "frame": np.asarray(shown["frame"], np.int64).tolist(),
        "source": [tag("span", "/".join(PurePosixPath(s).parts[-2:]), title=s) for s in sources],
        "page": np.asarray(shown["page"], np.int64).tolist(),
        "sample": shown.text("sample"),
        "state": [state_cell(s) for s in shown.text("state")],
        "noise": shown.text("noise_model"),
        "electron scale from": shown.text("counts_source"),
    }
    for name, head in _NUMBERS.items():
        # a count that is missing is -1
        cells[head] = [v if v >= 0 else None for v in np.asarray(shown[name], float).tolist()]
    n = f"All {len(whole):,}" if len(whole) <= MAX_ROWS else f"The first {MAX_ROWS:,}"
    return frames_section(cells, f"{n} frames; the whole table is frames/*.parquet.")
