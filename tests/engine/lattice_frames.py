"""Simulated frames as the stages of the columns route read them, and their scores."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from stempede.backend import Backend
from stempede.columns.lattice import Lattice
from stempede.columns.peaks import Peaks
from stempede.frames import Batch, Calibration, FrameRecord, frames_table
from stempede.simulate.columns import Dot, Scan, Scene, Tilt, render

PIXEL_NM = 0.015


def batch_of(electrons, *, noise="poisson", read=0.0, pixel_nm=PIXEL_NM, first=3):
    """Return a batch of (b, y, x) electrons, or of one (y, x) frame."""
    stack = np.asarray(electrons, np.float32)
    stack = stack[None] if stack.ndim == 2 else stack
    calibration = Calibration(pixel_nm, pixel_nm, "set") if pixel_nm else Calibration()
    records = tuple(
        FrameRecord(first + k, f"/a/{k}.tif", 0, stack.shape[1:], "float32", calibration)
        for k in range(len(stack))
    )
    n = len(stack)
    frames = frames_table(records).with_columns(
        {"noise_model": [noise] * n, "read_noise_electrons": [read] * n}
    )
    return Batch(
        images=stack,
        records=records,
        backend=Backend.choose("cpu"),
        maps={"electrons": stack, "valid": np.isfinite(stack)},
        tables={"frames": frames},
    )


def dot_frame(dose=1000.0, *, frame=0, size=(300, 331), scan=None, **dot):
    """Return (electrons, truth tables) of one dot of a few cells."""
    settings = {"cells": (5, 4), "tilt": Tilt(core_deg=8.0), **dot}
    height, width = size
    scan = Scan(height, width, PIXEL_NM, dose, drift_nm=(0.03, -0.02), **(scan or {}))
    image, truth = render(Scene((Dot(**settings),), scan), frame, seed=2)
    return np.asarray(image, np.float32), truth


def lattice_of(electrons, *, crystal="CsPbI3", **keywords):
    """Run both stages on electrons."""
    return Lattice(crystal=crystal)(Peaks()(batch_of(electrons, **keywords)))


def points(table):
    return np.stack([table["y_px"], table["x_px"]], axis=1)


def scores(columns, truth, radius_px):
    """Return precision, recall, and share of right species, nearest within a radius."""
    found, true = columns.take(columns["accepted"]), truth.take(truth["inside"])
    off, index = cKDTree(points(true)).query(points(found))
    near = off < radius_px
    held = len(np.unique(index[near]))
    right = found["species"][near] == true["species"][index[near]]
    return near.mean(), held / len(true), right.mean()
