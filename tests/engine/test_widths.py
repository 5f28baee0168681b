"""Slopes of a position's information, against sums over pixels of what is observed."""

import numpy as np
import pytest

from stempede.columns.noise import Noise
from stempede.columns.widths import log_slopes

WINDOW, SIGMA = 6.0, 4.0


def curvature(true, model, noise):
    """Return the mean curvature of the log-likelihood by y at its column, of a model's electrons.

    ``true`` and ``model`` are intensity, width and level of what is drawn and what is fitted.
    """
    y, x = np.mgrid[-25:26, -25:26]
    inside = np.hypot(y, x) < WINDOW * SIGMA

    def mean(parts, dy=0.0):
        n, sigma, level = parts
        profile = np.exp(-0.5 * ((y - dy) ** 2 + x**2) / sigma**2)
        return (n / (2 * np.pi * sigma**2) * profile + level)[inside]

    step = 0.05
    score = [
        noise.score_information(mean(true), mean(model, dy))[0]
        * (mean(model, dy + step) - mean(model, dy - step))
        / (2 * step)
        for dy in (-step, step)
    ]
    return -(score[1] - score[0]).sum() / (2 * step)


@pytest.mark.parametrize("level", [1e-4, 0.01, 0.3])
@pytest.mark.parametrize(
    "noise",
    [
        Noise(),
        Noise("poisson-gaussian", read_noise=1.5),
        Noise("gaussian", variance=0.2, gain=0.4),
    ],
)
def test_slopes_are_those_of_the_curvature_observed(noise, level):
    true = np.array([40.0, SIGMA, level])
    whole = curvature(true, true, noise)
    wanted = []
    for k in (1, 2):
        step = np.ones(3)
        step[k] = 1.02
        ends = [curvature(true, true * step**sign, noise) for sign in (1, -1)]
        wanted.append((ends[0] - ends[1]) / (2 * np.log(1.02) * whole))
    found = [float(slope[0]) for slope in log_slopes(*true[:, None], noise, WINDOW)]
    assert found == pytest.approx(wanted, abs=0.06)


def test_slopes_without_a_ground_and_under_one_that_prevails():
    n, sigma = np.array([30.0, 30.0]), np.array([3.0, 3.0])
    width, level = log_slopes(n, sigma, np.array([1e-9, 1e4]), Noise(), 6.0)
    assert width == pytest.approx(-2, abs=0.05)
    assert level == pytest.approx([0, -1], abs=0.02)
