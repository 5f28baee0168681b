"""Joint: all columns of a frame, their widths and the background in one likelihood.

Fisher scoring with Levenberg's damping on the sparse normal equations of the whole frame, so
that overlapping neighbours, shared widths and the background they stand on enter both the
estimates and their covariance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from stempede.columns.footprint import Footprint
from stempede.columns.gaussians import Profiles, Shape, profiles
from stempede.columns.ground import Ground, scaled
from stempede.columns.noise import Noise
from stempede.columns.normal import Normal
from stempede.columns.widths import log_slopes, shape_prior


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
    exposure : (h, w) float array or None
        Share of the scans that cover a pixel; None where all do.
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
    exposure: np.ndarray | None
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
    likelihood: np.ndarray
    objective: float
    steps: int = 0

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
        """Return the information and the score of all parameters.

        Between columns and ground the information takes the ground as even over a column.
        """
        local, dense = self.derivatives()
        pairs, ground = self.pairs, self.ground.matrix
        score, weight = self.problem.noise.score_information(self.observed, self.expected)
        weighted = local * weight[pairs.pixel]
        corners = self.ground.corners(self.state.y, self.state.x)
        total = [pairs.sum_over_column(part) for part in weighted]
        between = sp.vstack([scaled(corners, part) for part in total], format="csr")
        seen = scaled(ground, weight)
        under = self.ground.information(weight)
        own = self._columns(local, weighted)
        information = sp.block_array([[own, between], [between.T, under]], format="csr")
        heavy = dense * weight[:, None]
        cross = np.concatenate([self._onto_columns(local, heavy), seen.T @ dense])
        gradient = np.concatenate(
            [
                self._onto_columns(local, score[:, None])[:, 0],
                ground.T @ score - self.ground.penalty @ self.state.ground,
                dense.T @ score,
            ]
        )
        block = dense.T @ heavy
        self._add_priors(gradient, block)
        return Normal(len(self.state.y), information, cross, block, gradient)

    def _onto_columns(self, local: np.ndarray, fields: np.ndarray) -> np.ndarray:
        """Return (3 n, s) sums over each column's pixels of derivatives times (p, s) fields."""
        found = np.empty((3, len(self.state.y), fields.shape[1]))
        for k in range(fields.shape[1]):
            there = fields[self.pairs.pixel, k]
            for p in range(3):
                found[p, :, k] = self.pairs.sum_over_column(local[p] * there)
        return found.reshape(3 * len(self.state.y), fields.shape[1])

    def _columns(self, local: np.ndarray, weighted: np.ndarray) -> sp.csr_array:
        """Return the information of columns among each other."""
        pairs, n = self.pairs, len(self.state.y)
        shared = pairs.overlaps
        first, second = weighted[:, shared.first], local[:, shared.second]
        own, rows, columns, values = np.arange(n), [], [], []
        single = {}
        for p in range(3):
            for q in range(3):
                if p <= q:
                    single[p, q] = single[q, p] = pairs.sum_over_column(weighted[p] * local[q])
                both = np.bincount(shared.number, first[p] * second[q], minlength=len(shared.one))
                rows += [own + p * n, shared.one + p * n, shared.other + q * n]
                columns += [own + q * n, shared.other + q * n, shared.one + p * n]
                values += [single[p, q], both, both]
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
    parts = profiles(
        pairs, state.y, state.x, state.shape, problem.species, stretch=problem.free_shape
    )
    if problem.exposure is not None:
        share = problem.exposure.ravel()[pairs.flat]
        parts = replace(parts, value=parts.value * share[pairs.pixel])
    expected = pairs.sum_at_pixels(state.intensity[pairs.column] * parts.value)
    expected += ground.matrix @ state.ground
    observed = problem.electrons.ravel()[pairs.flat]
    likelihood = problem.noise.log_likelihood(observed, expected)
    rough = 0.5 * float(state.ground @ (ground.penalty @ state.ground))
    return System(
        problem,
        state,
        pairs,
        ground,
        observed,
        expected,
        parts,
        likelihood,
        float(likelihood.sum()) - rough,
    )
