"""Pixels and label maps of the frames of a run, read again for the overlays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stempede.errors import ResultsError
from stempede.frames import FrameRecord, Frames
from stempede.io.maps import MapStore
from stempede.io.sources import SourceReader
from stempede.report.folder import RunFolder


def label_map(run: RunFolder, frame: int) -> np.ndarray | None:
    """Return the (y, x) label map of a frame, None where the run kept none."""
    maps = MapStore(run.path)
    if not maps.path("labels", frame).is_dir():
        return None
    return maps.read("labels", frame)


def read_pixels(run: RunFolder, frame: int) -> np.ndarray:
    """Return the (y, x) float32 pixels of a frame, in counts, from its source.

    Raises
    ------
    InputError
        The source is not there any more, or cannot be read.
    """
    table = run.frames
    rows = np.flatnonzero(np.asarray(table["frame"]) == frame)
    if not len(rows):
        raise ResultsError(f"frame {frame} is not in the frames table of {run.path}")
    row = rows[0]
    record = FrameRecord(
        frame=frame,
        source=table.text("source")[row],
        page=int(table["page"][row]),
        shape=(int(table["height_px"][row]), int(table["width_px"][row])),
        dtype="",
    )
    return Frames((record,), SourceReader(_signal(run))).load(record)


def _signal(run: RunFolder) -> str | None:
    """Return which signal of multi-signal files the run was of."""
    options: Any = run.document.get("source_options", {})
    return options.get("signal") if isinstance(options, Mapping) else None
