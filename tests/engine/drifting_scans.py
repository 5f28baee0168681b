"""Scans of a small drifting dot as a series of frames, shared by tests of registration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from series_drawing import Dot, dot, drift, series
from stempede.backend import Backend
from stempede.errors import InputError
from stempede.frames import FrameRecord, Frames

CPU = Backend.choose("cpu")
SHAPE = (150, 190)
SMALL = {"sigma_px": 1.5}
DOSE = 300.0


def small_dot(**drawing) -> Dot:
    return dot(SHAPE, **{"cells": 4.0, "a_px": 21.0, **drawing})


@dataclass(frozen=True)
class Held:
    """Reads images that are held in memory."""

    images: tuple

    def __call__(self, record: FrameRecord) -> np.ndarray:
        found = self.images[record.frame]
        if found is None:
            raise InputError("cannot be decoded")
        return found


def frames_of(images, **labels) -> Frames:
    shape = next(i.shape for i in images if i is not None)
    records = tuple(
        FrameRecord(
            k, "/s.tif", k, shape, "uint16", labels=labels, instrument={"dose_e_per_A2": DOSE}
        )
        for k in range(len(images))
    )
    return Frames(records, Held(tuple(images)), label_names=tuple(labels))


def batch_of(images, **labels):
    return frames_of(images, **labels).read(range(len(images)), CPU)


@cache
def eight_scans():
    """Eight scans of a small dot, their shifts, and the dot; nothing of it is to be changed."""
    rng = np.random.default_rng(11)
    d, shifts = small_dot(), drift(rng, 8, 18.0)
    return series(rng, SHAPE, d, shifts, DOSE, **SMALL), shifts, d


def shifts_of(table) -> np.ndarray:
    return np.stack([table["shift_y_px"], table["shift_x_px"]], 1)


def off(found, true) -> np.ndarray:
    """Errors of shifts, without what all scans share."""
    error = found - true
    return error - np.nanmean(error, 0)
