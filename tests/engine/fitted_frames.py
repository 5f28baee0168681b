"""Frames of drawn columns, and the tables that a fit starts from, shared by tests of fits."""

import numpy as np

from stempede.backend import Backend
from stempede.columns.tables import COLUMNS, CRYSTALS
from stempede.frames import Batch, Calibration, FrameRecord, frames_table
from stempede.tables import Table

A, B = np.array([1.5, 36.0]), np.array([38.0, -1.0])
SHARES = {"Pb+X": 1.0, "Cs": 0.34, "X": 0.32}


def lattice(cells=(3, 2), origin=(24.0, 26.0), tilt_px=2.0):
    """Return i, j, species, y, x of a small crystal whose X columns shift in a checkerboard."""
    i, j, species, yx = [], [], [], []
    for p in np.arange(0, cells[0] + 0.5, 0.5):
        for q in np.arange(0, cells[1] + 0.5, 0.5):
            half = (p % 1 > 0, q % 1 > 0)
            name = "Cs" if all(half) else "X" if any(half) else "Pb+X"
            place = np.array(origin) + p * A + q * B
            if name == "X":
                sign = (-1) ** (int(np.floor(p)) + int(np.floor(q)))
                across = B if half[0] else -A
                place = place + sign * tilt_px * across / np.hypot(*across)
            i.append(p)
            j.append(q)
            species.append(name)
            yx.append(place)
    return np.array(i), np.array(j), np.array(species), np.array(yx)


def drawn(yx, intensity, shape, *, sigma=2.4, level=0.02, rng=None):
    """Return the frame's electrons: expected ones without a generator."""
    y, x = np.indices(shape)
    mean = np.full(shape, float(level))
    for (cy, cx), n in zip(yx, intensity):
        mean += (
            n / (2 * np.pi * sigma**2) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * sigma**2))
        )
    return mean if rng is None else rng.poisson(mean).astype(np.float32)


def fitted(i, j, species, yx, **fields):
    """Return rows of one crystal as columns.fit would leave them; ``fields`` add or replace."""
    rows = {
        "frame": np.zeros(len(i), int),
        "crystal": np.zeros(len(i), int),
        "y_px": yx[:, 0],
        "x_px": yx[:, 1],
        "i": i,
        "j": j,
        "species": species,
        "state": np.full(len(i), "CONVERGED", dtype=object),
    }
    return Table(COLUMNS, {**rows, **fields})


def batch_of(electrons, i, j, species, starts, *, crystal=None, noise="poisson", read=0.0):
    """Return a batch of one frame as columns.lattice would leave it."""
    electrons = np.asarray(electrons, np.float32)
    record = FrameRecord(
        7, "/a/b.tif", 0, electrons.shape, "float32", Calibration(0.016, 0.016, "set", None)
    )
    frames = frames_table([record]).with_columns(
        {"noise_model": [noise], "read_noise_electrons": [read]}
    )
    n = len(i)
    columns = {
        "frame": np.full(n, 7),
        "crystal": np.zeros(n, int) if crystal is None else crystal,
        "column": np.arange(n),
        "y_px": starts[:, 0],
        "x_px": starts[:, 1],
        "sigma_major_px": np.full(n, 2.2),
        "sigma_minor_px": np.full(n, 2.2),
        "species": species,
        "state": np.full(n, "NOT_RUN"),
        "i": i,
        "j": j,
    }
    crystals = {"frame": [7], "crystal": [0], "a_y_px": [A[0]], "a_x_px": [A[1]]}
    return Batch(
        images=electrons[None],
        records=(record,),
        backend=Backend.choose("cpu"),
        maps={"electrons": electrons[None], "valid": np.ones((1, *electrons.shape), bool)},
        tables={
            "frames": frames,
            "columns": Table(COLUMNS, columns),
            "crystals": Table(CRYSTALS, crystals),
        },
    )
