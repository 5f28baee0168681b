"""Frames of simulated lattices for the session writer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from stempede.cli.progress import Progress
from stempede.frames import Calibration, FrameRecord

_NAMES = {"truth_columns": "columns", "truth_sites": "sites", "truth_crystals": "crystals"}


def rendered_lattices(
    lattices: Any, n: int, seed: int, truth: list[dict[str, Any]], progress: Progress
) -> Iterator[tuple[np.ndarray, FrameRecord]]:
    """Yield (image, record) for the writer and collect the truth on the way.

    Parameters
    ----------
    lattices : stempede.simulate.lattices.Lattices
    n : int
        Frames; of a session of series, the last series may be short.
    seed : int
    truth : list
        Grows by one dictionary per frame: ``columns sites crystals``, of series also ``shifts``.
    progress : Progress
    """
    size_nm = lattices.pixel_size_nm
    calibration = Calibration(size_nm, size_nm, "file", 0.0)
    start, n_columns = time.perf_counter(), 0
    for k, (image, tables, facts) in enumerate(_frames(lattices, n, seed)):
        truth.append(tables)
        n_columns += len(tables["columns"])
        progress(k + 1, n, n_columns, time.perf_counter() - start)
        yield (
            image,
            FrameRecord(
                k,
                "",
                0,
                image.shape,
                str(image.dtype),
                calibration,
                labels={name: facts[name] for name in facts if name == "series"},
                instrument={**lattices.detector_facts(), **facts},
            ),
        )


def _frames(
    lattices: Any, n: int, seed: int
) -> Iterator[tuple[np.ndarray, dict[str, Any], dict[str, Any]]]:
    from stempede.simulate.columns import frames, series
    from stempede.simulate.lattice_truth import TRUTH_SHIFTS
    from stempede.tables import Table

    scene = lattices.scene()
    if not lattices.series:
        for image, tables in frames(scene, n, seed):
            yield image, {_NAMES[name]: t for name, t in tables.items()}, {}
        return
    drift = lattices.series_drift_nm
    for first in range(0, n, lattices.series):
        number = first // lattices.series
        fast = series(scene, min(lattices.series, n - first), seed + number, drift_nm=drift)
        for k, (image, tables, shift) in enumerate(fast):
            frame = first + k
            named = {
                _NAMES[name]: t.with_columns({"frame": np.full(len(t), frame)})
                for name, t in tables.items()
            }
            row = {"frame": frame, "shift_y_px": shift[0], "shift_x_px": shift[1]}
            named["shifts"] = Table.from_rows(TRUTH_SHIFTS, [row])
            yield image, named, {"series": str(number), "series_index": k}
