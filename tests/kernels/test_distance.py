"""Distance transform: against the reference, scipy, and its own symmetries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from stempede_kernels.distance import distance
from stempede_kernels.distance.reference import distance as reference

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


def test_equals_the_reference(mask):
    np.testing.assert_array_equal(distance(mask), reference(mask).astype(np.float32))


@pytest.mark.parametrize("shape", [(257, 129), (64, 300)])
@pytest.mark.parametrize("share", [0.5, 0.97, 0.9995])
def test_equals_scipy(shape, share):
    mask = np.random.default_rng(1).random(shape) < share
    expected = ndimage.distance_transform_edt(mask).astype(np.float32)
    np.testing.assert_array_equal(distance(mask), expected)


def test_a_frame_without_background_is_infinite_and_its_neighbour_is_not():
    mask = np.ones((2, 5, 8), bool)
    mask[1, 2, 3] = False
    result = distance(mask)
    assert np.isinf(result[0]).all()
    assert result[1, 2, 7] == 4.0


@given(masks)
def test_transposes_and_flips_with_the_frame(mask):
    result = distance(mask)
    np.testing.assert_array_equal(distance(mask.T), result.T)
    np.testing.assert_array_equal(distance(mask[::-1, ::-1]), result[::-1, ::-1])


@given(masks, st.tuples(*[st.integers(0, 5)] * 4))
def test_background_around_shifts_the_result_only(mask, rim):
    rim = ((rim[0] + 1, rim[1] + 1), (rim[2] + 1, rim[3] + 1))
    padded = np.pad(mask, rim)
    inner = np.pad(mask, 1)
    y, x = rim[0][0] - 1, rim[1][0] - 1
    window = distance(padded)[y : y + inner.shape[0], x : x + inner.shape[1]]
    np.testing.assert_array_equal(window, distance(inner))


@settings(deadline=None)
@given(arrays(bool, array_shapes(min_dims=3, max_dims=3, max_side=9)))
def test_a_batch_equals_its_frames(mask):
    np.testing.assert_array_equal(distance(mask), np.stack([distance(frame) for frame in mask]))
