"""Climb: steps of a joint fit to the likelihood's maximum, damped column by column."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stempede.columns.footprint import Footprint, footprint
from stempede.columns.gaussians import Shape
from stempede.columns.ground import Ground
from stempede.columns.joint import Problem, State, System, system

_STEP = 0.35
"""Longest step of a position, in widths."""

_SHRINK = 4.0
"""An intensity falls at most by this factor in a step, so that it stays above zero."""


_CLOSE = 0.15
"""The fit has converged when a step gains less log-likelihood for the whole frame."""

_WORSE = 0.3
"""A column whose surroundings lose more log-likelihood in a step goes back."""


def fit(
    problem: Problem,
    start: State,
    *,
    rounds: int = 3,
    iterations: int = 12,
    close: float = _CLOSE,
) -> System:
    """Maximise the likelihood from a start; the pixels read follow the columns.

    Parameters
    ----------
    problem : Problem
    start : State
    rounds : int
        Most times that the pixels are chosen anew.
    iterations : int
        Most steps per round.
    close : float
        Gain in log-likelihood of a step below which a round ends.

    Returns
    -------
    System
        At the optimum.
    """
    state, steps = start, 0
    for _ in range(rounds):
        sigma = float(state.shape.sigma_px.max())
        window, reach = problem.window * sigma, problem.reach * sigma
        pairs = footprint(problem.valid, state.y, state.x, window, reach, problem.moves)
        ground = Ground.over(pairs, problem)
        if len(state.ground) != ground.size:
            # nodes follow the pixels read: go on from the level that was found
            level = np.full(ground.size, state.ground.mean()) if len(state.ground) else ground.start
            state = replace(state, ground=ground.bounded(level))
        ground, anchor = ground.claimed(problem, state), state
        now, problem = _climb(problem, state, pairs, ground, iterations, close)
        state, steps = now.state, steps + now.steps
        if np.hypot(state.y - anchor.y, state.x - anchor.x).max(initial=0) < 0.3 * sigma:
            break
    return replace(now, steps=steps)


def _climb(
    problem: Problem,
    state: State,
    pairs: Footprint,
    ground: Ground,
    iterations: int,
    close: float,
) -> tuple[System, Problem]:
    now = system(problem, state, pairs, ground)
    problem = replace(problem, noise=problem.noise.fitted(now.observed, now.expected))
    now = system(problem, state, pairs, ground)
    damping, steps = np.full(len(state.y), 1e-3), 0
    for _ in range(iterations):
        trial, worse = _tried(now, damping)
        steps += 1
        damping = np.where(worse, damping * 12, np.maximum(damping / 6, 1e-6))
        gained = trial.objective - now.objective
        if gained < -close:
            damping = np.maximum(damping, 1e-2) * 30
            if damping.min() > 1e6:
                break
            continue
        now = trial
        noise = problem.noise.fitted(now.observed, now.expected)
        if noise != problem.noise:
            problem = replace(problem, noise=noise)
            now = system(problem, now.state, pairs, ground)
        if gained < close and not worse.any():
            break
    return replace(now, steps=steps), problem


def _tried(now: System, damping: np.ndarray) -> tuple[System, np.ndarray]:
    """Return the system after a step, and the columns that were left where they were."""
    normal = now.normal()
    rest = np.full(len(normal.score) - 3 * len(damping), damping.min())
    after = moved(now, normal.step(np.concatenate([np.tile(damping, 3), rest])))
    trial = system(now.problem, after, now.pairs, now.ground)
    change = now.pairs.image(trial.likelihood - now.likelihood)
    around = now.gathered(change[None], np.ones(len(damping), bool))[:, 0, 2]
    area = 2 * np.pi * now.state.shape.sigma_px[now.problem.species] ** 2
    worse = around * area < -_WORSE
    if not worse.any():
        return trial, worse
    before = now.state
    back = replace(
        after,
        y=np.where(worse, before.y, after.y),
        x=np.where(worse, before.x, after.x),
        intensity=np.where(worse, before.intensity, after.intensity),
    )
    return system(now.problem, back, now.pairs, now.ground), worse


def moved(now: System, step: np.ndarray) -> State:
    """Return the state after a step, kept in bounds."""
    state, problem, n = now.state, now.problem, len(now.state.y)
    sigma = float(state.shape.sigma_px.mean())
    y = state.y + np.clip(step[:n], -_STEP * sigma, _STEP * sigma)
    x = state.x + np.clip(step[n : 2 * n], -_STEP * sigma, _STEP * sigma)
    dy, dx = y - problem.centre_y, x - problem.centre_x
    inside = np.minimum(1, problem.radius_px / np.maximum(np.hypot(dy, dx), 1e-12))
    intensity = state.intensity + step[2 * n : 3 * n]
    intensity = np.maximum(intensity, state.intensity / _SHRINK)
    ground = now.ground.bounded(state.ground + step[3 * n : 3 * n + now.ground.size])
    shape = state.shape
    if problem.free_shape:
        turn = np.clip(step[3 * n + now.ground.size :], -0.15, 0.15)
        shape = Shape(shape.log_sigma + turn[:-2], np.clip(shape.stretch + turn[-2:], -0.5, 0.5))
    return State(
        problem.centre_y + dy * inside, problem.centre_x + dx * inside, intensity, shape, ground
    )
