"""A few small simulated micrographs of two shapes, for tests of the shipped route."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stempede.frames import Calibration, FrameRecord, Frames
from stempede.simulate.micrograph import render
from stempede.simulate.population import Population

SHAPES = ((192, 230), (170, 201))


@dataclass(frozen=True)
class Simulator:
    """Renders a frame by its number, the same whoever asks."""

    def __call__(self, record: FrameRecord) -> np.ndarray:
        height, width = record.shape
        shown = Population(
            height_px=height,
            width_px=width,
            pixel_size_nm=0.5,
            count=14,
            mean_size_nm=9,
            touching=0.4,
        )
        return render(shown, record.frame, 5)[0]


def micrographs(n: int) -> Frames:
    """Return n frames, every third of the smaller shape."""
    calibration = Calibration(0.5, 0.5, "set")
    records = [
        FrameRecord(k, f"/sim/{k}.tif", 0, SHAPES[k % 3 == 2], "uint16", calibration)
        for k in range(n)
    ]
    return Frames(tuple(records), Simulator(), "simulated")
