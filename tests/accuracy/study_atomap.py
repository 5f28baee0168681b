"""Positions of a run against those of Atomap for the same columns, by images with a truth.

``stempede run LATTICES --recipe columns --metadata META --out R``, then
``STEMPEDE_BENCH_ATOMAP=python PYTHONPATH=bench:tests python -m accuracy.study_atomap R LATTICES``
with the interpreter of an environment that holds ``atomap==0.4.2``. Each folder of LATTICES
holds ``image.tif``, ``meta.json`` and ``truth.json``. Atomap starts where the run's columns
stand, and refines by its 2-D Gaussians within 0.4 of the distance to the nearest neighbour.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from scipy.spatial import cKDTree

from accuracy.record import write
from stempede.io.results import Results
from stempede_bench.foreign import Foreign

LEAST_DOSE = 800.0
"""Electrons per Å² from which every column is seen, so that both have the same ones."""

NEAR_NM = 0.05
"""A column is that of the truth within this distance; a peer's error counts as no more."""

RIM_NM = 0.15
DRAWS = 4000


def study(run: Path, lattices: Path) -> dict[str, Any]:
    """Return errors in pm and their ratios with 95 % of paired bootstraps, by case and species."""
    results = Results(run)
    frames, columns = results.read("frames"), results.read("columns")
    found: dict[str, Any] = {}
    for frame, source in zip(frames["frame"], frames["source"]):
        folder = lattices / Path(str(source)).parent.name
        meta = json.loads((folder / "meta.json").read_text())
        if meta["dose_e_per_A2"] < LEAST_DOSE:
            continue
        rows = (columns["frame"] == frame) & columns["accepted"] & np.isfinite(columns["y_px"])
        start = np.stack([columns["y_px"][rows], columns["x_px"][rows]], axis=1)
        found[folder.name] = _errors(folder, start, meta["pixel_size_nm"])
    cases = {name: _by_species(*errors) for name, errors in found.items()}
    whole = tuple(np.concatenate(part) for part in zip(*found.values()))
    return {"cases": cases, "pooled": _by_species(*whole)}


def _errors(folder: Path, start: np.ndarray, pixel_nm: float) -> tuple[np.ndarray, ...]:
    """Return species and the squared errors, pm², of a run's and of Atomap's positions."""
    image = tifffile.imread(folder / "image.tif").astype(float)
    theirs = Foreign("atomap_columns", "STEMPEDE_BENCH_ATOMAP", image=image, start=start).call()
    columns = json.loads((folder / "truth.json").read_text())["columns"]
    known = [c for c in columns if not c["ignore"]]
    truth = np.array([[c["y_px"], c["x_px"]] for c in known])
    species = np.array([c["species"] for c in known])
    rim = RIM_NM / pixel_nm
    inside = ((truth > rim) & (truth < np.array(image.shape) - 1 - rim)).all(axis=1)
    away, own = cKDTree(start).query(truth[inside])
    near = away < NEAR_NM / pixel_nm
    there, which = truth[inside][near], own[near]
    squares = [
        np.minimum(((at[which] - there) ** 2).sum(axis=1) * (1e3 * pixel_nm) ** 2, 1e6 * NEAR_NM**2)
        for at in (start, theirs["position"])
    ]
    return species[inside][near], *squares


def _by_species(species: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    kinds = {kind: species == kind for kind in np.unique(species).tolist()}
    kinds["all"] = np.ones(len(species), bool)
    return {kind: _compared(ours[rows], theirs[rows]) for kind, rows in kinds.items()}


def _compared(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    draws = np.random.default_rng(0).integers(0, len(ours), (DRAWS, len(ours)))
    ratios = np.sqrt(ours[draws].sum(axis=1) / theirs[draws].sum(axis=1))
    low, high = np.percentile(ratios, [2.5, 97.5]).tolist()
    return {
        "n": len(ours),
        "rmse_axis_pm": float(np.sqrt(ours.mean() / 2)),
        "rmse_axis_pm_atomap": float(np.sqrt(theirs.mean() / 2)),
        "ratio": float(np.sqrt(ours.sum() / theirs.sum())),
        "ratio_95": [low, high],
    }


if __name__ == "__main__":
    write("atomap", study(Path(sys.argv[1]), Path(sys.argv[2])))
