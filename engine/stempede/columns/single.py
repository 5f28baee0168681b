"""Single: each column fitted in its own window, as a start of the joint fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from stempede.columns.gaussians import Shape
from stempede.columns.joint import Problem, State
from stempede_kernels.gaussian_fit import State as Ended
from stempede_kernels.gaussian_fit import fit_gaussians

_WINDOW = 2.5
"""Half of a window's side, in widths."""


def alone(problem: Problem, start: State, kind: np.ndarray) -> State:
    """Return a start improved by fits of single columns, neighbours drawn in.

    Widths are shared by the columns of a kind. A fit that fails or leaves its place changes
    nothing.

    Parameters
    ----------
    problem : Problem
    start : State
        With one width.
    kind : (n,) int64 array
    """
    sigma = float(start.shape.sigma_px[0])
    amplitude = start.intensity / (2 * np.pi * sigma**2)
    model: Any = problem.noise.model
    image = np.where(problem.valid, problem.electrons, np.nan).astype(np.float32)
    low = np.full(len(kind), max(float(np.percentile(problem.electrons, 10)), 1e-3))
    widths = np.full(len(kind), sigma)
    fits = fit_gaussians(
        image[None],
        np.zeros(len(kind), np.int64),
        np.column_stack([start.y, start.x, amplitude, widths, widths, np.zeros(len(kind)), low]),
        model="circular",
        noise=model,
        window=2 * int(np.ceil(_WINDOW * sigma)) + 1,
        group=kind,
        variance=problem.noise.read_noise**2 if model == "poisson-gaussian" else None,
        sweeps=4,
        max_iterations=20,
    )
    y, x, width = fits.parameters[:, 0], fits.parameters[:, 1], fits.parameters[:, 3]
    good = np.isin(fits.state, (Ended.CONVERGED, Ended.MAX_ITERATIONS)) & ~problem.held
    good &= np.hypot(y - problem.centre_y, x - problem.centre_x) < problem.radius_px
    good &= (fits.intensity > 0.2 * start.intensity) & (fits.intensity < 20 * start.intensity)
    good &= (width > 0.6 * sigma) & (width < 1.6 * sigma)
    if not good.any():
        return start
    weight = np.where(good, fits.intensity, 0)
    found = float((weight * np.where(good, width, 0)).sum() / weight.sum())
    return replace(
        start,
        y=np.where(good, y, start.y),
        x=np.where(good, x, start.x),
        intensity=np.where(good, fits.intensity, start.intensity),
        shape=Shape(np.array([np.log(found)]), np.zeros(2)),
    )
