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


_CLOSE = 0.03
"""The fit has converged when no parameter moves by more, in its own standard errors."""


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

    def derivatives(self) -> tuple[np.ndarray, np.ndarray]:
        """Return derivatives of expected values by y, x, intensity (3, e) and shape (p, s)."""
        value = self.parts.value * self.problem.moves[self.pairs.column]
        own = self.state.intensity[self.pairs.column] * value
        local = np.stack([own * self.parts.by_y, own * self.parts.by_x, value])
        if not self.problem.free_shape:
            return local, np.zeros((self.pairs.n_pixels, 0))
        kind = self.problem.species[self.pairs.column]
        by_size = own * self.parts.by_size
        n_species = len(self.state.shape.log_sigma)
        dense = [self.pairs.sum_at_pixels(by_size * (kind == s)) for s in range(n_species)]
        dense += [self.pairs.sum_at_pixels(own * d) for d in self.parts.by_stretch]
        return local, np.stack(dense, axis=1)

    def normal(self) -> Normal:
        """Return the information and the score of all parameters."""
        local, dense = self.derivatives()
        score, weight = self.problem.noise.score_information(self.observed, self.expected)
        columns = self.pairs.matrix(*local).T
        ground = self.ground.matrix
        seen = ground * weight[:, None]
        between = columns @ seen
        own = self._columns(local, weight)
        under = ground.T @ seen + self.ground.penalty
        information = sp.block_array([[own, between], [between.T, under]], format="csr")
        cross = np.concatenate([columns @ (dense * weight[:, None]), seen.T @ dense])
        block = dense.T @ (dense * weight[:, None])
        gradient = np.concatenate(
            [
                columns @ score,
                ground.T @ score - self.ground.penalty @ self.state.ground,
                dense.T @ score,
            ]
        )
        self._add_priors(gradient, block)
        return Normal(len(self.state.y), information, cross, block, gradient)

    def _columns(self, local: np.ndarray, weight: np.ndarray) -> sp.csr_array:
        """Return the information of columns among each other."""
        pairs, n = self.pairs, len(self.state.y)
        shared = pairs.overlaps
        weighted = local * weight[pairs.pixel]
        first, second = weighted[:, shared.first], local[:, shared.second]
        own, rows, columns, values = np.arange(n), [], [], []
        for p in range(3):
            for q in range(3):
                both = np.bincount(shared.number, first[p] * second[q], minlength=len(shared.one))
                rows += [own + p * n, shared.one + p * n, shared.other + q * n]
                columns += [own + q * n, shared.other + q * n, shared.one + p * n]
                values += [pairs.sum_over_column(weighted[p] * local[q]), both, both]
        where = (np.concatenate(rows), np.concatenate(columns))
        return sp.coo_array((np.concatenate(values), where), shape=(3 * n, 3 * n)).tocsr()

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
        now, damping = trial, max(damping / 8, 1e-6)
        if problem.noise.model == "gaussian":
            problem = replace(problem, noise=problem.noise.fitted(now.observed, now.expected))
            now = system(problem, now.state, pairs, ground)
        if normal.errors_moved(step) < _CLOSE:
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
