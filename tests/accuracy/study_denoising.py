"""What denoising does to the answers: found, placed, named, and tilts that must not shrink.

The shipped columns route with each method of ``preprocess.denoise``, everything else as it is:
places are looked for on the denoised map, and fitted on the counts. Dots of random tilt (mean
within 8°, sd 3° from site to site) test recall, errors, slopes and variance at each dose; at
200 e/Å² dots with a step of tilt and a vacancy, with one octahedron turned the other way, and
without any tilt test whether what is rare survives. Slopes are those of sites that every method
found. ``self`` is adapted to the first eight dots; ``self, left out`` is
the same of the others, beside ``none, left out``.

Run from the repository: ``PYTHONPATH=tests python -m accuracy.study_denoising --scale 1``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from accuracy.columns_route import match_sites, session
from accuracy.record import command_line
from stempede.backend import Backend
from stempede.pipeline import Pipeline
from stempede.preprocess.denoise_self import Denoiser
from stempede.recipe import Recipe
from stempede.simulate.columns import Dot, Scan, Scene, Tilt, lay_out
from stempede.tables import Table

METHODS = ("none", "gaussian", "nlm", "pretrained", "self")
DOSES = (100, 200)
PIXEL_NM = 0.015
FRAME_PX = 416
DOTS, RARE_DOTS, ADAPTED_TO = 15, 3, 8
SD_DEG = 3.0
NEAR_NM = 0.1
"""A column is found within 1 Å of the true one."""

Answers = list[tuple[dict[str, Table], dict[str, Table]]]
"""Tables found and true, by frame."""


@dataclass(frozen=True)
class Reversed(Tilt):
    """A uniform tilt, but for one octahedron inside, which turns the other way.

    Its X columns, shared with neighbours that turn as before, then stand on their bonds.
    """

    def staggered(self, i: np.ndarray, layer: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        tilt = super().staggered(i, layer, rng)
        inside = np.flatnonzero(layer == layer.max())
        tilt.ravel()[inside[len(inside) // 2]] *= -1
        return tilt


def study(
    scale: float,
    seed: int = 0,
    methods: Sequence[str] = METHODS,
    doses: Sequence[int] = DOSES,
) -> dict[str, Any]:
    """Return what each method finds, by dose, and what becomes of the rare."""
    n = max(3, round(scale * DOTS))
    result: dict[str, Any] = {"seed": seed, "frames_px": FRAME_PX, "doses": {}}
    for dose in doses:
        scenes = tuple(_random_dot(k, dose, seed) for k in range(n))
        result["doses"][str(dose)] = _random(scenes, seed + dose, methods)
    few = max(1, round(scale * RARE_DOTS))
    result["rare_at_200"] = {m: _rare(m, few, seed + 7) for m in methods}
    return result


def _scan(dose: float) -> Scan:
    side = {"height_px": FRAME_PX, "width_px": FRAME_PX, "pixel_size_nm": PIXEL_NM}
    return Scan(dose_e_per_A2=dose, carbon=0.1, jitter_x_nm=0.008, jitter_y_nm=0.0024, **side)


def _random_dot(k: int, dose: float, seed: int) -> Scene:
    mean = np.random.default_rng([seed, k]).uniform(-8, 8)
    tilt = Tilt("random", mean, sd_deg=SD_DEG, correlation_cells=1.0)
    return Scene((Dot(cells=(8, 8), tilt=tilt),), _scan(dose))


def measure(scenes: tuple[Scene, ...], method: str, seed: int) -> Answers:
    """Return tables found and true of each scene."""
    backend, frames = Backend.choose("cpu"), session(scenes, seed)
    recipe = Recipe.load("columns").set(f"denoise.method={method}")
    pipeline = Pipeline.from_specs(recipe.specs("stage"))
    prepared: Mapping[str, Any] = {}
    if method == "self":
        first = [frames.read([k], backend) for k in range(min(ADAPTED_TO, len(scenes)))]
        prepared = {Denoiser.name: Denoiser()(first)}
    answers = []
    for k, scene in enumerate(scenes):
        batch = replace(frames.read([k], backend), prepared=prepared)
        outcome = pipeline.measure(frames[k : k + 1], batch)
        answers.append((dict(outcome.tables), lay_out(scene, k, seed)))
    return answers


def _random(scenes: tuple[Scene, ...], seed: int, methods: Sequence[str]) -> dict[str, Any]:
    """Return recall, errors, slopes and variance of each method on the same dots."""
    answers: dict[str, Answers] = {}
    cells: dict[str, Any] = {}
    for method in methods:
        answers[method] = measure(scenes, method, seed)
        cells[method] = dict(columns(answers[method]))
        print(method, cells[method], flush=True)
    tilts = {m: [_tilts(a, k) for k, a in enumerate(found)] for m, found in answers.items()}
    common = [
        np.logical_and.reduce([np.isfinite(t[k]).all(axis=0) for t in tilts.values()])
        for k in range(len(scenes))
    ]
    for method, pairs in tilts.items():
        cells[method] |= slopes([p[:, c] for p, c in zip(pairs, common, strict=True)])
        cells[method]["with_tilt"] = float(np.mean(np.isfinite(np.concatenate(pairs, 1)).all(0)))
    left = slice(ADAPTED_TO, None)
    if "self" in tilts and len(scenes) > ADAPTED_TO + 1:
        for method in ("none", "self"):
            pairs = [p[:, c] for p, c in zip(tilts[method][left], common[left], strict=True)]
            cells[f"{method}, left out"] = {**columns(answers[method], left), **slopes(pairs)}
    return cells


def columns(answers: Answers, which: slice = slice(None)) -> dict[str, float]:
    """Return recall, precision, errors in pm and share of right species of accepted columns."""
    off, right, found, true = [], [], 0, 0
    for tables, truth in answers[which]:
        rows, known = tables["columns"], truth["truth_columns"]
        rows, known = rows.take(rows["accepted"]), known.take(known["inside"])
        here, there = (np.stack([t["y_px"], t["x_px"]], 1) for t in (rows, known))
        found, true = found + len(here), true + len(there)
        if not len(here):
            continue
        apart, nearest = cKDTree(here).query(there)
        own = np.flatnonzero(apart * PIXEL_NM < NEAR_NM)
        off.append((here[nearest[own]] - there[own]) * PIXEL_NM * 1e3)
        right.append(rows["species"][nearest[own]] == known["species"][own])
    error = np.concatenate([*off, np.zeros((0, 2))])
    some = len(error) > 0
    return {
        "recall": len(error) / max(true, 1),
        "precision": len(error) / max(found, 1),
        "rmse_pm_per_axis": float(np.sqrt(np.mean(error**2))) if some else np.nan,
        "bias_pm": float(np.hypot(*error.mean(0))) if some else np.nan,
        "species_right": float(np.mean(np.concatenate(right))) if some else np.nan,
    }


def _tilts(answer: tuple[dict[str, Table], dict[str, Table]], k: int) -> np.ndarray:
    """Return (3, sites) true and found staggered tilt and its error; NaN where not found."""
    found, truth = answer
    sites = truth["truth_sites"]
    pair = np.full((3, len(sites)), np.nan)
    sign = np.where((sites["i"] + sites["j"]) % 2, -1.0, 1.0)
    pair[0] = sites["tilt_deg"] * sign
    rows, own = match_sites(found, truth, k, PIXEL_NM)
    pair[1, own] = found["octahedra"]["tilt_deg"][rows] * sign[own]
    pair[2, own] = found["octahedra"]["se_tilt_deg"][rows]
    return pair


def slopes(pairs: list[np.ndarray]) -> dict[str, float]:
    """Return slopes of found on true tilt, and the variance found over true plus errors."""
    pairs = [p for p in pairs if p.shape[1] > 3]
    means = np.array([p[:2].mean(axis=1) for p in pairs]).T
    sites = np.concatenate([p[:2] - p[:2].mean(axis=1, keepdims=True) for p in pairs], axis=1)
    noise = np.concatenate([p[2] ** 2 for p in pairs])
    x, y = means - means.mean(axis=1, keepdims=True)
    power = float(sites[0] @ sites[0])
    slope = float(sites[0] @ sites[1]) / power
    scatter = float(np.std(sites[1] - slope * sites[0]))
    return {
        "sites": sites.shape[1],
        "tilt_rmse_deg": float(np.sqrt(np.mean(np.concatenate([p[1] - p[0] for p in pairs]) ** 2))),
        "slope_of_dot_means": float(x @ y / (x @ x)),
        "slope_of_sites": slope,
        "se_slope_of_sites": scatter / power**0.5,
        "variance_over_expected": float(
            np.mean(sites[1] ** 2) / (np.mean(sites[0] ** 2) + noise.mean())
        ),
    }


def _rare(method: str, n: int, seed: int) -> dict[str, float]:
    """Return what is left of a step, a vacancy, a reversed octahedron and no tilt at all."""
    step = Dot(cells=(8, 8), tilt=Tilt("core-shell", 9.0, 3.0, layers=1), vacancies=1)
    turned = Dot(cells=(8, 8), tilt=Reversed("uniform", 9.0))
    flat = Dot(cells=(8, 8), tilt=Tilt("uniform", 0.0))
    dots = [dot for dot in (step, turned, flat) for _ in range(n)]
    answers = measure(tuple(Scene((d,), _scan(200)) for d in dots), method, seed)
    pairs = [_tilts(a, k) for k, a in enumerate(answers)]
    shell = [a[1]["truth_sites"]["layer"] == 0 for a in answers]
    steps = [_step(p, s) for p, s in zip(pairs[:n], shell[:n], strict=True)]
    lone = np.concatenate([p[:, p[0] < 1] for p in pairs[n : 2 * n]], axis=1)
    still = np.array([np.nanmean(p[1]) for p in pairs[2 * n :]])
    result = {
        "dots": n,
        "step_kept": float(np.mean([s[1] / s[0] for s in steps])),
        "vacancies_kept": float(np.mean([_empty(a, k) for k, a in enumerate(answers[:n])])),
        "reversed_true_deg": float(np.nanmean(lone[0])),
        "reversed_found_deg": float(np.nanmean(lone[1])),
        "reversed_rmse_deg": float(np.sqrt(np.nanmean((lone[1] - lone[0]) ** 2))),
        "untilted_mean_deg": float(still.mean()),
        "untilted_largest_deg": float(abs(still).max()),
    }
    print(method, result, flush=True)
    return result


def _step(pair: np.ndarray, shell: np.ndarray) -> np.ndarray:
    """Return core less shell, true and found, of the sites found."""
    seen = np.isfinite(pair[1])
    core, rim = pair[:2, seen & ~shell], pair[:2, seen & shell]
    return np.asarray(core.mean(axis=1) - rim.mean(axis=1))


def _empty(answer: tuple[dict[str, Table], dict[str, Table]], k: int) -> bool:
    """Whether no column was accepted where the B column is missing: at the middle of four X."""
    found, truth = answer
    known = truth["truth_columns"].take(truth["truth_columns"]["species"] == "Pb+X")
    cell = truth["truth_crystals"]
    b = {(int(i), int(j)) for i, j in zip(known["i"], known["j"], strict=True)}
    gone = [s for s in _grid(b) if s not in b]
    a_vector, b_vector = ([cell[f"{v}_{c}_px"][0] for c in "yx"] for v in "ab")
    middle = [
        known["y_px"].mean() - known["i"].mean() * a_vector[0] - known["j"].mean() * b_vector[0],
        known["x_px"].mean() - known["i"].mean() * a_vector[1] - known["j"].mean() * b_vector[1],
    ]
    places = np.array([np.add(middle, np.dot(s, [a_vector, b_vector])) for s in gone])
    rows = found["columns"].take(found["columns"]["accepted"])
    here = np.stack([rows["y_px"], rows["x_px"]], axis=1)
    return bool(cKDTree(here).query(places)[0].min() * PIXEL_NM > NEAR_NM)


def _grid(b: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return every B site of the rectangle that holds some."""
    i, j = zip(*b, strict=True)
    return [(p, q) for p in range(min(i), max(i) + 1) for q in range(min(j), max(j) + 1)]


if __name__ == "__main__":
    command_line("denoising", study)
