"""The table of frames: state, counts, sizes and what is unusual of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from stempede.report.findings import Findings
from stempede.report.html import Html, section, table, tag

MAX_ROWS = 1000

_FLAG_NOTE = (
    "Flags: background, noise, focus or mean size more than 5 median absolute deviations and 5 % "
    "from the session's median; less than half of the frame searched."
)


def frames(found: Findings) -> Html | None:
    """Return one row per frame; of very many, all with problems and an even choice of the rest."""
    total = len(found.run.frames)
    if not total:
        return None
    rows = np.arange(total)
    note = f"All {total:,} frames." if total > 1 else "The one frame."
    if total > MAX_ROWS:
        failed = np.array([s == "problem" for s in found.run.frames.text("state")], bool)
        even = np.unique(np.linspace(0, total - 1, MAX_ROWS).astype(int))
        rows = np.union1d(even, np.flatnonzero(failed)[:MAX_ROWS])
        note = (
            f"{len(rows):,} of {total:,} frames: an even choice and those with problems; "
            "all are in frames/*.parquet."
        )
    return frames_section(_columns(found, rows), f"{note} {_FLAG_NOTE}")


def frames_section(cells: Mapping[str, list[Any]], caption: str) -> Html:
    """Return the section of a table of frames, cells by title; empty columns are left out."""
    kept = {title: values for title, values in cells.items() if any(map(_says, values))}
    return section(
        "frames",
        "Frames",
        table(
            list(kept),
            zip(*kept.values(), strict=True),
            caption=caption,
            sortable=True,
            tall=True,
            digits=4,
        ),
    )


def state_cell(state: str) -> Html:
    """Return a frame's state, problems marked."""
    return tag("span", state, class_="bad" if state == "problem" else None)


def _columns(found: Findings, rows: np.ndarray) -> dict[str, list[Any]]:
    """Return cells by title."""
    columns = found.run.frames
    number = np.asarray(columns["frame"], np.int64)
    by_frame = dict(zip(found.ensemble.frames.tolist(), found.ensemble.means.tolist(), strict=True))
    means = np.array([by_frame.get(k, math.nan) for k in number.tolist()])
    measured = {
        name: np.asarray(columns[name], float)
        for name in ("background", "noise", "focus", "valid_fraction", "pixel_size_nm")
    }
    flags = _flags({**measured, "mean size": means})
    texts = {name: columns.text(name) for name in ("source", "state", "sample")}
    at = rows.tolist()
    return {
        "frame": number[rows].tolist(),
        "source": [_short(texts["source"][k]) for k in at],
        "page": np.asarray(columns["page"], np.int64)[rows].tolist(),
        "sample": [texts["sample"][k] for k in at],
        "state": [state_cell(texts["state"][k]) for k in at],
        "flags": [tag("span", flags[k], class_="bad") if flags[k] else "" for k in at],
        "found": _counts(columns["n_particles"][rows]),
        "accepted": _counts(columns["n_accepted"][rows]),
        f"mean size, {found.unit}": means[rows].tolist(),
        "background": measured["background"][rows].tolist(),
        "noise": measured["noise"][rows].tolist(),
        "focus": measured["focus"][rows].tolist(),
        "searched, %": (100 * measured["valid_fraction"][rows]).tolist(),
        "pixel size, nm": measured["pixel_size_nm"][rows].tolist(),
    }


def _says(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is not None and value != ""


def _short(source: str) -> Html:
    return tag("span", PurePosixPath(source).name, title=source)


def _counts(values: np.ndarray) -> list[int | None]:
    return [int(v) if math.isfinite(v) and v >= 0 else None for v in values]


def _flags(values: Mapping[str, np.ndarray]) -> list[str]:
    """Return what is unusual of each frame, in words."""
    flags: list[list[str]] = [[] for _ in values["mean size"]]
    for name in ("background", "noise", "focus", "mean size"):
        column = values[name]
        known = np.isfinite(column)
        if np.count_nonzero(known) < 5:
            continue
        middle = np.median(column[known])
        spread = np.median(np.abs(column[known] - middle))
        usual = max(5 * spread, 0.05 * abs(middle))
        for k in np.flatnonzero(known & (np.abs(column - middle) > usual)):
            flags[k].append(f"{name} {'high' if column[k] > middle else 'low'}")
    for k in np.flatnonzero(values["valid_fraction"] < 0.5):
        flags[k].append("half excluded")
    return [", ".join(f) for f in flags]
