"""Rehearsal: what a process does for the first time is done before the first frame is there.

Modules, compiled code, networks and the libraries that write tables take seconds to load.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from stempede.chunk import Chunk, Measuring
from stempede.live.replay import as_tiff
from stempede.stage import door
from stempede.tables import MISSING

SIDE_PX = 256
SPACING_PX = 24
RADIUS_PX = 9
SMALLEST = 0.6
PIXEL_SIZE_NM = 0.2


def rehearse(work: Measuring) -> None:
    """Measure a drawn frame from file to tables, in a folder that is removed again.

    Parameters
    ----------
    work : Measuring
        As the run will do it; its own folder is not touched.
    """
    with tempfile.TemporaryDirectory(prefix="stempede-") as folder:
        source, run = Path(folder) / "rehearsal.tif", Path(folder) / "run"
        source.write_bytes(as_tiff(drawn()))
        frames = door("open_frames")(str(source), pixel_size_nm=PIXEL_SIZE_NM)
        # a number that no frame of a session has
        frames = replace(frames, records=(replace(frames.records[0], frame=MISSING),))
        door("results").create(run, {}).lock.release()
        here, chunk = replace(work, run=str(run)), Chunk(0, frames)
        here.compute(chunk, here.read(chunk))


def drawn() -> np.ndarray:
    """Return discs in rows, bright on noise, some of which touch: (y, x) uint16."""
    rng = np.random.default_rng(0)
    image = rng.normal(1000.0, 60.0, (SIDE_PX, SIDE_PX))
    y, x = np.ogrid[:SIDE_PX, :SIDE_PX]
    for y0 in range(SPACING_PX, SIDE_PX - SPACING_PX, SPACING_PX):
        for x0 in range(SPACING_PX, SIDE_PX - SPACING_PX, SPACING_PX):
            dy, dx = rng.uniform(-0.25, 0.25, 2) * SPACING_PX
            radius = RADIUS_PX * rng.uniform(SMALLEST, 1.0)
            image[np.hypot(y - y0 - dy, x - x0 - dx) < radius] += 600.0
    return image.astype(np.uint16)
