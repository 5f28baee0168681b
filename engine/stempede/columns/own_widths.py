"""Own widths: each column's two axes, where it holds electrons enough to tell them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stempede.columns.joint import System
from stempede_kernels.gaussian_fit import Fits, State, fit_gaussians

_ENOUGH = 100.0
"""Electrons per column, at the median of a species, from which widths are its columns' own."""

_MOST = 0.8
"""Share of a species whose own widths must be found: where most fail, the others are chance."""


@dataclass(frozen=True)
class Axes:
    """Widths and direction of columns.

    Parameters
    ----------
    major_px, minor_px : (n,) float64 array
    angle_deg : (n,) float64 array
        Of the major axis, against +x, positive towards +y, (-90, 90].
    """

    major_px: np.ndarray
    minor_px: np.ndarray
    angle_deg: np.ndarray


def shared_axes(system: System) -> Axes:
    """Return the widths that the columns of a species share."""
    major, minor, angle = system.state.shape.axes()
    kind = system.problem.species
    return Axes(major[kind], minor[kind], np.full(len(kind), angle))


def own_axes(
    system: System, seen: np.ndarray, kind: np.ndarray, strength: np.ndarray, *, always: bool
) -> Axes:
    """Return each column's own widths where its species can tell them, the shared ones elsewhere.

    Parameters
    ----------
    system : System
        At the optimum.
    seen : (n,) bool array
    kind : (n,) int64 array
        Species.
    strength : (n,) float64 array
        Electrons, or what stands for them: squared intensity over its error.
    always : bool
        Whether few electrons are no reason to share.
    """
    axes = shared_axes(system)
    which = seen.copy()
    for k in np.unique(kind):
        own = seen & (kind == k)
        if not always and own.any() and np.median(strength[own]) < _ENOUGH:
            which &= kind != k
    if not which.any():
        return axes
    fits = _fits(system, axes)
    good = which & np.isin(fits.state, (State.CONVERGED, State.MAX_ITERATIONS))
    major, minor = fits.parameters[:, 3], fits.parameters[:, 4]
    good &= np.isfinite(major) & np.isfinite(minor) & (minor > 0.5 * axes.minor_px)
    good &= major < 2 * axes.major_px
    state = system.state
    away = np.hypot(fits.parameters[:, 0] - state.y, fits.parameters[:, 1] - state.x)
    # a fit that ended on another column or on the ground between them
    good &= away < axes.minor_px
    for k in np.unique(kind[good]):
        own = seen & (kind == k)
        if good[own].mean() < _MOST:
            good &= kind != k
    angle = np.degrees(fits.parameters[:, 5])
    angle = np.where(angle <= -90, angle + 180, angle)
    return Axes(
        np.where(good, major, axes.major_px),
        np.where(good, minor, axes.minor_px),
        np.where(good, angle, axes.angle_deg),
    )


def _fits(system: System, axes: Axes) -> Fits:
    state, problem = system.state, system.problem
    level = system.ground.at_columns(state.ground, state.y, state.x)
    start = np.column_stack(
        [
            state.y,
            state.x,
            state.intensity / (2 * np.pi * axes.major_px * axes.minor_px),
            axes.major_px,
            axes.minor_px,
            np.radians(axes.angle_deg),
            level,
        ]
    )
    image, noise = problem.electrons.copy(), problem.noise
    flat = image.ravel()
    flat[system.pairs.flat], noise = noise.counted(system.observed, system.expected)
    image[~problem.valid] = np.nan
    half = int(np.ceil(0.8 * problem.window * float(axes.major_px.max())))
    model: Any = noise.model
    variance = {"poisson": None, "poisson-gaussian": noise.read_noise**2}.get(model)
    return fit_gaussians(
        image[None].astype(np.float32),
        np.zeros(len(start), np.int64),
        start,
        noise=model,
        window=2 * half + 1,
        variance=variance,
    )
