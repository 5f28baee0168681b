"""Pieces: the largest of each label with its holes filled, and parts of cut labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stempede_kernels.pieces import paint_parts, reference, separate, whole_pieces


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), density=st.sampled_from([0.5, 0.8, 1.0]), fill=st.booleans())
def test_agrees_with_reference(seed, density, fill):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, (8, 11)) * (rng.random((8, 11)) < density)
    labels = labels.astype(np.int32)
    expected = reference.whole_pieces(labels, fill=fill)
    np.testing.assert_array_equal(whole_pieces(labels, fill=fill), expected)


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), density=st.floats(0.3, 1), least_px=st.integers(0, 9))
def test_separated_labels_agree_with_reference(seed, density, least_px):
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, 4, (3, 4)).repeat(3, axis=0).repeat(3, axis=1)
    labels = (labels * (rng.random(labels.shape) < density)).astype(np.int32)
    expected = reference.separate(labels, least_px)
    np.testing.assert_array_equal(separate(labels, least_px), expected)


def test_a_hole_with_another_particle_stays_open():
    labels = np.zeros((9, 10), np.int32)
    labels[1:8, 1:8] = 1
    labels[2:7, 2:7] = 0
    labels[4, 4] = 2
    np.testing.assert_array_equal(whole_pieces(labels), labels)
    labels[4, 4] = 0
    assert np.count_nonzero(whole_pieces(labels)) == 49


def test_a_batch_is_its_frames():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, (3, 12, 17)).astype(np.int32)
    expected = np.stack([whole_pieces(frame) for frame in labels])
    np.testing.assert_array_equal(whole_pieces(labels), expected)


def test_floats_are_refused():
    with pytest.raises(TypeError, match="int32"):
        whole_pieces(np.zeros((3, 4), np.float32))


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.integers(1, 4), share=st.floats(0.1, 1))
def test_painted_parts_agree_with_reference(seed, factor, share):
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(9, 22)), int(rng.integers(9, 26)))
    labels = np.kron(rng.integers(0, 4, (5, 6)), np.ones((5, 5), int)).astype(np.int32)
    labels = labels[: shape[0], : shape[1]]
    middles = labels[factor // 2 :: factor, factor // 2 :: factor]
    # two parts of the labels 1 and 2, none of 3, seen in some of their blocks
    parts = 4 + 2 * middles + rng.integers(0, 2, middles.shape)
    parts[(middles == 0) | (middles == 3) | (rng.random(middles.shape) > share)] = 0
    parts = parts.astype(np.int32)
    expected = reference.paint_parts(labels, parts, factor)
    np.testing.assert_array_equal(paint_parts(labels, parts, factor), expected)


def test_parts_must_fit_the_labels():
    labels = np.ones((6, 9), np.int32)
    with pytest.raises(ValueError, match="blocks"):
        paint_parts(labels, np.zeros((3, 9), np.int32), 2)
    with pytest.raises(ValueError, match="above all labels"):
        paint_parts(labels, np.ones((3, 4), np.int32), 2)
    with pytest.raises(TypeError, match="int32"):
        paint_parts(labels, np.zeros((3, 4)), 2)
