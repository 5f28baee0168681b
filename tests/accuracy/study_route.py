"""What the particle route finds on simulated sessions, against their truth.

Run from the repository: ``PYTHONPATH=tests python -m accuracy.study_route --scale 1``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import ndimage

from accuracy.record import command_line
from accuracy.route import measure
from stempede.simulate.micrograph import Population, render
from stempede.tables import Table

Route = Callable[[Population, int, int], tuple[np.ndarray, dict[str, Table]]]

BASE = Population(height_px=2048, width_px=2048, count=400)
SHAPES = {"discs": "disc", "ellipses": "ellipse", "cuboids": "cube", "stars": "star"}
SPARSE = (
    *(f"{shape}, {noise} noise" for shape in SHAPES for noise in ("low", "medium")),
    "cuboids of 200 px",
    "stars of 200 px",
    "0.15 nm per px, 67 % touching",
    "0.25 nm per px, 0 % touching",
    "0.5 nm per px, 33 % touching",
)
"""Cells that a twentieth of the study is made of."""

# frames of a scaled-down study have the density of the whole one's
_SMALL_PX = 768


@dataclass(frozen=True)
class Cell:
    """One simulated session of the study and what kind of promise it belongs to."""

    kind: str
    population: Population
    frames: int


def cells() -> dict[str, Cell]:
    """Return the sessions of the whole study by name."""
    found = {}
    for name, shapes in SHAPES.items():
        for noise in ("low", "medium", "high"):
            cell = replace(BASE, shapes=shapes, noise=noise)
            found[f"{name}, {noise} noise"] = Cell(f"noise {noise}", cell, 4)
        bright = replace(BASE, shapes=shapes, polarity="bright")
        found[f"{name}, bright"] = Cell("bright", bright, 4)
        large = replace(BASE, shapes=shapes, count=20, mean_size_nm=50.0)
        found[f"{name} of 200 px"] = Cell("200 px", large, 20)
    for size_nm in (0.15, 0.25, 0.5):
        for touching in (0.0, 1 / 3, 2 / 3):
            cell = replace(BASE, pixel_size_nm=size_nm, touching=touching, count=0)
            name = f"{size_nm:g} nm per px, {round(100 * touching)} % touching"
            found[name] = Cell("one sample", cell, 8 if size_nm < 0.2 else 4)
    return found


def study(scale: float, seed: int = 0, route: Route = measure) -> dict[str, Any]:
    """Return recall, precision and the errors of mean and spread per cell.

    Below a fifth of the study only ``SPARSE`` cells are run, and frames of small
    particles are smaller.
    """
    result = {}
    for k, (name, cell) in enumerate(cells().items()):
        if scale < 0.2 and name not in SPARSE:
            continue
        population, frames = cell.population, max(round(scale * cell.frames), 1)
        if scale < 0.2 and cell.kind != "200 px":
            part = (_SMALL_PX / population.height_px) ** 2
            small = {"height_px": _SMALL_PX, "width_px": _SMALL_PX}
            population = replace(population, count=population.count * part, **small)
        result[name] = {"kind": cell.kind, **score(population, frames, seed + k, route)}
    return {"seed": seed, "cells": result}


def score(population: Population, n: int, seed: int, route: Route) -> dict[str, Any]:
    """Run the route on one session and hold it against the truth.

    Recall is over whole true particles, precision over accepted regions, at IoU 0.5.
    Errors of mean and spread are against the whole true particles with the weights of
    their true extents; ``mean_error_all`` is against all particles with their centre in
    a frame, whole or cut: the sample that the weights stand for.
    """
    labels, tables = route(population, n, seed)
    truth_labels, truth = _truth(population, n, seed)
    particles = tables["particles"]
    accepted = particles.take(particles["accepted"])
    found, matched, ratios = 0, 0, []
    for frame in range(n):
        here = truth.take(truth["frame"] == frame)
        mine = accepted.take(accepted["frame"] == frame)
        pairs = list(_matches(truth_labels[frame], labels[frame], set(mine["label"].tolist())))
        true_of = dict(pairs)
        found += sum(int(t) in true_of for t in here["label"][here["complete"]])
        matched += len(pairs)
        size = dict(zip(mine["label"].tolist(), mine["equivalent_diameter_px"], strict=True))
        for row in np.flatnonzero(here["complete"]):
            if int(here["label"][row]) in true_of:
                mine_px = size[true_of[int(here["label"][row])]]
                ratios.append(mine_px / here["equivalent_diameter_px"][row])
    true_mean, true_spread, true_all = _true_sizes(population, truth_labels, truth)
    mean = _ensemble(tables["ensemble"], "mean")
    spread = _ensemble(tables["ensemble"], "relative_sd")
    return {
        "frames": n,
        "true_particles": int(truth["complete"].sum()),
        "recall": found / int(truth["complete"].sum()),
        "precision": matched / max(len(accepted), 1),
        "mean_nm": mean,
        "mean_error": mean / true_mean - 1,
        "mean_error_all": mean / true_all - 1,
        "relative_sd_error": spread / true_spread - 1,
        "matched_diameter_bias": float(np.mean(ratios) - 1) if ratios else float("nan"),
        "matched_diameter_sd": float(np.std(ratios)) if ratios else float("nan"),
    }


def _true_sizes(
    population: Population, labels: np.ndarray, truth: Table
) -> tuple[float, float, float]:
    """Weighted mean and relative spread of whole particles, and the mean of all centred ones."""
    size = truth["equivalent_diameter_nm"]
    inside = (truth["y_px"] >= -0.5) & (truth["y_px"] < population.height_px - 0.5)
    inside &= (truth["x_px"] >= -0.5) & (truth["x_px"] < population.width_px - 0.5)
    rows = np.flatnonzero(truth["complete"])
    boxes = [ndimage.find_objects(frame) for frame in labels]
    where = [boxes[truth["frame"][k]][truth["label"][k] - 1] for k in rows]
    extent = np.array([[side.stop - side.start for side in box] for box in where])
    w = 1 / ((population.height_px - extent[:, 0]) * (population.width_px - extent[:, 1]))
    mean = np.average(size[rows], weights=w)
    variance = np.average((size[rows] - mean) ** 2, weights=w) * len(rows) / (len(rows) - 1)
    return float(mean), float(np.sqrt(variance) / mean), float(size[inside].mean())


def _truth(population: Population, n: int, seed: int) -> tuple[np.ndarray, Table]:
    rendered = [render(population, frame, seed) for frame in range(n)]
    return np.stack([r[1] for r in rendered]), Table.concat([r[2] for r in rendered])


def _ensemble(table: Table, quantity: str) -> float:
    """The session's edge-weighted value for the equivalent diameter."""
    wanted = {
        "scope": "session",
        "selection": "accepted",
        "size": "equivalent_diameter",
        "weighting": "edge",
        "quantity": quantity,
    }
    keep = np.logical_and.reduce([np.asarray(table[k] == v) for k, v in wanted.items()])
    (value,) = table["value"][keep]
    return float(value)


def _matches(truth: np.ndarray, mine: np.ndarray, accepted: set[int]) -> Iterator[tuple[int, int]]:
    """Pairs of labels that overlap by more than half of their union; each occurs once."""
    width = int(mine.max()) + 1
    both = np.bincount((truth.astype(np.int64) * width + mine).ravel())
    area_true, area_mine = np.bincount(truth.ravel()), np.bincount(mine.ravel())
    for pair in np.flatnonzero(both).tolist():
        t, m = divmod(pair, width)
        if t and m in accepted and both[pair] > (area_true[t] + area_mine[m]) / 3:
            yield t, m


if __name__ == "__main__":
    command_line("route", study)
