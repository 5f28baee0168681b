"""Joint: all columns of a frame, their widths and the background in one likelihood.

Fisher scoring with Levenberg's damping on the sparse normal equations of the whole frame, so
that overlapping neighbours, shared widths and the background they stand on enter both the
estimates and their covariance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from stempede.columns.footprint import Footprint
from stempede.columns.gaussians import Shape
from stempede.columns.ground import Ground
from stempede.columns.noise import Noise
from stempede.columns.normal import Normal
from stempede.columns.widths import log_slopes, shape_prior
from stempede_kernels import frame_fit

_CHUNK = 256
"""Columns whose pixels are listed at a time."""


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
    held : (n,) bool array
        Columns whose places are not fitted, only how bright they are.
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
    held: np.ndarray
    free_shape: bool
    centre_y: np.ndarray
    centre_x: np.ndarray
    radius_px: float
    window: float
    reach: float
    spacing_px: float


@dataclass(frozen=True)
class System:
    """What is known at one state: expected values, likelihood and the normal equations.

    Parameters
    ----------
    gaussians : (n, 5) float64 array
        Places and inverse covariances of the columns.
    observed, expected, likelihood : (p,) float64 array
        Of the pixels read.
    objective : float
        Log-likelihood and the penalty of the ground.
    """

    problem: Problem
    state: State
    pairs: Footprint
    ground: Ground
    gaussians: np.ndarray
    observed: np.ndarray
    expected: np.ndarray
    likelihood: np.ndarray
    objective: float
    steps: int = 0

    @cached_property
    def share(self) -> np.ndarray | float:
        """Share of the scans that cover each of the pixels read."""
        exposure = self.problem.exposure
        return 1.0 if exposure is None else self.pairs.at_pixels(exposure)

    @cached_property
    def scale(self) -> np.ndarray:
        """(n, 3) factors that make slopes by y, x and 1 derivatives by y, x and intensity."""
        by_place = np.where(self.problem.held, 0.0, self.state.intensity)
        return np.column_stack([by_place, by_place, np.ones(len(by_place))])

    def normal(self) -> Normal:
        """Return the information and the score of all parameters."""
        score, weight = self.problem.noise.score_information(self.observed, self.expected)
        share, pairs = self.share, self.pairs
        weights = pairs.image(weight * share**2)
        dense = self._by_shape()
        fields = np.concatenate([[score * share], dense * weight * share])
        images = pairs.images(fields)
        sums = self.gathered(images, self.problem.moves) * self.scale[:, None]
        first, under = frame_fit.under_columns(
            weights,
            self.gaussians,
            pairs.centres,
            pairs.radius,
            self.problem.moves,
            spacing=self.ground.spacing_px,
        )
        between = self.ground.between(first, under * self.scale[:, None, None])
        on_ground = self.ground.sums(images)
        n = len(self.state.y)
        pull, prior = self.ground.prior(self.state.ground)[1:]
        cross = np.concatenate([sums[:, 1:].swapaxes(0, 1).T.reshape(3 * n, -1), on_ground[1:].T])
        gradient = np.concatenate(
            [
                sums[:, 0].T.ravel(),
                on_ground[0] + pull,
                dense @ score,
            ]
        )
        block = (dense * weight) @ dense.T
        self._add_priors(gradient, block)
        own, columns = self._columns(weights)
        under = self.ground.information(weights, prior)
        return Normal(own, columns, between, under, cross, block, gradient)

    def gathered(self, images: np.ndarray, active: np.ndarray) -> np.ndarray:
        """Return (n, k, 3) sums of (k, h, w) images times profiles and their slopes."""
        pairs = self.pairs
        return frame_fit.gather(images, self.gaussians, pairs.centres, pairs.radius, active)

    def light_moved(self, axis: int) -> np.ndarray:
        """Return (p,) derivatives of expected values by a shift of all fitted columns."""
        forms = np.zeros((len(self.gaussians), 1, 6))
        forms[:, 0, 1 + axis] = self.state.intensity * self.problem.moves
        return self._drawn(forms)[0]

    def chunks(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
        """Yield columns, the entry that each begins with, and entries' pixels and profiles.

        Pixels are places among those read.
        """
        pairs = self.pairs
        number = np.cumsum(pairs.used.ravel()) - 1
        for first in range(0, len(self.gaussians), _CHUNK):
            part = slice(first, first + _CHUNK)
            start, flat, value = frame_fit.entries(
                pairs.used, self.gaussians[part], pairs.centres[part], pairs.radius
            )
            pixel = number[flat]
            share = self.share if isinstance(self.share, float) else self.share[pixel]
            yield part, start, pixel, value * share

    def _drawn(self, forms: np.ndarray) -> np.ndarray:
        """Return (k, p) sums of profiles times (n, k, 6) forms."""
        return _drawn(self.gaussians, forms, self.pairs) * self.share

    def _by_shape(self) -> np.ndarray:
        """Return (s, p) derivatives of expected values by widths and stretch."""
        if not self.problem.free_shape:
            return np.zeros((0, self.pairs.n_pixels))
        forms = self.state.shape.forms(self.problem.species)
        light = self.state.intensity * self.problem.moves
        return self._drawn(forms * light[:, None, None])

    def _columns(self, weights: np.ndarray) -> tuple[np.ndarray, sp.csr_array]:
        """Return the (n, 3, 3) information of each column, and that of all among each other."""
        pairs, scale = self.pairs, self.scale
        own = frame_fit.squares(
            weights, self.gaussians, pairs.centres, pairs.radius, self.problem.moves
        )
        own *= scale[:, :, None] * scale[:, None, :]
        both = frame_fit.products(weights, self.gaussians, pairs.centres, pairs.radius, pairs.pairs)
        one, other = pairs.pairs.T
        both *= scale[one][:, :, None] * scale[other][:, None, :]
        order, empty = pairs.pattern
        values = np.concatenate([own, both, both.swapaxes(1, 2)]).ravel()[order]
        shape = empty.shape
        return own, sp.csr_array((values, empty.indices, empty.indptr), shape=shape)

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
        problem = self.problem
        sigma = state.shape.sigma_px[problem.species]
        slope = log_slopes(state.intensity, sigma, level, problem.noise, problem.window)[0]
        slope = slope * problem.moves * ~problem.held
        return np.bincount(problem.species, slope, minlength=n_species)


def system(problem: Problem, state: State, pairs: Footprint, ground: Ground) -> System:
    """Evaluate the model at a state."""
    gaussians = state.shape.gaussians(state.y, state.x, problem.species)
    forms = np.zeros((len(gaussians), 1, 6))
    forms[:, 0, 0] = state.intensity
    expected = _drawn(gaussians, forms, pairs)[0]
    expected += pairs.at_pixels(ground.surface(state.ground, pairs.used.shape))
    if problem.exposure is not None:
        expected *= pairs.at_pixels(problem.exposure)
    observed = pairs.at_pixels(problem.electrons)
    likelihood = problem.noise.log_likelihood(observed, expected)
    objective = float(likelihood.sum()) + ground.prior(state.ground)[0]
    return System(
        problem, state, pairs, ground, gaussians, observed, expected, likelihood, objective
    )


def _drawn(gaussians: np.ndarray, forms: np.ndarray, pairs: Footprint) -> np.ndarray:
    images = frame_fit.draw(gaussians, pairs.centres, pairs.radius, forms, pairs.used.shape)
    return pairs.at_pixels(images)
