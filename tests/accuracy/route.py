"""The shipped particle route on simulated frames in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stempede.backend import Backend
from stempede.frames import Calibration, FrameRecord, Frames
from stempede.particles.accept import Accept
from stempede.particles.ensemble import Ensemble
from stempede.particles.features import Features
from stempede.pipeline import Pipeline
from stempede.recipe import Recipe
from stempede.simulate.micrograph import Population, render
from stempede.stage import Remeasuring
from stempede.tables import Table


@dataclass(frozen=True)
class Simulated:
    """Reads frames of a simulated session by number."""

    population: Population
    seed: int

    def __call__(self, record: FrameRecord) -> np.ndarray:
        return render(self.population, record.frame, self.seed)[0]


def session(population: Population, n: int, seed: int) -> Frames:
    """Return n simulated frames with their calibration."""
    size = population.pixel_size_nm
    calibration = Calibration(size, size, "set", 0.0)
    records = tuple(
        FrameRecord(k, f"/simulated/{k:04d}.tif", 0, population.shape, "uint16", calibration)
        for k in range(n)
    )
    return Frames(records, Simulated(population, seed))


def measure(
    population: Population, n: int, seed: int, recipe: str = "particles"
) -> tuple[np.ndarray, dict[str, Table]]:
    """Run a shipped recipe on n frames.

    Returns the (n, y, x) label maps and the tables of the route and of its reductions.
    """
    backend = Backend.choose("cpu")
    plan = Recipe.load(recipe)
    frames = session(population, n, seed)
    pipeline = Pipeline.from_specs(plan.specs("stage"))
    prepared = {}
    for prepare in plan.of_kind("prepare"):
        batch = frames.read(range(min(n, plan.prepare_frames)), backend)
        prepared[prepare.name] = prepare([batch])
    labels, parts = [], []
    for frame in range(n):
        batch = frames.read([frame], backend)
        batch = type(batch)(**{**vars(batch), "prepared": prepared})
        outcome = pipeline.measure(frames[frame : frame + 1], batch, keep=("labels",))
        if not len(outcome.frames):
            raise RuntimeError(f"frame {frame}: {outcome.tables['problems']['reason'][0]}")
        labels.append(outcome.maps["labels"][0])
        parts.append(outcome.tables)
    tables = {name: Table.concat([p[name] for p in parts]) for name in parts[0]}
    for reduction in plan.of_kind("reduce"):
        # those that measure frames again need a session; the study moves no threshold
        if not isinstance(reduction, Remeasuring):
            tables |= reduction(tables)
    return np.stack(labels), tables


def measure_truth(population: Population, n: int, seed: int) -> tuple[np.ndarray, dict[str, Table]]:
    """Measure, accept and summarise the true outlines: all of the route but finding them."""
    backend = Backend.choose("cpu")
    frames = session(population, n, seed)
    labels, parts = [], []
    for frame in range(n):
        labels.append(render(population, frame, seed)[1])
        batch = frames.read([frame], backend).with_(maps={"labels": labels[-1][None]})
        parts.append(Accept()(Features()(batch)).tables)
    tables = {k: Table.concat([p[k] for p in parts]) for k in ("frames", "particles")}
    return np.stack(labels), {**tables, **Ensemble()(tables)}
