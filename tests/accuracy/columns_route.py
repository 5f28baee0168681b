"""The shipped columns route on simulated frames in memory, held against their truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from stempede.backend import Backend
from stempede.frames import Calibration, FrameRecord, Frames
from stempede.pipeline import Pipeline
from stempede.recipe import Recipe
from stempede.simulate.columns import Scene, lay_out, render
from stempede.tables import Table

GATE_NM = 0.1
"""A site is found where its Pb is within 1 Å of the true one."""


@dataclass(frozen=True)
class Simulated:
    """Reads frames of simulated scenes by number."""

    scenes: tuple[Scene, ...]
    seed: int

    def __call__(self, record: FrameRecord) -> np.ndarray:
        return render(self.scenes[record.frame], record.frame, self.seed)[0]


def session(scenes: tuple[Scene, ...], seed: int) -> Frames:
    """Return a frame per scene, with what an instrument would tell."""
    records = []
    for k, scene in enumerate(scenes):
        scan = scene.scan
        analog = scan.detector == "analog"
        facts = {
            "dose_e_per_A2": scan.dose_e_per_A2,
            "gain_per_electron": scan.gain if analog else 1.0,
            "offset": scan.offset if analog else 0.0,
            "read_noise_electrons": scan.read_noise if analog else 0.0,
        }
        size = Calibration(scan.pixel_size_nm, scan.pixel_size_nm, "set", 0.0)
        kind = "float32" if analog else "uint16"
        source = f"/simulated/{k:04d}.tif"
        records.append(FrameRecord(k, source, 0, scan.shape, kind, size, instrument=facts))
    return Frames(tuple(records), Simulated(scenes, seed))


def measure(
    scenes: tuple[Scene, ...], seed: int, recipe: str = "columns"
) -> tuple[dict[str, Table], list[dict[str, Table]]]:
    """Run the recipe on a frame per scene; return its tables and the truth of each frame."""
    backend = Backend.choose("cpu")
    plan = Recipe.load(recipe)
    frames = session(scenes, seed)
    pipeline = Pipeline.from_specs(plan.specs("stage"))
    parts, truth = [], []
    for k, scene in enumerate(scenes):
        outcome = pipeline.measure(frames[k : k + 1], frames.read([k], backend))
        if not len(outcome.frames):
            raise RuntimeError(f"frame {k}: {outcome.tables['problems']['reason'][0]}")
        parts.append(outcome.tables)
        truth.append(lay_out(scene, k, seed))
    shared = set.intersection(*(set(p) for p in parts))
    tables = {name: Table.concat([p[name] for p in parts]) for name in sorted(shared)}
    for reduction in plan.of_kind("reduce"):
        tables |= reduction(tables)
    return tables, truth


def match_sites(
    found: dict[str, Table], truth: dict[str, Table], frame: int, pixel_size_nm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of the octahedra and of the true sites that are the same Pb."""
    sites, octahedra = truth["truth_sites"], found["octahedra"]
    rows = np.flatnonzero(octahedra["frame"] == frame)
    if not len(rows):
        return rows, rows
    here = np.column_stack([octahedra["pb_y_px"][rows], octahedra["pb_x_px"][rows]])
    there = np.column_stack([sites["y_px"], sites["x_px"]])
    apart, nearest = cKDTree(here).query(there)
    own = np.flatnonzero(apart < GATE_NM / pixel_size_nm)
    _, first = np.unique(nearest[own], return_index=True)
    own = own[first]
    return rows[nearest[own]], own
