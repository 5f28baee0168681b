"""GPU version of the fits: interpreted, compiled without a device, and on one."""

import numpy as np
import pytest
from interpreter import passed_interpreted

from stempede_kernels import compile_check
from stempede_kernels.gaussian_fit import State, fit_gaussians

pytest.importorskip("triton")
torch = pytest.importorskip("torch")


def test_in_the_interpreter():
    passed_interpreted("interpreted_gaussian_fit.py", 5)


def test_compiled_without_a_device_nothing_spills():
    rows = compile_check.check(["gaussian_fit"])
    assert {row["architecture"] for row in rows} == {80, 90}
    fits = [row for row in rows if row["kernel"] == "_fit_kernel"]
    assert all(row["registers"] <= 224 and row["shared_bytes"] == 0 for row in fits)
    assert {'"WINDOW": 11', '"WINDOW": 15'} <= {row["constexprs"][1:13] for row in fits}
    assert compile_check.spilling(rows) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("noise", ["poisson", "gaussian"])
@pytest.mark.parametrize("model", ["rotated", "upright", "circular"])
def test_a_device_agrees_with_the_host(model, noise):
    rng = np.random.default_rng(11)
    y, x = np.indices((257, 301), float)
    places = np.stack(np.meshgrid(np.arange(9, 250, 11), np.arange(8, 295, 11), indexing="ij"), -1)
    places = places.reshape(-1, 2) + rng.uniform(-0.5, 0.5, (places.size // 2, 2))
    rate = np.full(y.shape, 1.5)
    for cy, cx in places:
        rate += 40 * np.exp(-((y - cy) ** 2 / 2.4**2 + (x - cx) ** 2 / 2.0**2) / 2)
    images = rng.poisson(rate, (3, *rate.shape)).astype(np.float32)
    frame = np.repeat(np.arange(3), len(places))
    start = np.tile(
        np.column_stack([places, np.tile([36, 2.3, 2.1, 1.5, 1.4], (len(places), 1))]), (3, 1)
    )
    host = fit_gaussians(images, frame, start, model=model, noise=noise, window=13)
    device = fit_gaussians(
        torch.from_numpy(images).cuda(), frame, start, model=model, noise=noise, window=13
    )
    assert (host.state == State.CONVERGED).mean() > 0.99
    assert (host.state == device.state).mean() > 0.999
    both = (host.state == State.CONVERGED) & (device.state == State.CONVERGED)
    assert np.abs(host.parameters - device.parameters)[both][:, :2].max() < 2e-3
    np.testing.assert_allclose(device.errors[both][:, :3], host.errors[both][:, :3], rtol=2e-3)
