"""Circles: votes for centres and edges on circles, against plain steps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stempede_kernels.circles import apart, edges_on, reference, vote

SHAPE = (31, 44)


def edges_of(rng, n):
    turn = rng.uniform(0, 2 * np.pi, n)
    places = rng.integers(0, SHAPE, (n, 2))
    return np.column_stack([places, np.sin(turn), np.cos(turn)]).astype(np.float64)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), cell=st.integers(1, 2), n=st.integers(0, 400))
def test_votes_agree_with_reference(seed, cell, n):
    edges = edges_of(np.random.default_rng(seed), n)
    radii = np.array([4.1, 5.3, 7.3])  # with no ties between them
    given_ = {"cell": cell, "rim": 9, "near": 0.3, "least": 0.1}
    votes, radius = vote(edges, SHAPE, radii, **given_)
    expected, whose = reference.vote(edges, SHAPE, radii, **given_)
    np.testing.assert_allclose(votes, expected, rtol=1e-6)
    np.testing.assert_array_equal(radius, whose.astype(np.float32))


def test_a_circle_has_most_votes_at_its_centre():
    turn = 2 * np.pi * np.arange(60) / 60
    out = np.stack([np.sin(turn), np.cos(turn)], axis=1)
    edges = np.concatenate([(15, 22) + 8 * out, -out], axis=1)
    votes, radius = vote(edges, SHAPE, np.array([6.0, 8.0]), cell=1, rim=10, near=0.2, least=0.4)
    most = np.argwhere(votes == votes.max())
    np.testing.assert_allclose(most.mean(axis=0), (25, 32), atol=0.5)
    assert set(radius[tuple(most.T)]) == {8}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), facing=st.sampled_from([0.0, 0.7, 0.9]))
def test_edges_agree_with_reference(seed, facing):
    rng = np.random.default_rng(seed)
    slopes = rng.normal(0, 1, (2, *SHAPE)).astype(np.float32)
    circles = np.column_stack([rng.uniform(-3, 50, (20, 2)), rng.uniform(2, 9, 20)])
    at = np.linspace(0.8, 1.2, 5)
    how = {"directions": 12, "floor": 0.5, "facing": facing}
    found = edges_on(circles, at, tuple(slopes), **how)
    np.testing.assert_array_equal(found, reference.edges_on(circles, at, tuple(slopes), **how))
    assert {*np.unique(found)} <= {*range(-1, len(at))}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(0, 40))
def test_circles_apart_agree_with_reference(seed, n):
    rng = np.random.default_rng(seed)
    circles = np.column_stack([rng.uniform(0, 30, (n, 2)), rng.uniform(3, 6, n)])
    np.testing.assert_array_equal(apart(circles, 0.85), reference.apart(circles, 0.85))


def test_what_does_not_fit_is_refused():
    slopes = (np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32))
    how = {"directions": 8, "floor": 0.5, "facing": 0.9}
    with pytest.raises(ValueError, match="circles must be"):
        edges_on(np.zeros((3, 2)), np.ones(2), slopes, **how)
    with pytest.raises(TypeError, match="float32"):
        edges_on(np.zeros((3, 3)), np.ones(2), (slopes[0], np.zeros(SHAPE)), **how)
    with pytest.raises(ValueError, match="in the frame"):
        vote(np.full((1, 4), 99.0), SHAPE, np.ones(1), cell=1, rim=9, near=0.1, least=0.1)
    with pytest.raises(ValueError, match="radii at most"):
        vote(np.zeros((1, 4)), SHAPE, np.full(1, 20.0), cell=1, rim=9, near=0.1, least=0.1)
