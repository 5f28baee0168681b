"""Scenes: insides of particles, packed layers, supports; what is drawn over them is no particle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stempede.simulate.interiors import interiors, paled
from stempede.simulate.packing import packed
from stempede.simulate.scenes import SIZES_PX, draw_population, scene
from stempede.simulate.support import clouds, granules, smooth_field, spheres, streaks

SHAPE = (61, 84)


def blocks():
    """Three particles, one of them cut by the frame."""
    labels = np.zeros(SHAPE, np.int32)
    labels[5:25, 10:33], labels[30:50, 40:60], labels[:12, 70:] = 1, 2, 3
    return labels


@pytest.mark.parametrize("seed", range(4))
def test_insides_change_particles_and_nothing_else(seed):
    labels = blocks()
    factors = interiors(labels, 0.4, np.random.default_rng(seed))
    assert factors.shape == SHAPE
    assert (factors[labels == 0] == 1).all()
    assert 0 < factors.min() <= factors.max() <= 3
    assert all(np.ptp(factors[labels == k]) > 0.01 for k in (1, 2, 3))
    again = interiors(labels, 0.4, np.random.default_rng(seed))
    np.testing.assert_array_equal(factors, again)


def test_insides_of_no_particles_are_ones():
    rng = np.random.default_rng(0)
    assert (interiors(np.zeros(SHAPE, np.int32), 0.5, rng) == 1).all()
    assert (paled(np.zeros(SHAPE, np.int32), 1.0, rng) == 1).all()


def test_a_pale_particle_is_pale_throughout():
    labels = blocks()
    factors = paled(labels, 1.0, np.random.default_rng(1))
    assert (factors[labels == 0] == 1).all()
    assert all(np.ptp(factors[labels == k]) == 0 for k in (1, 2, 3))
    assert factors[labels > 0].max() < 0.7
    assert (paled(labels, 0.0, np.random.default_rng(1)) == 1).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_packed_particles_are_thick_where_they_are_labelled(seed):
    thickness, labels = packed(SHAPE, 14.0, np.random.default_rng(seed))
    assert thickness.shape == labels.shape == SHAPE
    assert np.isfinite(thickness).all()
    assert thickness.min() >= 0
    # the rim of a pixel belongs to both sides
    assert (thickness[labels > 0] > 0).all()
    assert (thickness[labels == 0] <= 0.5 + 1e-6).all()
    assert set(np.unique(labels)) - {0} == set(range(1, labels.max() + 1))


def test_packed_particles_have_the_size_asked_for():
    areas = []
    for seed in range(6):
        _, labels = packed((160, 171), 20.0, np.random.default_rng(seed))
        inner = set(np.unique(labels)) - set(np.unique(labels[[0, -1]]))
        inner -= set(np.unique(labels[:, [0, -1]]))
        areas += [np.count_nonzero(labels == k) for k in inner]
    assert len(areas) > 60
    assert 13 < 2 * np.sqrt(np.median(areas) / np.pi) < 24


@pytest.mark.parametrize("support", [clouds, granules, spheres])
def test_supports_are_as_thick_as_they_say(support):
    thickest = []
    for seed in range(8):
        found = support(SHAPE, 11.0, np.random.default_rng(seed))
        assert found.shape == SHAPE
        assert found.dtype == np.float32
        assert found.min() >= 0
        thickest.append(found.max())
        np.testing.assert_array_equal(found, support(SHAPE, 11.0, np.random.default_rng(seed)))
    # a frame may lie beside its support
    assert 0.5 < np.median(thickest) < 3
    assert max(thickest) < 12


def test_a_field_has_its_spread_however_small_the_piece_that_is_seen():
    rng = np.random.default_rng(0)
    for sigma_px in (0.7, 5.0, 60.0):
        pieces = np.stack([smooth_field((33, 40), sigma_px, rng)[::9, ::9] for _ in range(200)])
        assert abs(pieces.mean()) < 0.25
        assert 0.8 < pieces.std() < 1.2


def test_streaks_run_along_one_side():
    found = streaks((200, 210), np.random.default_rng(3))
    assert abs(found.std() - 1) < 1e-3
    steps = sorted(float(np.abs(np.diff(found, axis=axis)).mean()) for axis in (0, 1))
    assert steps[0] < 0.5 * steps[1]


def test_populations_lie_in_their_range_and_scenes_are_drawn_from_all():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        population = draw_population(64, float(rng.uniform(*SIZES_PX)), rng)
        assert population.shape == (64, 64)
    for number in range(30):
        drawn = scene(48, number, seed=9)
        assert drawn.image.shape == drawn.labels.shape == (48, 48)
        assert np.isfinite(drawn.image).all()
