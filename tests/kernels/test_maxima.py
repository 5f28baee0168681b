"""Maxima by dynamics: against the reference, scikit-image, and their own symmetries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage import morphology

from stempede_kernels.maxima import h_maxima, label_h_maxima
from stempede_kernels.maxima.reference import label_h_maxima as reference


def landscape(shape, seed, levels=None):
    """Draw heights between about -10 and 10; whole numbers where levels are few."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.0)
    height = (30 * smooth).astype(np.float32)
    return height if levels is None else np.round(height * levels / 20)


@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize(("h", "h_relative"), [(0.0, 0.0), (2.0, 0.5)])
def test_equals_the_reference(mask, connectivity, h, h_relative):
    height = landscape(mask.shape, 0, levels=9)
    markers, count = label_h_maxima(
        height, h, mask, h_relative=h_relative, connectivity=connectivity
    )
    expected, n_expected = reference(height, mask, h, h_relative, connectivity)
    np.testing.assert_array_equal(markers, expected)
    assert int(count) == n_expected
    assert markers.dtype == np.int32


@pytest.mark.parametrize("h", [1, 4, 9])
def test_equals_scikit_image_where_no_heights_tie(h):
    height = np.argsort(np.argsort(landscape((57, 93), 1), axis=None)).reshape(57, 93)
    expected = morphology.h_maxima(height, 20 * h).astype(bool)
    np.testing.assert_array_equal(h_maxima(height, 20 * h), expected)


@given(st.integers(0, 2**20), st.integers(1, 3))
def test_ties_lose_maxima_only_to_an_equally_high_one(seed, h):
    height = landscape((12, 17), seed, levels=9).astype(int)
    ours = h_maxima(height, h)
    theirs = morphology.h_maxima(height, h).astype(bool)
    assert not (ours & ~theirs).any()
    # from a maximum that was left out, an equally high kept one is reached above its height - h
    for y, x in np.argwhere(theirs & ~ours):
        within, _ = ndimage.label(height > height[y, x] - h, np.ones((3, 3)))
        assert (ours & (within == within[y, x]) & (height == height[y, x])).any()


def test_two_equal_peaks_with_a_shallow_saddle_give_one_marker():
    height = np.array([[0.0, 5.0, 4.5, 5.0, 0.0, 3.0, 3.0]])
    markers, count = label_h_maxima(height, 1.0)
    np.testing.assert_array_equal(markers, [[0, 1, 0, 0, 0, 2, 2]])
    assert count == 2
    assert label_h_maxima(height, 0.4)[1] == 3


def test_the_relative_threshold_follows_the_height_of_each_peak():
    height = np.array([[0.0, 20.0, 17.0, 19.0, 0.0, 5.0, 2.0, 4.0, 0.0]])
    assert label_h_maxima(height, 1.0)[1] == 4
    markers, _ = label_h_maxima(height, 1.0, h_relative=0.3)
    np.testing.assert_array_equal(markers > 0, [[0, 1, 0, 0, 0, 1, 0, 1, 0]])


def test_every_region_of_the_mask_keeps_its_highest_maximum():
    height = np.array([[1.0, 2.0, 1.0, 9.0, 0.1, 0.2]])
    mask = np.array([[True, True, True, False, True, True]])
    np.testing.assert_array_equal(label_h_maxima(height, 50.0, mask)[0], [[0, 1, 0, 0, 0, 2]])


def test_infinite_and_missing_heights():
    height = np.array([[np.nan, 1.0, -np.inf, 3.0, np.inf, np.inf, -0.0, 0.0]], np.float32)
    np.testing.assert_array_equal(label_h_maxima(height, 1.0)[0], [[0, 1, 0, 0, 2, 2, 0, 0]])
    everywhere = np.ones(height.shape, bool)
    markers, _ = label_h_maxima(height, 1.0, everywhere)
    np.testing.assert_array_equal(markers, [[0, 1, 0, 0, 2, 2, 0, 0]])
    assert label_h_maxima(np.full((3, 4), np.nan), 0.0)[1] == 0


def test_thresholds_per_frame_and_batch_equals_its_frames():
    height = np.stack([landscape((33, 57), seed) for seed in range(3)])
    mask = np.random.default_rng(2).random(height.shape) < 0.9
    h = np.array([0.5, 2.0, 4.0])
    markers, counts = label_h_maxima(height, h, mask, h_relative=[0.0, 0.1, 0.0])
    for k in range(3):
        alone, count = label_h_maxima(height[k], h[k], mask[k], h_relative=[0.0, 0.1, 0.0][k])
        np.testing.assert_array_equal(markers[k], alone)
        assert counts[k] == count
    np.testing.assert_array_equal(
        h_maxima(height, h, mask, h_relative=[0.0, 0.1, 0.0]), markers > 0
    )


@pytest.mark.parametrize("h", [-1.0, np.nan, [1.0, 2.0]])
def test_wrong_thresholds_are_refused(h):
    with pytest.raises(ValueError, match=r"h must be"):
        h_maxima(np.ones((3, 4, 5)), h)


seeds = st.integers(0, 2**20)


@given(seeds)
def test_transposes_with_the_frame_where_no_heights_tie(seed):
    height = landscape((13, 18), seed)
    np.testing.assert_array_equal(h_maxima(height.T, 1.0).T, h_maxima(height, 1.0))


@given(seeds, st.integers(0, 2))
def test_more_height_everywhere_changes_nothing(seed, h):
    height = landscape((13, 18), seed, levels=9)
    np.testing.assert_array_equal(h_maxima(height + 7, h), h_maxima(height, h))


@given(seeds)
def test_higher_thresholds_keep_fewer_maxima(seed):
    height = landscape((13, 18), seed, levels=9)
    assert not (h_maxima(height, 3.0) & ~h_maxima(height, 1.0)).any()
