"""Pieces on the host, in Triton's interpreter; started by test_pieces_gpu.py."""

import os

import numpy as np
import pytest
import torch
from drawing import PATTERNS, draw

from stempede_kernels.pieces import cpu, gpu
from stempede_kernels.pieces.reference import separate, whole_pieces

pytestmark = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") != "1", reason="needs Triton's interpreter"
)


def labelled(seed, shape, n_labels, share):
    """Draw labels in cells of unlike sizes with holes, so that some lie in several pieces."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, n_labels + 1, (shape[0], *(side // 2 + 1 for side in shape[1:])))
    labels = cells.repeat(2, axis=1).repeat(2, axis=2)[:, : shape[1], : shape[2]]
    return (labels * (rng.random(shape) < share)).astype(np.int32)


@pytest.mark.parametrize("fill", [True, False])
@pytest.mark.parametrize("share", [0.6, 0.9, 1.0])
def test_whole_pieces_equal_the_reference(share, fill):
    labels = labelled(1, (3, 9, 15), 3, share)
    found = gpu.whole_pieces(torch.from_numpy(labels), fill=fill).numpy()
    expected = [whole_pieces(frame, fill=fill) for frame in labels]
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int32


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (11, 14)])
def test_holes_are_filled_as_on_the_host(shape):
    labels = np.stack([draw(pattern, shape) for pattern in PATTERNS]).astype(np.int32)
    labels[:, shape[0] // 2] *= 5
    found = gpu.whole_pieces(torch.from_numpy(labels), fill=True).numpy()
    np.testing.assert_array_equal(found, cpu.whole_pieces(labels, fill=True))


@pytest.mark.parametrize("share", [0.4, 0.7, 1.0])
@pytest.mark.parametrize("least_px", [0, 4, 50])
def test_separated_labels_equal_the_reference(share, least_px):
    labels = labelled(2, (3, 9, 15), 3, share)
    found = gpu.separate(torch.from_numpy(labels), least_px=least_px).numpy()
    np.testing.assert_array_equal(found, [separate(frame, least_px) for frame in labels])
    assert found.dtype == np.int32


def test_no_frames_and_empty_frames():
    for labels in (np.zeros((0, 4, 5), np.int32), np.zeros((2, 4, 5), np.int32)):
        on_device = torch.from_numpy(labels)
        np.testing.assert_array_equal(gpu.whole_pieces(on_device, fill=True).numpy(), labels)
        np.testing.assert_array_equal(gpu.separate(on_device, least_px=3).numpy(), labels)
