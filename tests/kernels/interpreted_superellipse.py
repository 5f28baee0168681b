"""The GPU side of superellipses on the host, in Triton's interpreter."""

import os

import numpy as np
import pytest
import torch
from superellipse_drawing import SHAPES, labelled

from stempede_kernels.superellipse import cpu, gpu
from stempede_kernels.superellipse.starts import starts

pytestmark = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") != "1", reason="needs Triton's interpreter"
)


def scene():
    """A frame of two touching regions at its rim, and frames of one."""
    labels, frame, label, box = labelled(SHAPES[:3], value=4)
    labels[0, 20:, :30][labels[0, 20:, :30] == 0] = 9
    frame, label = np.append(frame, 0), np.append(label, 9)
    return labels, frame, label, np.concatenate([box, [[20, 0, 45, 30]]])


def test_outlines_equal_the_host():
    labels, frame, label, box = scene()
    found = gpu.trace(torch.from_numpy(labels), frame, label, box)
    wanted = cpu.trace(labels, frame, label, box)
    np.testing.assert_array_equal(found.begin, wanted.begin)
    np.testing.assert_allclose(found.points.numpy(), wanted.points, atol=1e-6)
    np.testing.assert_allclose(found.harmonics, wanted.harmonics, atol=1e-9)
    np.testing.assert_allclose(found.centroid, wanted.centroid, atol=1e-9)


def test_fits_and_errors_equal_the_host():
    labels, frame, label, box = scene()
    outlines = cpu.trace(labels, frame, label, box)
    region, order, theta = starts(outlines, None)
    few = np.flatnonzero(np.isin(order, (1, 3)) & (region == 2))[1:2]
    few = np.append(few, np.flatnonzero((order == 2) & (region == 0))[1])
    wanted = cpu.fit(outlines, region[few], order[few], theta[few], 3)
    on_device = type(outlines)(**{**vars(outlines), "points": torch.from_numpy(outlines.points)})
    found = gpu.fit(on_device, region[few], order[few], theta[few], 3)
    np.testing.assert_allclose(found.theta, wanted.theta, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(found.cost, wanted.cost, rtol=1e-8)
    np.testing.assert_array_equal(found.state, wanted.state)
    np.testing.assert_array_equal(found.iterations, wanted.iterations)
    one = gpu.information(on_device, region[few], order[few], wanted.theta)
    other = cpu.information(outlines, region[few], order[few], wanted.theta)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9 * np.abs(b).max())


def test_overlaps_and_drawings_equal_the_host():
    labels, frame, label, box = scene()
    region = np.array([0, 1, 2, 3])
    shapes = SHAPES[[0, 1, 2, 4]]
    found = gpu.overlap(torch.from_numpy(labels), frame, label, box, region, shapes)
    np.testing.assert_array_equal(found, cpu.overlap(labels, frame, label, box, region, shapes))
    drawn = gpu.render(torch.from_numpy(SHAPES[3:4] - [14, 14, 7, 0, 0, 0, 0]), 17).numpy()
    wanted = cpu.render(SHAPES[3:4] - [14, 14, 7, 0, 0, 0, 0], 17)
    np.testing.assert_allclose(drawn, wanted, atol=1e-4)
