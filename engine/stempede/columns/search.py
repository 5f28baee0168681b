"""Search: other places where a weak column may stand, and whether one stands there at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stempede.columns.footprint import disc
from stempede.columns.joint import System
from stempede_kernels import frame_fit

_STEP = 0.4
"""Distance of the places tried, in widths."""

_SHARES = np.array([0.5, 1.0, 1.6])
"""Intensities tried, in those expected."""

_CHUNK = 64


@dataclass(frozen=True)
class Places:
    """What a search around columns found.

    Parameters
    ----------
    y, x : (k,) float64 array
        Likeliest place of each column, px.
    intensity : (k,) float64 array
        Likeliest of those tried there.
    gain : (k,) float64 array
        Log-likelihood gained there over no column.
    presence : (k,) float64 array
        Logarithm of the Bayes factor of a column of the expected intensity, anywhere in the
        disc, against none.
    """

    y: np.ndarray
    x: np.ndarray
    intensity: np.ndarray
    gain: np.ndarray
    presence: np.ndarray


def search(
    system: System,
    which: np.ndarray,
    centre_y: np.ndarray,
    centre_x: np.ndarray,
    expected: np.ndarray,
    radius_px: float,
) -> Places:
    """Try places around centres, all other columns as they are.

    Parameters
    ----------
    system : System
        A fit of all columns of the frame.
    which : (k,) int64 array
        Columns that are looked for.
    centre_y, centre_x : (k,) float64 array
        Middle of each search, px.
    expected : (k,) float64 array
        Intensities expected, electrons.
    radius_px : float
    """
    parts = [
        _search(system, which[s], centre_y[s], centre_x[s], expected[s], radius_px)
        for s in (slice(k, k + _CHUNK) for k in range(0, len(which), _CHUNK))
    ]
    parts.append(Places(*(np.zeros(0) for _ in range(5))))
    names = ("y", "x", "intensity", "gain", "presence")
    return Places(*(np.concatenate([getattr(p, n) for p in parts]) for n in names))


def _search(
    system: System,
    which: np.ndarray,
    centre_y: np.ndarray,
    centre_x: np.ndarray,
    expected: np.ndarray,
    radius_px: float,
) -> Places:
    problem, state = system.problem, system.state
    sigma = state.shape.sigma_px[problem.species[which]]
    reach = radius_px + 2.5 * float(sigma.max())
    yy, xx, ok = disc(problem.valid, centre_y, centre_x, reach)
    flat = np.where(ok, yy * problem.valid.shape[1] + xx, 0)
    without = without_own(system, which, yy, xx, ok)
    observed, noise = problem.noise.counted(problem.electrons.ravel()[flat], without)
    dy, dx = _grid(radius_px, _STEP * float(sigma.min()))
    y = centre_y[:, None] + dy
    x = centre_x[:, None] + dx
    gain = frame_fit.place_gains(
        np.stack([yy, xx], axis=-1),
        np.where(ok, observed, np.nan),
        without,
        np.stack([y, x], axis=-1),
        expected[:, None] * _SHARES,
        sigma,
        noise=noise.rule(),
    ).swapaxes(0, 1)
    gain /= noise.dispersion
    best = gain.max(axis=0)
    place = best.argmax(axis=1)
    own = np.arange(len(which))
    share = _SHARES[gain[:, own, place].argmax(axis=0)]
    top = gain.max(axis=(0, 2))
    evidence = top + np.log(np.exp(gain - top[:, None]).mean(axis=(0, 2)))
    return Places(y[own, place], x[own, place], share * expected, best[own, place], evidence)


def without_own(
    system: System, which: np.ndarray, yy: np.ndarray, xx: np.ndarray, ok: np.ndarray
) -> np.ndarray:
    """Return (k, p) expected values of pixels around columns, without the column itself."""
    state, problem = system.state, system.problem
    sigma = state.shape.sigma_px[problem.species]
    total = system.ground.at_columns(state.ground, state.y, state.x)[which]
    without = np.repeat(total[:, None], yy.shape[1], axis=1)
    middle_y, middle_x = yy.mean(axis=1), xx.mean(axis=1)
    span = float(np.hypot(yy - middle_y[:, None], xx - middle_x[:, None]).max(initial=0))
    reach = problem.reach * float(sigma.max()) + span
    for k, column in enumerate(which):
        near = np.hypot(state.y - middle_y[k], state.x - middle_x[k]) < reach
        near[column] = False
        others = np.flatnonzero(near)
        square = (yy[k] - state.y[others, None]) ** 2 + (xx[k] - state.x[others, None]) ** 2
        variance = sigma[others, None] ** 2
        light = state.intensity[others, None] * np.exp(-0.5 * square / variance)
        without[k] += (light / (2 * np.pi * variance)).sum(axis=0)
    return np.where(ok, without, 1.0)


def _grid(radius_px: float, step_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Return offsets on a square grid within a disc."""
    half = np.arange(np.floor(radius_px / step_px) + 1) * step_px
    line = np.concatenate([-half[:0:-1], half])
    dy, dx = (a.ravel() for a in np.meshgrid(line, line, indexing="ij"))
    inside = np.hypot(dy, dx) <= radius_px
    return dy[inside], dx[inside]
