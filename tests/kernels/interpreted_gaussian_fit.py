"""The Triton fit on the host, in Triton's interpreter; started by test_gaussian_fit_gpu.py."""

import os

import numpy as np
import pytest
import torch

from stempede_kernels import gaussian_fit
from stempede_kernels.gaussian_fit import fit_gaussians, gpu

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("TRITON_INTERPRET") != "1", reason="needs Triton's interpreter"
    ),
    # lanes without a fit divide by zero, on a GPU without a word
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

TRUTH = np.array(
    [
        [5.3, 4.8, 30.0, 1.6, 1.2, 0.4, 2.0],
        [5.1, 10.6, 18.0, 1.6, 1.2, 0.4, 2.0],
        [1.2, 16.9, 25.0, 1.6, 1.2, 0.4, 2.0],
    ]
)


def draw():
    """Three columns, two of them touching and one at the rim, with counting noise."""
    y, x = np.indices((11, 19), float)
    rate = np.full(y.shape, 2.0)
    for cy, cx, amplitude, wide, narrow, angle, _ in TRUTH:
        along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        rate += amplitude * np.exp(-0.5 * ((along / wide) ** 2 + (across / narrow) ** 2))
    image = np.random.default_rng(4).poisson(rate).astype(np.float32)
    image[8, 3] = np.nan
    return np.stack([np.zeros_like(image), image])


class OnLanes:
    """Stands for the GPU side where arrays lie on the host."""

    @staticmethod
    def fit(images, task, rule, result):
        gpu.fit(torch.from_numpy(images), task, rule, result)


CASES = {
    "7 parameters, neighbours": {"model": "rotated", "neighbours": True, "sweeps": 1},
    "plane, read noise": {
        "model": "upright",
        "noise": "poisson-gaussian",
        "variance": 0.3,
        "plane": True,
        "neighbours": False,
    },
    "least squares": {
        "model": "circular",
        "noise": "gaussian",
        "neighbours": False,
        "window": 7,
        "tolerance": 1e-4,
    },
    "shared widths, offset held": {
        "group": np.zeros(3, np.int64),
        "free_offset": False,
        "neighbours": False,
        "sweeps": 1,
    },
}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_lanes_equal_the_host(options, monkeypatch):
    start = TRUTH * np.array([1, 1, 0.9, 1.05, 1.1, 1, 0.9])
    start[:, :2] += [[0.3, -0.2], [-0.3, 0.2], [0.2, 0.3]]
    given = {"window": 5, "max_iterations": 12, **options}
    images, frame = draw(), np.ones(3, np.int64)
    host = fit_gaussians(images, frame, start, **given)
    monkeypatch.setattr(gaussian_fit, "implementation", lambda *_: OnLanes)
    lanes = fit_gaussians(images, frame, start, **given)
    np.testing.assert_array_equal(lanes.state, host.state)
    np.testing.assert_allclose(lanes.parameters, host.parameters, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(lanes.errors, host.errors, rtol=1e-3)
    np.testing.assert_allclose(lanes.deviance, host.deviance, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(lanes.ratio, host.ratio, rtol=1e-3)
    np.testing.assert_array_equal(lanes.pixels, host.pixels)


def test_windows_without_a_fit_say_so(monkeypatch):
    images = draw()
    start = np.vstack([TRUTH[0], TRUTH[0], TRUTH[0]])
    start[1, :2] = 60, 60
    start[2, 2] = np.nan
    frame = np.array([0, 1, 1])
    host = fit_gaussians(images, frame, start, window=5, max_iterations=2)
    monkeypatch.setattr(gaussian_fit, "implementation", lambda *_: OnLanes)
    lanes = fit_gaussians(images, frame, start, window=5, max_iterations=2)
    np.testing.assert_array_equal(lanes.state, host.state)
    assert np.isnan(lanes.errors).all()
