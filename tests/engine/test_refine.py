"""Outlines: seen where they are steepest, drawn where particles rise, whatever is around them."""

import numpy as np
import pytest
from scipy import ndimage

from stempede.backend import Backend
from stempede.particles.outlines import Sharpness, View, shrink, smoothing, soften, view_through
from stempede.particles.refine import half_height, steepest, two_levels

SHAPE = (330, 301)
CPU = Backend.choose("cpu")


def grid(radius, pitch):
    """Return the distance into discs on a square grid, positive inside, whole discs only."""
    yy, xx = np.indices(SHAPE)
    places = [
        (y, x)
        for y in range(pitch // 2, SHAPE[0] - radius, pitch)
        for x in range(pitch // 2, SHAPE[1] - radius, pitch)
    ]
    return np.max([radius - np.hypot(yy - y, xx - x) for y, x in places], axis=0), len(places)


def shown(thickness, noise, blur=1.0, seed=0):
    rng = np.random.default_rng(seed)
    signal = ndimage.gaussian_filter(thickness, blur) + rng.normal(0, noise, SHAPE)
    return signal.astype(np.float32)


def view_of(image, inside, factor):
    """Return the view that a perfect search would give."""
    smooth = ndimage.gaussian_filter(shrink(image, factor), smoothing(factor))
    blocks = shrink(inside.astype(np.float32), factor) > 0.5
    labels = ndimage.label(blocks)[0].astype(np.int32)
    return View(factor, smooth, labels, np.ones((int(labels.max()), 3)))


@pytest.mark.parametrize("height", [10.0, 100.0])
def test_regions_of_strong_particles_are_no_larger_than_those_of_weak_ones(height):
    inward, n = grid(24, 75)
    image = shown(height * np.clip(inward + 0.5, 0, 1), 1.0)
    sharp = Sharpness(largest=0.2).for_frame(image.size)
    view = view_through(image, np.ones(SHAPE, bool), 4, sharp, "outlines", CPU)
    assert len(view.regions) == n
    assert view.regions[:, 0].mean() * 16 == pytest.approx(np.pi * 24**2, rel=0.12)


def test_strengths_stay_in_order():
    strength = np.linspace(0, 40, 81, dtype=np.float32)
    soft = soften(strength, 8.0)
    np.testing.assert_array_equal(soft[:17], strength[:17])
    assert np.all(np.diff(soft) > 0)
    assert soft[-1] < 0.5 * strength[-1]


@pytest.mark.parametrize(("factor", "pitch"), [(2, 27), (4, 27), (4, 60)])
def test_levels_are_told_in_narrow_gaps_too(factor, pitch):
    inward, _ = grid(11, pitch)
    image = shown(40 + 12 * np.clip(inward + 0.5, 0, 1), 0.5, blur=0.5)
    levels = two_levels(view_of(image, inward > 0, factor), CPU)
    rim = (levels.zone > 0) & ~levels.core
    assert levels.known[rim].all()
    assert np.median(levels.base[rim]) == pytest.approx(40, abs=1.2)
    assert np.median(levels.height[rim]) == pytest.approx(12, rel=0.1)


@pytest.mark.parametrize("noise", [0.3, 2.0])
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_flat_particles_are_steepest_halfway_up(noise, factor):
    inward, _ = grid(24, 60)
    image = shown(12 * np.clip(inward + 0.5, 0, 1), noise)
    levels = two_levels(view_of(image, inward > 0, factor), CPU)
    smooth = ndimage.gaussian_filter(image, 0.42 * factor)
    assert steepest(smooth, levels, factor, np) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("factor", "loss"), [(2, 0.04), (4, 0.07)])
def test_spheres_lose_little_of_their_thin_rim(factor, loss):
    inward, n = grid(24, 60)
    image = shown(18 * np.sqrt(np.clip(1 - (1 - np.clip(inward, 0, None) / 24) ** 2, 0, None)), 0.3)
    view = view_of(image, inward > 0, factor)
    labels = half_height(view, image, np.ones(SHAPE, bool), CPU)
    areas = np.bincount(labels.ravel())[1:]
    assert len(areas) == n
    # half of the height in the middle lies 13 % inside
    assert 48 * (1 - loss) < 2 * np.sqrt(areas / np.pi).mean() < 48


@pytest.mark.parametrize(("noise", "factor"), [(0.2, 1), (0.2, 3), (6.0, 3)])
def test_outlines_of_crowded_discs_keep_their_size(noise, factor):
    inward, n = grid(11, 27)
    image = shown(12 * np.clip(inward + 0.5, 0, 1), noise)
    valid = np.ones(SHAPE, bool)
    labels = half_height(view_of(image, inward > 0, factor), image, valid, CPU)
    areas = np.bincount(labels.ravel())[1:]
    assert len(areas) == n
    assert 2 * np.sqrt(areas / np.pi).mean() == pytest.approx(22, rel=0.03)


def test_outlines_move_with_the_fraction_and_keep_out_of_what_is_not_valid():
    inward, _ = grid(20, 60)
    image = shown(12 * np.clip(inward + 0.5, 0, 1), 0.5)
    valid = np.ones(SHAPE, bool)
    valid[100:180] = False
    view = view_of(image, inward > 0, 3)
    areas = []
    for fraction in (0.35, 0.5, 0.65):
        labels = half_height(view, image, valid, CPU, fraction)
        assert not labels[~valid].any()
        areas.append(np.count_nonzero(labels))
    assert areas[0] > areas[1] > areas[2]


def test_too_few_particles_to_tell_are_drawn_at_half_height():
    image = np.zeros(SHAPE, np.float32)
    image[50:56, 50:56] = 9.0
    view = view_of(image, image > 0, 1)
    assert steepest(image, two_levels(view, CPU), 1, np) == 0.5
