"""Refinement: from the sites of a frame to fitted columns with standard errors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stempede.columns.climb import fit
from stempede.columns.faint import mean_squares
from stempede.columns.gaussians import Shape
from stempede.columns.joint import Problem, State
from stempede.columns.noise import Noise
from stempede.columns.scan import Jitter, take_out
from stempede.columns.second_look import (
    Look,
    look,
    neighbours_say,
    presence,
    second_look,
    typical,
)
from stempede.columns.single import alone
from stempede.columns.sites import Sites

_NODES = 2.0
"""Distance of the background's nodes, in distances of columns."""

_FAINT = 12.0
"""Significance below which errors come from the likelihood around its maximum."""

_LEAST_COLUMNS = 30
"""Columns seen below which shifts of scan lines cannot be told from their positions."""

_ENOUGH = 200
"""Columns of a kind that tell a width; more would only take longer."""

_ROUGHLY = 0.5
"""Gain in log-likelihood below which widths are as good as they need to be."""

_OWN_WIDTH = 0.15
"""Intensity over that of the brightest species from which a species has a width of its own."""


@dataclass(frozen=True)
class Settings:
    """How columns are fitted; see ``Fit``."""

    window: float
    reach: float
    wander: float
    least: float
    scan_lines: bool


@dataclass(frozen=True)
class Refined:
    """Fitted columns of a frame.

    Parameters
    ----------
    last : Look
        At the optimum; ``seen`` says which columns were.
    values : (n, 3) float64 array
        y, x, intensity, the shifts of scan lines taken out.
    covariance : (n, 3, 3) float64 array
        Of these.
    inferred_yx : (n, 2) float64 array
        Where the neighbours put a column that was not seen; NaN where they do not.
    inferred_se : (n,) float64 array
        px, per axis.
    presence : (n,) float64 array
        Log Bayes factor of a column that was not seen, against none.
    jitter : (Jitter, Jitter)
        Of scan lines, along y and x.
    """

    last: Look
    values: np.ndarray
    covariance: np.ndarray
    inferred_yx: np.ndarray
    inferred_se: np.ndarray
    presence: np.ndarray
    jitter: tuple[Jitter, Jitter]


def refine(
    electrons: np.ndarray,
    valid: np.ndarray,
    exposure: np.ndarray | None,
    noise: Noise,
    sites: Sites,
    settings: Settings,
) -> Refined:
    """Fit all columns of a frame together.

    Parameters
    ----------
    electrons : (h, w) float64 array
    valid : (h, w) bool array
    exposure : (h, w) float array or None
        See ``Problem``.
    noise : Noise
    sites : Sites
        At least one.
    settings : Settings
    """
    problem = Problem(
        electrons=electrons,
        valid=valid,
        exposure=exposure,
        noise=noise,
        species=np.zeros(len(sites), np.int64),
        moves=np.ones(len(sites), bool),
        held=sites.hidden,
        free_shape=False,
        centre_y=sites.y,
        centre_x=sites.x,
        radius_px=settings.wander * sites.spacing_px,
        window=settings.window,
        reach=settings.reach,
        spacing_px=_NODES * sites.spacing_px,
    )
    state = alone(problem, _start(problem, sites), sites.kind)
    problem, state = _widths(problem, state, sites)
    whole = replace(problem, moves=np.ones(len(sites), bool), free_shape=False)
    last = second_look(look(fit(whole, state), sites, settings.least), sites, settings.least)
    return _concluded(last, sites, settings)


def _concluded(last: Look, sites: Sites, settings: Settings) -> Refined:
    state = last.system.state
    values = np.column_stack([state.y, state.x, state.intensity])
    curvature = last.system.normal().covariance(state.y, state.x)
    covariance = curvature
    jitter = (Jitter(0.0, 0.0), Jitter(0.0, 0.0))
    if settings.scan_lines and last.seen.sum() >= _LEAST_COLUMNS:
        change, covariance, jitter = take_out(last.system, curvature)
        values = values + change
    covariance = _widened(covariance, curvature, last, sites)
    missing = ~last.seen & sites.on_lattice
    there = neighbours_say(last, sites, missing, values[:, :2])
    return Refined(
        last,
        values,
        covariance,
        np.column_stack([there.y, there.x]),
        np.maximum(there.se_px, _usual_error(covariance, last.seen, sites.kind)),
        presence(last, sites, missing),
        jitter,
    )


def _widened(covariance: np.ndarray, curvature: np.ndarray, last: Look, sites: Sites) -> np.ndarray:
    """Return covariances with the positions' errors of faint columns made true."""
    which = np.flatnonzero(last.seen & (last.gain < 0.5 * _FAINT**2))
    if not len(which):
        return covariance
    squares = mean_squares(last.system, which, curvature, typical(last, sites))
    wide = covariance.copy()
    wide[which[:, None, None], np.arange(2)[:, None], np.arange(2)] += (
        squares - curvature[which, :2, :2]
    )
    return wide


def _usual_error(covariance: np.ndarray, seen: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Return (n,) the median error per axis of the columns of each one's kind that were seen.

    What is inferred is never said to be known better than what was seen.
    """
    error = np.sqrt(0.5 * (covariance[:, 0, 0] + covariance[:, 1, 1]))
    usual = np.zeros(len(kind))
    for k in np.unique(kind):
        own = seen & (kind == k)
        usual[kind == k] = np.median(error[own if own.any() else seen]) if seen.any() else 0.0
    return usual


def _start(problem: Problem, sites: Sites) -> State:
    """Return starts: intensities by the sum around each column over the surroundings."""
    sigma = sites.sigma_px
    shape = Shape(np.array([np.log(sigma)]), np.zeros(2))
    area = 2 * np.pi * sigma**2
    level = _levels(problem.electrons, problem.valid, sites, 1.5 * sigma)
    typical = _medians(level, sites.kind)
    low = float(np.percentile(level, 5)) * 0.5
    bright = max(float(typical.max(initial=0)) - low, 1e-6)
    scale = area * 1.5 * np.maximum(level - low, 0.3 * bright * sites.brightness)
    return State(sites.y, sites.x, scale, shape, np.zeros(0))


def _levels(electrons: np.ndarray, valid: np.ndarray, sites: Sites, radius_px: float) -> np.ndarray:
    """Return the mean around each start."""
    half = int(np.ceil(radius_px))
    step = np.arange(-half, half + 1)
    yy = np.rint(sites.y).astype(np.int64)[:, None, None] + step[:, None]
    xx = np.rint(sites.x).astype(np.int64)[:, None, None] + step
    yy, xx = np.broadcast_arrays(yy, xx)
    height, width = electrons.shape
    ok = (yy >= 0) & (yy < height) & (xx >= 0) & (xx < width)
    yy, xx = np.where(ok, yy, 0), np.where(ok, xx, 0)
    ok &= valid[yy, xx]
    total = (electrons[yy, xx] * ok).sum(axis=(1, 2))
    return total / np.maximum(ok.sum(axis=(1, 2)), 1)


def _some(leads: np.ndarray, sites: Sites, *, together: bool) -> np.ndarray:
    """Return at most a few hundred columns of each kind, spread over the frame or together.

    Columns that overlap tell a width only with their neighbours.
    """
    kept = np.zeros(len(leads), bool)
    away = np.hypot(sites.y - np.median(sites.y[leads]), sites.x - np.median(sites.x[leads]))
    for k in np.unique(sites.kind[leads]):
        own = np.flatnonzero(leads & (sites.kind == k))
        if together:
            kept[own[np.argsort(away[own], kind="stable")[:_ENOUGH]]] = True
        else:
            kept[own[:: max(1, len(own) // _ENOUGH)]] = True
    return kept


def _medians(values: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Return the median of each kind up to the highest there is; 0 where one is absent."""
    own = [values[kind == k] for k in range(int(kind.max(initial=0)) + 1)]
    return np.array([np.median(part) if len(part) else 0.0 for part in own])


def _widths(problem: Problem, state: State, sites: Sites) -> tuple[Problem, State]:
    """Fit widths to the columns that can tell them.

    A species that is hardly seen takes the width of the brightest.
    """
    light = np.where(problem.held, 0.0, state.intensity)
    median = _medians(light, sites.kind)
    brightest = int(np.argmax(median))
    own = median > _OWN_WIDTH * median[brightest]
    own[brightest] = True
    number = np.where(own, np.cumsum(own) - 1, 0)
    number[~own] = number[brightest]
    species = number[sites.kind]
    leads = (own[sites.kind] | problem.held) & (sites.on_lattice | ~sites.on_lattice.any())
    leads = _some(leads, sites, together=bool(problem.held.any()))
    shape = Shape(np.full(int(own.sum()), state.shape.log_sigma[0]), np.zeros(2))
    leading = replace(problem, species=species, moves=leads, free_shape=True)
    found = fit(leading, replace(state, shape=shape), rounds=2, close=_ROUGHLY).state
    return leading, found
