"""GPU kernels on the host, in Triton's interpreter; started by test_kernels_gpu.py."""

import os

import numpy as np
import pytest
import torch
from drawing import PATTERNS, draw

from stempede_kernels import masks as masks_cpu
from stempede_kernels import smooth as smooth_cpu
from stempede_kernels.distance import gpu as distance_gpu
from stempede_kernels.distance.reference import distance
from stempede_kernels.label import gpu as label_gpu
from stempede_kernels.label import renumber
from stempede_kernels.label.reference import label
from stempede_kernels.masks import gpu as masks_gpu
from stempede_kernels.smooth import gpu as smooth_gpu

pytestmark = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") != "1", reason="needs Triton's interpreter"
)

# the last frame of each is wider than a block of its kernel
EVERY = {(1, 1): PATTERNS, (1, 7): PATTERNS, (5, 9): PATTERNS}
DISTANCE = EVERY | {(1, 260): ["noise"]}
LABEL = EVERY | {(2, 70): ["noise"]}


@pytest.mark.parametrize(("shape", "patterns"), DISTANCE.items())
def test_distance_equals_the_reference(shape, patterns):
    masks = np.stack([draw(pattern, shape) for pattern in patterns])
    result = distance_gpu.distance(torch.from_numpy(masks)).numpy()
    expected = np.stack([distance(mask) for mask in masks]).astype(np.float32)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize(("shape", "patterns"), LABEL.items())
def test_label_equals_the_reference(shape, patterns, connectivity):
    masks = np.stack([draw(pattern, shape) for pattern in patterns])
    labels, counts = label_gpu.label(torch.from_numpy(masks), connectivity)
    for k, mask in enumerate(masks):
        expected, n_expected = label(mask, connectivity)
        np.testing.assert_array_equal(labels[k].numpy(), expected)
        assert int(counts[k]) == n_expected


def test_renumber_equals_the_host():
    labels = np.random.default_rng(1).integers(-1, 7, (3, 8, 5)).astype(np.int32)
    labels[1] = 0
    numbered, counts = label_gpu.renumber(torch.from_numpy(labels))
    expected, n_expected = renumber(labels)
    np.testing.assert_array_equal(numbered.numpy(), expected)
    np.testing.assert_array_equal(counts.numpy(), n_expected)
    assert numbered.dtype == counts.dtype == torch.int32


def test_masks_equal_the_host():
    low, high = (
        np.random.default_rng(2).random((2, 3, 11, 13)) < np.array([0.6, 0.1])[:, None, None, None]
    )
    on_device, high_on_device = torch.from_numpy(low), torch.from_numpy(high)
    for result, expected in (
        (masks_gpu.hysteresis(on_device, high_on_device, 1), masks_cpu.hysteresis(low, high)),
        (masks_gpu.fill_holes(on_device, 3), masks_cpu.fill_holes(low, 3)),
        (masks_gpu.drop_small(on_device, 4, 2), masks_cpu.drop_small(low, 4, 2)),
    ):
        np.testing.assert_array_equal(result.numpy(), expected)
        assert 0 < expected.sum() < expected.size


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 7), (2, 5, 9)])
def test_smooth_equals_the_host(shape):
    images = np.random.default_rng(3).normal(10, 2, shape).astype(np.float32)
    weights = smooth_cpu.half_gaussian(1.5, 3.0)
    on_device = torch.from_numpy(images)
    for result, expected in (
        (smooth_gpu.gaussian(on_device, weights), smooth_cpu.gaussian(images, 1.5, 3.0)),
        (smooth_gpu.box_mean(on_device, 3), smooth_cpu.box_mean(images, 7)),
    ):
        np.testing.assert_allclose(result.numpy(), expected, rtol=2e-6)


def test_no_frames_and_frames_that_are_too_large():
    none = torch.zeros((0, 4, 5), dtype=torch.bool)
    assert smooth_gpu.gaussian(none.float(), np.ones(1, np.float32)).shape == (0, 4, 5)
    assert masks_gpu.fill_holes(none, 3).shape == (0, 4, 5)
    assert distance_gpu.distance(none).shape == (0, 4, 5)
    assert label_gpu.label(none, 1)[1].shape == (0,)
    with pytest.raises(ValueError, match="sides of up to 23000 px"):
        distance_gpu.distance(torch.zeros((1, 1, 23_001), dtype=torch.bool))
