"""GPU kernels on the host, in Triton's interpreter; started by test_distance_label_gpu.py."""

import numpy as np
import pytest
import torch
from drawing import PATTERNS, draw

from stempede_kernels.distance import gpu as distance_gpu
from stempede_kernels.distance.reference import distance
from stempede_kernels.label import gpu as label_gpu
from stempede_kernels.label.reference import label

# the last frame of each is wider than a block of its kernel
EVERY = {(1, 1): PATTERNS, (1, 7): PATTERNS, (9, 14): PATTERNS}
DISTANCE = EVERY | {(1, 300): ["noise", "one hole"]}
LABEL = EVERY | {(2, 140): ["noise", "spiral"]}


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


def test_no_frames_and_frames_that_are_too_large():
    none = torch.zeros((0, 4, 5), dtype=torch.bool)
    assert distance_gpu.distance(none).shape == (0, 4, 5)
    assert label_gpu.label(none, 1)[1].shape == (0,)
    with pytest.raises(ValueError, match="sides of up to 23000 px"):
        distance_gpu.distance(torch.zeros((1, 1, 23_001), dtype=torch.bool))
