"""The shipped columns route on simulated frames in memory, held against their truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from stempede.backend import Backend
from stempede.columns.cells import CellsStage
from stempede.columns.fit import Fit
from stempede.columns.layers import Layers
from stempede.columns.octahedra import Octahedra
from stempede.columns.tables import COLUMNS, CRYSTALS
from stempede.frames import Batch, Calibration, FrameRecord, Frames
from stempede.pipeline import Pipeline
from stempede.preprocess.counts import Counts
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


START_NM = 0.02
"""How far from the true columns a known lattice puts the start of the fit, per axis."""


@dataclass(frozen=True)
class KnownNodes:
    """Stands for peaks and lattice: every column, started 0.2 Å per axis beside the true place."""

    scene: Scene
    seed: int

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with ``columns`` to be fitted and ``crystals``."""
        frame = int(batch.frames[0])
        truth = lay_out(self.scene, frame, self.seed)
        columns, crystals = truth["truth_columns"], truth["truth_crystals"]
        n = len(columns)
        rng = np.random.default_rng([self.seed, frame, 1])
        beside = START_NM / self.scene.scan.pixel_size_nm * rng.standard_normal((2, n))
        start = {"y_px": columns["y_px"] + beside[0], "x_px": columns["x_px"] + beside[1]}
        start["sigma_major_px"] = np.full(n, columns["sigma_px"].mean())
        known = {name: columns[name] for name in ("crystal", "i", "j", "species")}
        column = {
            "column": np.arange(n),
            "state": np.full(n, "NOT_RUN"),
            "frame": np.full(n, frame),
        }
        given = ("frame", "crystal", "y_px", "x_px", "a_y_px", "a_x_px", "b_y_px", "b_x_px")
        return batch.with_(
            tables={
                "columns": Table(COLUMNS, {**start, **known, **column}),
                "crystals": Table(CRYSTALS, {name: crystals[name] for name in given}),
            }
        )


def measure_known(
    scenes: tuple[Scene, ...], seed: int
) -> tuple[dict[str, Table], list[dict[str, Table]]]:
    """Fit and measure with the lattice given: the route without finding anything."""
    backend = Backend.choose("cpu")
    frames = session(scenes, seed)
    parts, truth = [], []
    for k, scene in enumerate(scenes):
        batch = frames.read([k], backend)
        for stage in (Counts(), KnownNodes(scene, seed), Fit(), Octahedra(), CellsStage()):
            batch = stage(batch)
        parts.append(batch.tables)
        truth.append(lay_out(scene, k, seed))
    tables = {name: Table.concat([p[name] for p in parts]) for name in parts[0]}
    return tables | Layers()(tables), truth


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
