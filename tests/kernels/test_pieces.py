"""Whole pieces: the largest piece of each label, with its holes filled."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stempede_kernels.pieces import reference, whole_pieces


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), density=st.sampled_from([0.5, 0.8, 1.0]), fill=st.booleans())
def test_agrees_with_reference(seed, density, fill):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, (8, 11)) * (rng.random((8, 11)) < density)
    labels = labels.astype(np.int32)
    expected = reference.whole_pieces(labels, fill=fill)
    np.testing.assert_array_equal(whole_pieces(labels, fill=fill), expected)


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
