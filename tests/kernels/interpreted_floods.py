"""Maxima and watershed on the host, in Triton's interpreter; started by test_floods_gpu.py."""

import os

import numpy as np
import pytest
import torch
from drawing import PATTERNS, draw
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from stempede_kernels.distance import cpu as distance_cpu
from stempede_kernels.distance import gpu as distance_gpu
from stempede_kernels.maxima import cpu as maxima_cpu
from stempede_kernels.maxima import gpu as maxima_gpu
from stempede_kernels.maxima.reference import label_h_maxima
from stempede_kernels.watershed import cpu as watershed_cpu
from stempede_kernels.watershed import gpu as watershed_gpu
from stempede_kernels.watershed.reference import watershed

pytestmark = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") != "1", reason="needs Triton's interpreter"
)

SHAPES = [(1, 1), (7, 1), (7, 11)]


def landscapes(n_frames, shape, levels, seed=0):
    """Draw smooth heights; whole numbers, with many ties, where levels are given."""
    noise = np.random.default_rng(seed).normal(size=(n_frames, *shape))
    smooth = 20 * ndimage.gaussian_filter(noise, (0, 1.2, 1.2))
    return (smooth if levels is None else np.round(smooth * levels / 20)).astype(np.float32)


def scattered(shape, n_markers, seed=0):
    """Draw single pixels with labels that are not in raster order."""
    rng = np.random.default_rng(seed)
    markers = np.zeros(shape, np.int32)
    for frame in markers:
        places = rng.permutation(frame.size)[:n_markers]
        frame.flat[places] = 1 + rng.permutation(n_markers)[: len(places)]
    return markers


def touching_discs(shape, n_discs, seed):
    """Draw frames of discs of unlike radii that overlap."""
    y, x = np.indices(shape[1:])
    rng = np.random.default_rng(seed)
    masks = np.zeros(shape, bool)
    for mask in masks:
        for _ in range(n_discs):
            cy, cx = rng.uniform(0, shape[1:])
            mask |= (y - cy) ** 2 + (x - cx) ** 2 < rng.uniform(4, 8) ** 2
    return masks


def flood(height, markers, mask, connectivity):
    maps = (torch.from_numpy(a) for a in (height, markers, mask))
    return watershed_gpu.watershed(*maps, connectivity).numpy()


def mark(height, mask, h, h_relative, connectivity):
    maps = (torch.from_numpy(a) for a in (height, mask))
    markers, counts = maxima_gpu.label_h_maxima(*maps, h, h_relative, connectivity)
    return markers.numpy(), counts.numpy()


@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_watershed_equals_the_reference(shape, connectivity):
    masks = np.stack([draw(pattern, shape) for pattern in PATTERNS])
    height = landscapes(len(masks), shape, levels=4)
    markers = scattered(masks.shape, 7)
    expected = [watershed(*maps, connectivity) for maps in zip(height, markers, masks)]
    found = flood(height, markers, masks, connectivity)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int32


@pytest.mark.parametrize("connectivity", [1, 2])
def test_watershed_of_regions_longer_than_a_turn_equals_the_host(monkeypatch, connectivity):
    """Queue and waiting pixels take several turns of few slots; both sizes of program run."""
    monkeypatch.setattr(watershed_gpu, "SIZES", ((60, 16, 1), (1 << 31, 32, 1)))
    masks = np.stack([draw(pattern, (11, 17)) for pattern in ("full", "blobs")])
    height = landscapes(2, (11, 17), levels=1, seed=1)
    markers = scattered(masks.shape, 9, seed=1)
    expected = watershed_cpu.watershed(height, markers, masks, connectivity)
    np.testing.assert_array_equal(flood(height, markers, masks, connectivity), expected)


def test_watershed_of_special_heights_and_markers():
    inf = np.inf
    height = np.array([[[0.0, np.nan, inf, -inf, -0.0, 0.0, 1.0]]], np.float32)
    markers = np.array([[[4, 0, 0, 0, 0, 0, 9]]], np.int32)
    mask = np.ones(height.shape, bool)
    np.testing.assert_array_equal(flood(height, markers, mask, 1), [[[4, 4, 9, 9, 9, 9, 9]]])
    np.testing.assert_array_equal(flood(height, -markers, mask, 1), 0 * markers)
    np.testing.assert_array_equal(flood(height, markers, ~mask, 1), 0 * markers)
    mask[0, 0, 3] = False
    markers[0, 0, 6] = 0
    np.testing.assert_array_equal(flood(height, markers, mask, 1), [[[4, 4, 4, 0, 0, 0, 0]]])


@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize(("h", "h_relative"), [(0.0, 0.0), (2.0, 0.5)])
@pytest.mark.parametrize("shape", SHAPES)
def test_maxima_equal_the_reference(shape, h, h_relative, connectivity):
    masks = np.stack([draw(pattern, shape) for pattern in PATTERNS])
    height = landscapes(len(masks), shape, levels=9, seed=2)
    per_frame = (np.full(len(masks), threshold) for threshold in (h, h_relative))
    markers, counts = mark(height, masks, *per_frame, connectivity)
    for k, mask in enumerate(masks):
        expected, n_expected = label_h_maxima(height[k], mask, h, h_relative, connectivity)
        np.testing.assert_array_equal(markers[k], expected)
        assert counts[k] == n_expected
    assert markers.dtype == counts.dtype == np.int32


@pytest.mark.parametrize("levels", [None, 3])
def test_maxima_of_frames_with_thresholds_of_their_own_equal_the_host(levels):
    height = landscapes(3, (15, 22), levels, seed=3)
    mask = np.random.default_rng(3).random(height.shape) < 0.9
    thresholds = np.array([0.5, 2.0, 0.0]), np.array([0.0, 0.1, 0.6])
    expected, n_expected = maxima_cpu.label_h_maxima(height, mask, *thresholds, 2)
    markers, counts = mark(height, mask, *thresholds, 2)
    np.testing.assert_array_equal(markers, expected)
    np.testing.assert_array_equal(counts, n_expected)


def test_maxima_of_infinite_and_missing_heights_equal_the_host():
    inf = np.inf
    row = [np.nan, 1.0, -inf, 3.0, inf, inf, -0.0, 0.0, inf, -inf, inf]
    height = np.array([[row], [[np.nan] * 11], [[-inf] * 11]], np.float32)
    mask = np.ones(height.shape, bool)
    for h, h_relative in ((0.0, 0.0), (1.0, 0.2)):
        thresholds = np.full(3, h), np.full(3, h_relative)
        expected, n_expected = maxima_cpu.label_h_maxima(height, mask, *thresholds, 1)
        markers, counts = mark(height, mask, *thresholds, 1)
        np.testing.assert_array_equal(markers, expected)
        np.testing.assert_array_equal(counts, n_expected)


seeds = st.integers(0, 2**20)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seeds, st.integers(1, 6), st.integers(1, 5), st.sampled_from([1, 2]))
def test_any_watershed_equals_the_host(seed, width, levels, connectivity):
    rng = np.random.default_rng(seed)
    shape = (2, 5, width)
    height = rng.integers(0, levels, shape).astype(np.float32)
    markers = (rng.integers(0, 4, shape) * (rng.random(shape) < 0.3)).astype(np.int32)
    mask = rng.random(shape) < 0.85
    expected = watershed_cpu.watershed(height, markers, mask, connectivity)
    np.testing.assert_array_equal(flood(height, markers, mask, connectivity), expected)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seeds, st.integers(1, 9), st.integers(1, 6), st.sampled_from([1, 2]))
def test_any_maxima_equal_the_host(seed, width, levels, connectivity):
    rng = np.random.default_rng(seed)
    shape = (2, 6, width)
    height = rng.integers(0, levels, shape).astype(np.float32)
    mask = rng.random(shape) < 0.9
    thresholds = rng.uniform(0, 2, 2), rng.uniform(0, 0.5, 2)
    expected, n_expected = maxima_cpu.label_h_maxima(height, mask, *thresholds, connectivity)
    markers, counts = mark(height, mask, *thresholds, connectivity)
    np.testing.assert_array_equal(markers, expected)
    np.testing.assert_array_equal(counts, n_expected)


def test_touching_discs_are_split_as_on_the_host():
    """Distance, maxima and watershed one after the other, on a landscape full of ties."""
    masks = touching_discs((1, 29, 41), 9, seed=4)
    inside = distance_gpu.distance(torch.from_numpy(masks))
    thresholds = np.full(1, 0.75), np.full(1, 0.1)
    markers, counts = mark(inside.numpy(), masks, *thresholds, 2)
    labels = flood(-inside.numpy(), markers, masks, 1)
    host_inside = distance_cpu.distance(masks)
    host_markers, _ = maxima_cpu.label_h_maxima(host_inside, masks, *thresholds, 2)
    np.testing.assert_array_equal(markers, host_markers)
    expected = watershed_cpu.watershed(-host_inside, host_markers, masks, 1)
    np.testing.assert_array_equal(labels, expected)
    assert counts >= 3


def test_no_frames():
    none = torch.zeros((0, 4, 5), dtype=torch.bool)
    assert watershed_gpu.watershed(none.float(), none.int(), none, 1).shape == (0, 4, 5)
    markers, counts = maxima_gpu.label_h_maxima(none.float(), none, np.ones(0), np.ones(0), 2)
    assert (markers.shape, counts.shape) == ((0, 4, 5), (0,))
