"""Joint: all columns of a frame, their widths and the background in one likelihood.

Fisher scoring with Levenberg's damping on the sparse normal equations of the whole frame, so
that overlapping neighbours, shared widths and the background they stand on enter both the
estimates and their covariance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from stempede.columns.footprint import Footprint, footprint
from stempede.columns.gaussians import Profiles, Shape, profiles
from stempede.columns.ground import Ground
from stempede.columns.noise import Noise
from stempede.columns.normal import Normal
from stempede.columns.widths import log_slopes, shape_prior

_STEP = 0.35
"""Longest step of a position, in widths."""

_SHRINK = 4.0
"""An intensity falls at most by this factor in a step, so that it stays above zero."""


@dataclass(frozen=True)
class State:
    """Parameters of a joint fit: see ``Problem``."""

    y: np.ndarray
    x: np.ndarray
    intensity: np.ndarray
    shape: Shape
    ground: np.ndarray


@dataclass(frozen=True)
class Problem:
    """A frame and what stays fixed while it is fitted.

    Parameters
    ----------
    electrons : (h, w) float64 array
    valid : (h, w) bool array
    noise : Noise
    species : (n,) int64 array
        Columns with the same number share a width.
    moves : (n,) bool array
        Columns that are fitted, from the pixels around them; the others stay as they are and
        only add to what is expected.
    free_shape : bool
        Whether widths are estimated, or held.
    centre_y, centre_x : (n,) float64 array
        Columns stay within ``radius_px`` of these.
    radius_px : float
    window, reach : float
        Radii of the pixels read and of a column's extent, in widths.
    spacing_px : float
        Distance of the background's nodes.
    """

    electrons: np.ndarray
    valid: np.ndarray
    noise: Noise
    species: np.ndarray
    moves: np.ndarray
    free_shape: bool
    centre_y: np.ndarray
    centre_x: np.ndarray
    radius_px: float
    window: float
    reach: float
    spacing_px: float


@dataclass(frozen=True)
class System:
    """What is known at one state: expected values, derivatives and the normal equations."""

    problem: Problem
    state: State
    pairs: Footprint
    ground: Ground
    observed: np.ndarray
    expected: np.ndarray
    parts: Profiles
    objective: float

    def derivatives(self) -> tuple[sp.csc_array, np.ndarray]:
        """Return the sparse derivatives (y, x, intensity, ground) and the dense ones (shape)."""
        moves = self.problem.moves[self.pairs.column]
        value = self.parts.value * moves
        own = self.state.intensity[self.pairs.column] * value
        local = self.pairs.matrix(own * self.parts.by_y, own * self.parts.by_x, value)
        columns = sp.hstack([local, self.ground.matrix], format="csc")
        n_species = len(self.state.shape.log_sigma)
        if not self.problem.free_shape:
            return columns, np.zeros((self.pairs.n_pixels, 0))
        kind = self.problem.species[self.pairs.column]
        by_size = own * self.parts.by_size
        dense = [self.pairs.sum_at_pixels(by_size * (kind == s)) for s in range(n_species)]
        dense += [self.pairs.sum_at_pixels(own * d) for d in self.parts.by_stretch]
        return columns, np.stack(dense, axis=1)

    def normal(self) -> Normal:
        """Return the information and the score of all parameters."""
        local, dense = self.derivatives()
        score, weight = self.problem.noise.score_information(self.observed, self.expected)
        weighted = local.tocsr()
        weighted.data = weighted.data * np.repeat(weight, np.diff(weighted.indptr))
        information = (local.T @ weighted).tocsr()
        cross = weighted.T @ dense
        block = dense.T @ (dense * weight[:, None])
        gradient = np.concatenate([local.T @ score, dense.T @ score])
        self._add_priors(gradient, block)
        n = 3 * len(self.state.y)
        penalty = sp.block_diag([sp.csr_array((n, n)), self.ground.penalty], format="csr")
        gradient[n : n + self.ground.size] -= self.ground.penalty @ self.state.ground
        return Normal(len(self.state.y), (information + penalty).tocsr(), cross, block, gradient)

    def _add_priors(self, gradient: np.ndarray, block: np.ndarray) -> None:
        if not self.problem.free_shape:
            return
        precision, pull = shape_prior(self.state.shape)
        n_shape = len(pull)
        gradient[-n_shape:] += pull
        slopes = self._slopes()
        gradient[-n_shape : len(gradient) - 2] -= slopes
        block += precision

    def _slopes(self) -> np.ndarray:
        """Return, by species, what positions fitted to noise add to the width's score."""
        state, n_species = self.state, len(self.state.shape.log_sigma)
        level = self.ground.at_columns(state.ground, state.y, state.x)
        sigma = state.shape.sigma_px[self.problem.species]
        slope = log_slopes(state.intensity, sigma, level, self.problem.noise, self.problem.window)
        slope = slope * self.problem.moves
        return np.bincount(self.problem.species, slope, minlength=n_species)


def system(problem: Problem, state: State, pairs: Footprint, ground: Ground) -> System:
    """Evaluate the model at a state."""
    parts = profiles(pairs, state.y, state.x, state.shape, problem.species)
    expected = pairs.sum_at_pixels(state.intensity[pairs.column] * parts.value)
    expected += ground.matrix @ state.ground
    observed = problem.electrons.ravel()[pairs.flat]
    likelihood = problem.noise.log_likelihood(observed, expected).sum()
    rough = 0.5 * float(state.ground @ (ground.penalty @ state.ground))
    return System(
        problem, state, pairs, ground, observed, expected, parts, float(likelihood) - rough
    )


def fit(problem: Problem, start: State, *, rounds: int = 3, iterations: int = 12) -> System:
    """Maximise the likelihood from a start; the pixels read follow the columns.

    Parameters
    ----------
    problem : Problem
    start : State
    rounds : int
        Most times that the pixels are chosen anew.
    iterations : int
        Most steps per round.

    Returns
    -------
    System
        At the optimum.
    """
    state = start
    for _ in range(rounds):
        sigma = float(state.shape.sigma_px.max())
        window, reach = problem.window * sigma, problem.reach * sigma
        pairs = footprint(problem.valid, state.y, state.x, window, reach, problem.moves)
        ground = Ground.over(pairs, problem.electrons.shape, problem.spacing_px, state, problem)
        if len(state.ground) != ground.size:
            state = replace(state, ground=ground.start)
        anchor = state
        now, problem = _climb(problem, state, pairs, ground, iterations)
        state = now.state
        if np.hypot(state.y - anchor.y, state.x - anchor.x).max(initial=0) < 0.3 * sigma:
            break
    return now


def _climb(
    problem: Problem, state: State, pairs: Footprint, ground: Ground, iterations: int
) -> tuple[System, Problem]:
    now = system(problem, state, pairs, ground)
    problem = replace(problem, noise=problem.noise.fitted(now.observed, now.expected))
    now = system(problem, state, pairs, ground)
    damping = 1e-3
    for _ in range(iterations):
        normal = now.normal()
        for _ in range(5):
            step = normal.step(damping)
            trial = system(problem, moved(now, step), pairs, ground)
            if trial.objective >= now.objective - 1e-6 * abs(now.objective):
                break
            damping *= 8
        else:
            break
        n = len(state.y)
        far = np.hypot(trial.state.y - now.state.y, trial.state.x - now.state.x).max(initial=0)
        now, damping = trial, max(damping / 8, 1e-6)
        if problem.noise.model == "gaussian":
            problem = replace(problem, noise=problem.noise.fitted(now.observed, now.expected))
            now = system(problem, now.state, pairs, ground)
        if far < 0.004 and np.abs(step[3 * n + ground.size :]).max(initial=0) < 1e-3:
            break
    return now, problem


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
