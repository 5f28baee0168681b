"""Fits of whole frames of simulated dots: scatter, stated errors, and what is lost.

Frames are Gaussian columns with Poisson counts, a detector of pulse heights or scan lines that
jitter; fits start from the true sites, off by a pixel. ``rms_over_error`` compares the scatter
with the errors that the fits state, which where electrons are many are those of the joint
model's Fisher information: what an unbiased fit of the same parameters can reach.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from accuracy.record import command_line
from stempede.backend import Backend
from stempede.columns.fit import Fit
from stempede.columns.tables import COLUMNS, CRYSTALS
from stempede.frames import Batch, Calibration, FrameRecord, frames_table
from stempede.simulate.columns import Dot, Scan, Scene, Tilt, render
from stempede.tables import Table

SPECIES = ("Pb+X", "Cs", "X")
STILL = Scan(height_px=361, width_px=353, astigmatism=0.03, astigmatism_deg=30.0)
CASES = {
    "200 e/A2": replace(STILL, dose_e_per_A2=200.0),
    "500 e/A2": replace(STILL, dose_e_per_A2=500.0),
    "2000 e/A2": replace(STILL, dose_e_per_A2=2000.0),
    "10000 e/A2": replace(STILL, dose_e_per_A2=10000.0),
    "300 e/A2, pulse heights": replace(STILL, dose_e_per_A2=300.0, detector="analog"),
    "2000 e/A2, jitter": replace(
        STILL, dose_e_per_A2=2000.0, jitter_x_nm=0.008, jitter_y_nm=0.0025
    ),
    "2000 e/A2, tails": replace(STILL, dose_e_per_A2=2000.0, tail=0.08),
}


def study(scale: float = 1.0) -> dict[str, Any]:
    """Return figures by case and species."""
    n = max(1, round(30 * scale))
    return {name: _case(scan, n) for name, scan in CASES.items()}


def _case(scan: Scan, n: int) -> dict[str, Any]:
    parts = [_frame(scan, seed) for seed in range(n)]
    merged = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    return {name: _figures(merged, merged["species"] == name) for name in SPECIES}


def _figures(merged: dict[str, np.ndarray], own: np.ndarray) -> dict[str, float]:
    seen = own & merged["seen"]
    off, error = merged["off"][seen], merged["error"][seen]
    pull = off / error
    strength = merged["intensity"][seen]
    inferred = own & ~merged["seen"] & merged["accepted"]
    return {
        "columns": int(own.sum()),
        "seen": float(seen.sum() / own.sum()),
        "inferred": float(inferred.sum() / own.sum()),
        "lost": float((np.abs(pull).max(axis=1) > 5).mean()),
        "rms_px": float(np.sqrt((off**2).mean())),
        "rms_over_error": float(np.sqrt((off**2).mean() / (error**2).mean())),
        "pull_mean": float(pull.mean()),
        "pull_sd": float(pull.std()),
        "within_1_96": float((np.abs(pull) < 1.96).mean()),
        "intensity_bias": float(strength[:, 0].mean()),
        "intensity_pull_sd": float(strength[:, 1].std()),
        "inferred_pull_sd": float(
            np.sqrt(((merged["off"] / merged["error"])[inferred] ** 2).mean())
        )
        if inferred.any()
        else float("nan"),
    }


def _frame(scan: Scan, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([17, seed])
    dot = Dot(cells=(6, 5), tilt=Tilt(core_deg=9.0))
    image, truth = render(Scene((dot,), scan), seed, seed=17)
    columns = truth["truth_columns"]
    yx = np.column_stack([columns["y_px"], columns["x_px"]])
    batch = _batch(image, scan, columns, yx + rng.normal(0, 0.8, yx.shape))
    table = Fit()(batch).tables["columns"]
    true = columns["intensity"]
    return {
        "species": np.array([str(s) for s in columns["species"]]),
        "seen": np.array([str(s) for s in table["state"]]) == "CONVERGED",
        "accepted": table["accepted"],
        "off": np.column_stack([table["y_px"], table["x_px"]]) - yx,
        "error": np.column_stack([table["se_y_px"], table["se_x_px"]]),
        "intensity": np.column_stack(
            [table["intensity"] / true - 1, (table["intensity"] - true) / table["se_intensity"]]
        ),
    }


def _batch(image: np.ndarray, scan: Scan, truth: Table, starts: np.ndarray) -> Batch:
    analog = scan.detector == "analog"
    electrons = (image.astype(np.float32) - scan.offset) / scan.gain if analog else image
    nm = scan.pixel_size_nm
    record = FrameRecord(0, "/drawn", 0, scan.shape, "float32", Calibration(nm, nm, "set", None))
    noise = "poisson-gaussian" if analog else "poisson"
    read = scan.read_noise if analog else 0.0
    frames = frames_table([record]).with_columns(
        {"noise_model": [noise], "read_noise_electrons": [read]}
    )
    n = len(starts)
    sigma = np.full(n, 0.045 / nm)
    columns = {
        **{name: truth[name] for name in ("frame", "crystal", "species", "i", "j")},
        "column": np.arange(n),
        "y_px": starts[:, 0],
        "x_px": starts[:, 1],
        "sigma_major_px": sigma,
        "sigma_minor_px": sigma,
    }
    columns["frame"] = np.zeros(n, np.int64)
    electrons = np.asarray(electrons, np.float32)[None]
    return Batch(
        images=electrons,
        records=(record,),
        backend=Backend.choose("cpu"),
        maps={"electrons": electrons, "valid": np.ones(electrons.shape, bool)},
        tables={
            "frames": frames,
            "columns": Table(COLUMNS, columns),
            "crystals": Table.empty(CRYSTALS),
        },
    )


if __name__ == "__main__":
    command_line("frame_fits", study)
