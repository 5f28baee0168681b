"""Errors of faint columns where a detector has read noise, against its whole likelihood."""

import numpy as np
import pytest

from engine.fitted_frames import SHARES, batch_of, drawn, lattice
from stempede.columns.crystal import crystal_of
from stempede.columns.faint import mean_squares
from stempede.columns.noise import Noise
from stempede.columns.refinement import Settings, refine
from stempede.columns.search import without_own
from stempede.columns.sites import Sites

SHAPE = (131, 163)
NOISE = Noise("poisson-gaussian", read_noise=0.25)


def fitted_frame(seed):
    i, j, species, yx = lattice()
    intensity = np.array([SHARES[s] for s in species]) * 40.0
    rng = np.random.default_rng(seed)
    electrons = drawn(yx, intensity, SHAPE, level=8e-3, rng=rng)
    electrons = electrons + NOISE.read_noise * rng.standard_normal(SHAPE)
    batch = batch_of(electrons, i, j, species, yx + 0.3)
    sites = Sites.of(batch.tables["columns"], crystal_of("CsPbI3"))
    settings = Settings(3.3, 4.3, 0.4, 3.0, scan_lines=False)
    return refine(electrons, np.ones(SHAPE, bool), None, NOISE, sites, settings), intensity


def whole_mean_square(system, column, intensity, error):
    """Return the mean square of y and x about the fit, over the likelihood of all pixels."""
    state = system.state
    sigma = state.shape.sigma_px[system.problem.species[column]]
    yy, xx = (a.reshape(1, -1) for a in np.indices(SHAPE))
    near = np.hypot(yy - state.y[column], xx - state.x[column]) < 6 * sigma
    yy, xx = yy[near][None], xx[near][None]
    without = without_own(system, np.array([column]), yy, xx, np.ones(yy.shape, bool))
    offsets = np.linspace(-4, 4, 13)
    down, across = (a.reshape(-1, 1) for a in np.meshgrid(offsets, offsets, indexing="ij"))
    dy, dx = down * error[0], across * error[1]
    square = (yy - state.y[column] - dy) ** 2 + (xx - state.x[column] - dx) ** 2
    own = intensity / (2 * np.pi * sigma**2) * np.exp(-0.5 * square / sigma**2)
    observed = np.broadcast_to(system.problem.electrons[yy[0], xx[0]], own.shape)
    log = NOISE.log_likelihood(observed, without + own).sum(axis=1)
    weight = np.exp(log - log.max())
    return float((weight * (dy**2 + dx**2)[:, 0]).sum() / weight.sum())


def test_faint_columns_have_the_errors_of_their_whole_likelihood():
    ratio = []
    for seed in range(3):
        refined, intensity = fitted_frame(seed)
        system = refined.last.system
        faint = np.flatnonzero(refined.last.seen & (refined.last.gain < 72) & (intensity < 20))
        curvature = system.normal().covariance(system.state.y, system.state.x)
        # the columns' own intensities, so that both ask of the same column
        found = mean_squares(system, faint, curvature, system.state.intensity)
        for column, square in zip(faint, found, strict=True):
            error = np.sqrt(np.diag(curvature[column])[:2])
            wanted = whole_mean_square(system, column, system.state.intensity[column], error)
            ratio.append(np.trace(square) / wanted)
    assert len(ratio) > 30
    assert np.median(ratio) == pytest.approx(1, abs=0.1)
