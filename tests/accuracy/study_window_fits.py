"""How near fits in single windows come to the Cramér–Rao bound, and whether errors are true.

Columns are Gaussians of 2.2–3 px on a faint background, Poisson counts, drawn here by
integrating nothing: the value at the pixel's centre, as the model has it. The bound is that of
the same free parameters. A column counts as lost where its fit ended without converging, lies
more than 1.5 widths from the truth, or has a likelihood ratio below 9.

Run from the repository: ``PYTHONPATH=tests python -m accuracy.study_window_fits --scale 1``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from accuracy.record import command_line
from stempede_kernels.gaussian_fit import Fits, fit_gaussians

COLUMNS = 10_000
SIDE = 25
# electrons per column, background per px, (σ major, σ minor) in px, window
SETTINGS: dict[str, dict[str, Any]] = {
    f"{kind} {electrons}": {
        "kind": kind,
        "electrons": electrons,
        "background": 0.005 * max(electrons / 30, 1.0),
        "sigma": (2.5, 2.5) if kind in ("free 5", "shared", "shared offset held") else (2.8, 2.2),
    }
    for kind, doses in {
        "free 5": (60, 300, 3000),
        "free 7": (60, 300, 3000),
        "shared": (15, 30, 60),
        "shared offset held": (7, 15, 30),
    }.items()
    for electrons in doses
}


def study(scale: float, seed: int = 0) -> dict[str, Any]:
    """Return a cell per setting."""
    n = max(round(scale * COLUMNS), 200)
    cells = {
        name: cell(n=n, rng=np.random.default_rng([seed, k]), **setting)
        for k, (name, setting) in enumerate(SETTINGS.items())
    }
    return {"columns per cell": n, "seed": seed, "cells": cells}


def cell(
    kind: str,
    electrons: float,
    background: float,
    sigma: tuple[float, float],
    n: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Draw, fit and judge n columns of one setting."""
    truth = draw_truth(electrons, background, sigma, n, rng)
    images = np.stack([rng.poisson(expected(t)) for t in truth]).astype(np.float32)
    start = truth.copy()
    width = np.sqrt(sigma[0] * sigma[1])
    start[:, :2] += rng.normal(0, 0.3 * width, (n, 2))
    start[:, 2] *= rng.uniform(0.7, 1.3, n)
    start[:, 3:5] = 1.1 * width, 0.95 * width
    start[:, 5] = 0.0
    held = kind == "shared offset held"
    found = fit_gaussians(
        images,
        np.arange(n),
        start,
        model="rotated" if kind == "free 7" else "circular",
        window=SIDE - 4,
        neighbours=False,
        free_offset=not held,
        group=np.zeros(n, np.int64) if kind.startswith("shared") else None,
    )
    return judge(found, truth, kind, width)


def draw_truth(
    electrons: float,
    background: float,
    sigma: tuple[float, float],
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Columns anywhere in the middle pixel of a window, turned anyhow."""
    truth = np.empty((n, 7))
    truth[:, :2] = SIDE // 2 + rng.uniform(-0.5, 0.5, (n, 2))
    truth[:, 3], truth[:, 4] = sigma
    truth[:, 2] = electrons / (2 * np.pi * sigma[0] * sigma[1])
    truth[:, 5] = rng.uniform(-np.pi / 2, np.pi / 2, n)
    truth[:, 6] = background
    return truth


def expected(t: np.ndarray) -> np.ndarray:
    """Return the counts a column makes in a frame of its own."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    along = (x - t[1]) * np.cos(t[5]) + (y - t[0]) * np.sin(t[5])
    across = -(x - t[1]) * np.sin(t[5]) + (y - t[0]) * np.cos(t[5])
    image: np.ndarray = t[2] * np.exp(-0.5 * ((along / t[3]) ** 2 + (across / t[4]) ** 2)) + t[6]
    return image


def bound(t: np.ndarray, free: list[int]) -> np.ndarray:
    """Return the bound on the standard deviation of y and x, by numerical derivatives."""
    half = (SIDE - 4) // 2
    top, left = (int(v) - half for v in np.rint(t[:2]))
    part = np.s_[top : top + 2 * half + 1, left : left + 2 * half + 1]
    slopes = []
    for p in free:
        h = 1e-5 * max(abs(t[p]), 0.1)
        above, below = t.copy(), t.copy()
        above[p] += h
        below[p] -= h
        if p == 3 and 4 not in free:
            above[4], below[4] = above[3], below[3]
        slopes.append(((expected(above) - expected(below)) / (2 * h))[part].ravel())
    by = np.array(slopes)
    information = (by / expected(t)[part].ravel()) @ by.T
    deviations: np.ndarray = np.sqrt(np.diag(np.linalg.inv(information))[:2])
    return deviations


FREE = {
    "free 5": [0, 1, 2, 3, 6],
    "free 7": [0, 1, 2, 3, 4, 5, 6],
    "shared": [0, 1, 2, 6],
    "shared offset held": [0, 1, 2],
}


def judge(found: Fits, truth: np.ndarray, kind: str, width: float) -> dict[str, Any]:
    """Compare with the truth and with the bound."""
    error = found.parameters[:, :2] - truth[:, :2]
    lost = (found.state != 1) | (np.hypot(*error.T) > 1.5 * width) | ~(found.ratio >= 9)
    error, se = error[~lost], found.errors[~lost, :2]
    least = np.array([bound(t, FREE[kind]) for t in truth[:: max(len(truth) // 200, 1)]])
    pull = error / se
    phase = (found.parameters[~lost, :2] + 0.5) % 1.0
    counts, _ = np.histogram(phase, 10, (0, 1))
    volume = 2 * np.pi * truth[:, 2:5].prod(axis=1)
    strength = ((found.intensity - volume) / found.se_intensity)[~lost]
    return {
        "lost": float(lost.mean()),
        "scatter_over_bound": float(np.sqrt((error**2).mean() / (least**2).mean())),
        "bias_px": float(np.abs(error.mean(axis=0)).max()),
        "bias_allowed_px": float(max(0.02, 0.1 * np.median(se))),
        "pull_sd": float(pull.std()),
        "pull_sd_robust": float(stats.median_abs_deviation(pull.ravel(), scale="normal")),
        "intensity_pull_sd": float(strength.std()),
        "intensity_pull_mean": float(strength.mean()),
        "sigma_px": float(np.median(found.parameters[~lost, 3])),
        "phase_p": float(stats.chisquare(counts).pvalue),
        "mean_steps": float(found.iterations.mean()),
    }


if __name__ == "__main__":
    command_line("window_fits", study)
