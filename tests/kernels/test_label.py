"""Labelling: against the reference, scipy, and its own symmetries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from stempede_kernels.label import label, reference, renumber

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


@pytest.mark.parametrize("connectivity", [1, 2])
def test_equals_the_reference_and_scipy(mask, connectivity):
    labels, count = label(mask, connectivity)
    expected, n_expected = reference.label(mask, connectivity)
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == np.int32
    assert int(count) == n_expected
    structure = ndimage.generate_binary_structure(2, connectivity)
    by_scipy, n_scipy = ndimage.label(mask, structure)
    np.testing.assert_array_equal(labels, by_scipy)
    assert n_expected == n_scipy


@pytest.mark.parametrize("share", [0.3, 0.59, 0.8])
def test_equals_scipy_on_a_large_odd_frame(share):
    mask = np.random.default_rng(2).random((257, 129)) < share
    for connectivity in (1, 2):
        structure = ndimage.generate_binary_structure(2, connectivity)
        np.testing.assert_array_equal(
            label(mask, connectivity)[0], ndimage.label(mask, structure)[0]
        )


@given(masks)
def test_labels_follow_the_raster_order_of_first_pixels(mask):
    labels, count = label(mask)
    _, first = np.unique(labels[mask], return_index=True)
    assert len(first) == count
    assert (np.diff(first) > 0).all()


@given(masks)
def test_transposition_permutes_the_labels_only(mask):
    labels, _ = label(mask)
    turned = label(mask.T)[0].T
    pairs = np.unique(np.stack([labels[mask], turned[mask]]), axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


@given(arrays(bool, array_shapes(min_dims=3, max_dims=3, max_side=9)))
def test_a_batch_equals_its_frames(mask):
    labels, counts = label(mask, 2)
    assert counts.dtype == np.int32
    for frame in range(len(mask)):
        alone, count = label(mask[frame], 2)
        np.testing.assert_array_equal(labels[frame], alone)
        assert counts[frame] == count


numbers = arrays(
    np.int64, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(-2, 9)
)


@given(numbers)
def test_renumbered_labels_equal_the_reference(labels):
    numbered, count = renumber(labels)
    expected, n_expected = reference.renumber(labels)
    np.testing.assert_array_equal(numbered, expected)
    assert count == n_expected


@given(masks, st.permutations(range(1, 145)))
def test_renumbering_undoes_any_permutation_of_labels(mask, names):
    labels, count = label(mask)
    numbered, n_numbered = renumber(np.array([0, *names])[labels])
    np.testing.assert_array_equal(numbered, labels)
    assert n_numbered == count


def test_renumbering_counts_each_frame_alone():
    labels, counts = renumber(np.array([[[5, 0, 2]], [[0, 0, 0]], [[2, 5, 2]]]))
    np.testing.assert_array_equal(labels, [[[1, 0, 2]], [[0, 0, 0]], [[1, 2, 1]]])
    np.testing.assert_array_equal(counts, [2, 0, 2])
