"""Masks changed region by region: against the reference, scipy and scikit-image."""

import numpy as np
import pytest
from drawing import draw
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold

from stempede_kernels.masks import drop_small, fill_holes, hysteresis, reference

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


@pytest.mark.parametrize("connectivity", [1, 2])
def test_hysteresis_and_small_regions_equal_the_reference(mask, connectivity):
    high = draw("checkerboard", mask.shape) & draw("noise", mask.shape)
    high[:, mask.shape[1] // 2 :] = False
    np.testing.assert_array_equal(
        hysteresis(mask, high, connectivity), reference.hysteresis(mask, high, connectivity)
    )
    np.testing.assert_array_equal(
        drop_small(mask, 5, connectivity), reference.drop_small(mask, 5, connectivity)
    )


@pytest.mark.parametrize("largest_px", [2, None])
def test_filled_holes_equal_the_reference(mask, largest_px):
    limit = mask.size if largest_px is None else largest_px
    np.testing.assert_array_equal(fill_holes(mask, largest_px), reference.fill_holes(mask, limit))


def test_equal_their_peers_on_a_large_odd_frame():
    image = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(257, 129)), 1.5)
    low, high = image > 0.1, image > 0.45
    np.testing.assert_array_equal(
        hysteresis(low, high), apply_hysteresis_threshold(image, 0.1, 0.45)
    )
    np.testing.assert_array_equal(fill_holes(low), ndimage.binary_fill_holes(low))


@given(masks, st.integers(0, 9))
def test_what_is_dropped_and_what_stays_make_up_the_mask(mask, least_px):
    kept = drop_small(mask, least_px, 2)
    assert not (kept & ~mask).any()
    assert not drop_small(mask & ~kept, least_px, 2).any()
    np.testing.assert_array_equal(drop_small(kept, least_px, 2), kept)


@given(masks)
def test_transposes_with_the_frame(mask):
    np.testing.assert_array_equal(fill_holes(mask.T).T, fill_holes(mask))
    np.testing.assert_array_equal(hysteresis(mask.T, mask.T).T, mask)


def test_a_batch_equals_its_frames():
    stack = np.random.default_rng(1).random((3, 33, 57)) < 0.55
    high = np.random.default_rng(2).random(stack.shape) < 0.05
    for function in (
        lambda m, h: hysteresis(m, h),
        lambda m, h: fill_holes(m, 3),
        lambda m, h: drop_small(m, 4),
    ):
        alone = [function(m, h) for m, h in zip(stack, high, strict=True)]
        np.testing.assert_array_equal(function(stack, high), np.stack(alone))
