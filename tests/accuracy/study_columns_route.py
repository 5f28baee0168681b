"""Tilts of simulated dots through the whole route: errors as stated, no pull to the mean.

Doses, pixels and detectors are those of ``p04`` (200 e/Å², counts), ``p05`` (500, counts) and
``p10`` (300, analog). Uniform dots test the errors; dots of random tilt, from site to site and
from dot to dot, test the slope of found on true tilt.

Run from the repository: ``PYTHONPATH=tests python -m accuracy.study_columns_route --scale 1``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from accuracy.columns_route import match_sites, measure, measure_known
from accuracy.record import command_line
from stempede.simulate.columns import Dot, Scan, Scene, Tilt
from stempede.tables import Table

Route = Callable[[tuple[Scene, ...], int], tuple[dict[str, Table], list[dict[str, Table]]]]

UNIFORM_DOTS, RANDOM_DOTS = 36, 32
PIXEL_NM = 0.015
_FILM = {"carbon": 0.1, "pixel_size_nm": PIXEL_NM}
SCANS = {
    "p04": Scan(dose_e_per_A2=200, **_FILM),
    "p05": Scan(dose_e_per_A2=500, **_FILM),
    "p10": Scan(
        dose_e_per_A2=300,
        electrons=(35.1, 11.4, 9.3),
        sigma_nm=(0.0475, 0.0486, 0.0455),
        background=2e-3,
        detector="analog",
        **_FILM,
    ),
}
JITTER = {"jitter_x_nm": 0.008, "jitter_y_nm": 0.0024}
QUANTILE = 1.96


def study_known(scale: float, seed: int = 0) -> dict[str, Any]:
    """Return the same with the lattice given: what is left when nothing has to be found."""
    return study(scale, seed, measure_known)


def study(scale: float, seed: int = 0, route: Route = measure) -> dict[str, Any]:
    """Return coverage, pulls, slopes and what was found, by dose."""
    cells = {}
    for k, (name, scan) in enumerate(SCANS.items()):
        n = max(2, round(scale * UNIFORM_DOTS)), max(3, round(scale * RANDOM_DOTS))
        cells[name] = {
            "uniform": _uniform(route, scan, n[0], seed + 10 * k),
            "random": _random(route, scan, n[1], seed + 10 * k + 1),
        }
    shaken = replace(SCANS["p05"], **JITTER)
    cells["p05, with jitter"] = {
        "uniform": _uniform(route, shaken, max(2, round(scale * UNIFORM_DOTS)), seed + 90)
    }
    return {"seed": seed, "cells": cells}


def _uniform(route: Route, scan: Scan, n: int, seed: int) -> dict[str, Any]:
    dots = [Dot(cells=(8, 8), cut_corners=k % 3, tilt=Tilt("uniform", 9.0)) for k in range(n)]
    found, truths = route(tuple(Scene((d,), scan) for d in dots), seed)
    z, wanted = [], 0
    pulls: dict[str, list[float]] = {}
    for k, truth in enumerate(truths):
        rows, own = match_sites(found, truth, k, PIXEL_NM)
        octahedra, sites = found["octahedra"], truth["truth_sites"]
        wanted += len(sites)
        error = octahedra["tilt_deg"][rows] - sites["tilt_deg"][own]
        z.append(error / octahedra["se_tilt_deg"][rows])
        for quantity, pull in pulls_of(found, truth, k, rows, own).items():
            pulls.setdefault(quantity, []).append(pull)
    every = np.concatenate(z)
    every = every[np.isfinite(every)]
    p = found["crystals"]["p_core_shell"]
    return {
        "dots": n,
        "sites": wanted,
        "with_tilt": len(every) / wanted,
        "covered_95": float(np.mean(np.abs(every) < QUANTILE)),
        "z_sd": float(every.std()),
        "crystals_per_frame": len(found["crystals"]) / n,
        "core_shell_rejected_at_5_percent": float(np.mean(p < 0.05)),
        "pulls": {
            q: {"dots": len(v), "mean": float(np.mean(v)), "sd": float(np.std(v))}
            for q, v in sorted(pulls.items())
            if len(v) > n // 2
        },
    }


def pulls_of(
    found: dict[str, Table], truth: dict[str, Table], k: int, rows: np.ndarray, own: np.ndarray
) -> dict[str, float]:
    """Return (found - true) / se of the crystal's averages; parity may start at another site."""
    crystals = np.flatnonzero(found["crystals"]["frame"] == k)
    if len(crystals) != 1 or not len(rows):
        return {}
    crystal = {name: found["crystals"][name][crystals[0]] for name in found["crystals"].columns}
    octahedra, sites = found["octahedra"], truth["truth_sites"]
    parity = (octahedra["i"][rows] + octahedra["j"][rows] - sites["i"][own] - sites["j"][own]) % 2
    sign = 1.0 if parity.mean() < 0.5 else -1.0
    lattice = truth["truth_crystals"]
    layer, tilt = sites["layer"], sign * sites["staggered_tilt_deg"]
    ab = ("a", "b") if _a_is_a(crystal, lattice) else ("b", "a")
    true = {
        "staggered_tilt_deg": tilt.mean(),
        "core_minus_shell_deg": tilt[layer >= 2].mean() - tilt[layer == 0].mean(),
        "shell_tilt_deg": tilt[layer == 0].mean(),
        "core_tilt_deg": tilt[layer >= 2].mean(),
        "a_nm": lattice[f"{ab[0]}_nm"][0],
        "b_nm": lattice[f"{ab[1]}_nm"][0],
    }
    pulls = {n: (crystal[n] - value) / crystal[f"se_{n}"] for n, value in true.items()}
    return {n: float(z) for n, z in pulls.items() if np.isfinite(z)}


def _a_is_a(crystal: dict[str, Any], lattice: Table) -> bool:
    """Whether the found a runs along the true one rather than along b."""
    a = np.array([crystal["a_y_px"], crystal["a_x_px"]])
    along, across = (np.array([lattice[f"{v}_{c}_px"][0] for c in "yx"]) for v in "ab")
    return bool(abs(a @ along) > abs(a @ across))


def _random(route: Route, scan: Scan, n: int, seed: int) -> dict[str, Any]:
    """Return slopes of found on true tilt, of dot means and of sites about them."""
    rng = np.random.default_rng(seed)
    means = rng.uniform(-8, 8, n)
    dots = [
        Dot(cells=(8, 8), tilt=Tilt("random", m, sd_deg=5.0, correlation_cells=1.0)) for m in means
    ]
    found, truths = route(tuple(Scene((d,), scan) for d in dots), seed)
    dot_means, errors, deviations, wanted = [], [], [], 0
    for k, truth in enumerate(truths):
        rows, own = match_sites(found, truth, k, PIXEL_NM)
        true = truth["truth_sites"]
        wanted += len(true)
        sign = np.where((true["i"][own] + true["j"][own]) % 2, -1.0, 1.0)
        pair = np.stack([true["tilt_deg"][own], found["octahedra"]["tilt_deg"][rows]]) * sign
        pair = pair[:, np.isfinite(pair).all(axis=0)]
        if pair.shape[1] < 8:
            continue
        dot_means.append(pair.mean(axis=1))
        own_se = found["octahedra"]["se_tilt_deg"][rows]
        # shared columns make the error of a mean 1.3 times that of independent sites
        errors.append(1.3 * np.sqrt(np.nanmean(own_se**2) / pair.shape[1]))
        deviations.append(pair - pair.mean(axis=1, keepdims=True))
    slope, se = _slope(np.array(dot_means).T, float(np.mean(errors)))
    sites = np.concatenate(deviations, axis=1)
    slope_sites, se_sites = _slope(sites, float(np.std(np.subtract(*sites))))
    return {
        "dots": len(dot_means),
        "sites": sites.shape[1],
        "with_tilt": sites.shape[1] / wanted,
        "slope_of_dot_means": slope,
        "se_slope_of_dot_means": se,
        "slope_of_sites": slope_sites,
        "se_slope_of_sites": se_sites,
    }


def _slope(pair: np.ndarray, error: float) -> tuple[float, float]:
    """Return the least-squares slope of found on true, and its error for that error of each."""
    x, y = pair - pair.mean(axis=1, keepdims=True)
    return float(x @ y / (x @ x)), error / float(np.sqrt(x @ x))


if __name__ == "__main__":
    command_line("columns_route", study)
