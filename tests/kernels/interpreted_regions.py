"""The GPU version of regions on the host, in Triton's interpreter; see test_regions_gpu.py."""

import numpy as np
import pytest
import torch
from drawing_regions import blobs, odd_shapes

from stempede_kernels import regions as package
from stempede_kernels.regions import gpu, regions


def both(monkeypatch, labels, images=None, **parameters):
    """Return the columns of the CPU and of the interpreted GPU version."""
    wanted = regions(labels, images, **parameters)
    monkeypatch.setattr(package, "implementation", lambda _name, _array: _Interpreted)
    return wanted, regions(labels, images, **parameters)


class _Interpreted:
    """Hands host arrays to the GPU version as tensors."""

    @staticmethod
    def accumulate(*arguments):
        return gpu.accumulate(
            *(torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arguments)
        )


def assert_same(found, wanted):
    """Counts to the bit; light is added in another order."""
    for name, column in wanted.items():
        if name in {"contrast", "mean_inside", "mean_background"}:
            np.testing.assert_allclose(found[name], column, rtol=1e-12, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], column, err_msg=name)


CASES = {
    "odd shapes": odd_shapes()[None],
    "blobs": blobs(2, (2, 17, 35), width=2.5),
    "empty": np.zeros((1, 3, 5), np.int32),
}


@pytest.mark.parametrize("labels", CASES.values(), ids=CASES.keys())
def test_shapes_equal_the_cpu(monkeypatch, labels):
    wanted, found = both(monkeypatch, labels)
    assert_same(found, wanted)


@pytest.mark.parametrize("extra", ["ring", "valid", "background"])
def test_light_equals_the_cpu(monkeypatch, extra):
    labels = blobs(3, (2, 15, 22), width=2.5)
    rng = np.random.default_rng(0)
    images = rng.normal(50, 3, labels.shape).astype(np.float32)
    images[0, 4, 5] = np.nan
    images[1, 9, 3] = np.inf
    options = {
        "ring": {},
        "valid": {"valid": rng.random(labels.shape) < 0.7},
        "background": {"background": images + 1},
    }[extra]
    wanted, found = both(
        monkeypatch, labels, images, ring_gap_px=1, ring_width_px=2, noise=2.0, **options
    )
    assert np.isfinite(wanted["contrast"]).any()
    assert_same(found, wanted)


def test_transfers_are_counted_and_hold_no_image(monkeypatch):
    labels = np.zeros((1, 40, 300), np.int32)
    labels[0, 5:9, 7:16] = 1
    moved = {"up": 0, "down": 0}

    def count(way, nbytes):
        moved[way] += nbytes

    both(monkeypatch, labels, on_transfer=count)
    assert 0 < moved["up"] < 300
    assert 0 < moved["down"] < 1000 < labels.nbytes / 40
