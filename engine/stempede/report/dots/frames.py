"""The table of frames of a columns run."""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from stempede.report.dots.findings import Dots
from stempede.report.html import Html, section, table, tag

MAX_ROWS = 1000

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
        "state": [
            tag("span", s, class_="bad" if s == "problem" else None) for s in shown.text("state")
        ],
        "noise": shown.text("noise_model"),
        "electron scale from": shown.text("counts_source"),
    }
    for name, head in _NUMBERS.items():
        cells[head] = np.asarray(shown[name], float).tolist()
    kept = {head: values for head, values in cells.items() if any(map(_says, values))}
    n = f"All {len(whole):,}" if len(whole) <= MAX_ROWS else f"The first {MAX_ROWS:,}"
    return section(
        "frames",
        "Frames",
        table(
            list(kept),
            zip(*kept.values(), strict=True),
            caption=f"{n} frames; the whole table is frames/*.parquet.",
            sortable=True,
            tall=True,
            digits=4,
        ),
    )


def _says(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value) and value >= 0
    return value is not None and value != ""
