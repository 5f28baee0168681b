"""Discs: round particles are told apart however they overlap; other shapes are left whole."""

import numpy as np
import pytest
from scipy import ndimage

from stempede.particles.blocks import Blocks
from stempede.particles.discs import find_discs, round_view
from stempede.particles.rounds import Painted, paint_discs, with_discs
from stempede.particles.split import Split, split_regions

SHAPE = (250, 331)
# singles, pairs and a pile; centres one to two radii apart
CENTRES = [(40, 40), (40, 110), (45, 160), (45, 181), (50, 250), (72, 264)]
CENTRES += [(160, 60), (178, 74), (158, 84), (180, 96), (150, 200), (200, 240), (190, 290)]
RADIUS = 15.0
SEEN = Split().circle


def thickness(centres, radius, shape=SHAPE):
    """Summed thickness of spheres."""
    yy, xx = np.indices(shape)
    squares = [radius**2 - (yy - y) ** 2 - (xx - x) ** 2 for y, x in centres]
    return sum(np.sqrt(np.maximum(s, 0.0)) for s in squares)


def rods(centres, half, radius, shape=SHAPE):
    yy, xx = np.indices(shape)
    found = np.zeros(shape, bool)
    for k, (y, x) in enumerate(centres):
        along = np.clip(np.cos(k) * (xx - x) + np.sin(k) * (yy - y), -half, half)
        found |= np.hypot(xx - x - np.cos(k) * along, yy - y - np.sin(k) * along) <= radius
    return found


def picture(signal, seed=1):
    """Saturating contrast, blur and noise of a bright-field micrograph, particles bright."""
    rng = np.random.default_rng(seed)
    shown = 40 * (1 - np.exp(-0.06 * signal))
    return (ndimage.gaussian_filter(shown, 1.0) + rng.normal(0, 1, SHAPE)).astype(np.float32)


def split(image, regions, factor=1, circle=SEEN):
    values = Split()
    names = ("depth", "least", "valley", "step", "smallest")
    given = {name: getattr(values, name) for name in names}
    return split_regions(image[None], regions[None], [factor], **given, circle=circle)[0]


def spheres():
    signal = thickness(CENTRES, RADIUS)
    return picture(signal), ndimage.label(signal > 0)[0].astype(np.int32)


@pytest.mark.parametrize("factor", [1, 2])
def test_overlapping_spheres_are_found_where_they_are(factor):
    image, regions = spheres()
    discs = find_discs(Blocks.of(image, regions, factor), SEEN)
    centres = factor * discs[:, :2] + (factor - 1) / 2
    for y, x in CENTRES:
        nearest = np.argmin(np.hypot(*(centres - (y, x)).T))
        assert np.hypot(*(centres[nearest] - (y, x))) < 0.2 * RADIUS
        assert abs(factor * discs[nearest, 2] / RADIUS - 1) < 0.15
    assert len(discs) == len(CENTRES)


def test_spheres_without_a_neck_are_split():
    image, regions = spheres()
    labels = split(image, regions)
    assert labels.max() == len(CENTRES) > split(image, regions, circle=0.0).max()
    diameter = 2 * np.sqrt(np.bincount(labels.ravel())[1:] / np.pi)
    assert abs(np.median(diameter) / (2 * RADIUS) - 1) < 0.05
    np.testing.assert_array_equal(labels > 0, regions > 0)


def test_shapes_that_are_not_round_are_left_as_they_were():
    yy, xx = np.indices(SHAPE)
    squares, stars = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    spots = [(45, 50), (50, 140), (60, 250), (170, 60), (185, 170), (180, 280)]
    for k, (y, x) in enumerate(spots):
        turn, away = np.arctan2(yy - y, xx - x) + k, np.hypot(yy - y, xx - x)
        squares |= np.maximum(abs(away * np.cos(turn)), abs(away * np.sin(turn))) <= 20
        stars |= away <= 22 + 12 * np.cos(5 * turn)
    for mask in (squares, stars, rods(spots, 22, 11)):
        regions = ndimage.label(mask)[0].astype(np.int32)
        image = picture(20.0 * mask)
        np.testing.assert_array_equal(split(image, regions), split(image, regions, circle=0.0))


def test_ends_of_rods_among_spheres_are_not_cut_off():
    yy, xx = np.indices(SHAPE)
    bars = np.zeros(SHAPE, bool)
    for k, (y, x, long) in enumerate(
        [(120, 40, 24), (115, 130, 34), (120, 250, 44), (205, 100, 26)]
    ):
        along, across = (
            abs(np.cos(k) * (xx - x) + np.sin(k) * (yy - y)),
            abs(np.cos(k) * (yy - y) - np.sin(k) * (xx - x)),
        )
        bars |= (along / long) ** 6 + (across / 15) ** 6 <= 1
    spheres = thickness([(30, 30), (28, 90), (35, 160), (33, 230), (38, 300), (200, 300)], RADIUS)
    image = picture(spheres + 20.0 * bars)
    regions = ndimage.label((spheres > 0) | bars)[0].astype(np.int32)
    assert len(find_discs(Blocks.of(image, regions, 2), SEEN)) > 6
    np.testing.assert_array_equal(split(image, regions, factor=2), regions)


def test_finer_views_find_small_spheres_in_one_clump():
    centres = [(y, x) for y in range(40, 220, 33) for x in range(40, 300, 33)]
    signal = thickness(centres, 18.0)
    image, regions = picture(signal), (signal > 0).astype(np.int32)
    first = Blocks.of(image, regions, 5)
    view = round_view(image, regions, first, SEEN)
    assert view.blocks.factor < 5
    # a blurred rim of a sphere is steepest a little inside
    assert 0.75 < np.median(view.discs[:, 2]) * view.blocks.factor / 18.0 < 1.05
    assert round_view(image, regions, first, 0.0).blocks is first


def test_one_disc_of_two_that_overlap_is_whole():
    coarse = np.ones((40, 61), np.int32)
    coarse[:, 40:] = 2
    discs = np.array([[20.0, 20.0, 10.0, 1.0], [20.0, 33.0, 10.0, 0.7]])
    painted = paint_discs(discs, coarse)
    yy, xx = np.indices(coarse.shape)
    first = np.hypot(yy - 20, xx - 20) <= 11.2
    np.testing.assert_array_equal(painted == 1, first)
    second = (np.hypot(yy - 20, xx - 33) <= 11.2) & ~first & (coarse == 1)
    np.testing.assert_array_equal(painted == 2, second)


def test_parts_that_are_discs_stay_as_they_are():
    yy, xx = np.indices((40, 61))
    parts = np.where(np.hypot(yy - 20, xx - 15) <= 10, 1, 0)
    parts[(np.hypot(yy - 20, xx - 34) <= 10) | (np.hypot(yy - 20, xx - 46) <= 10)] = 2
    owner, coarse = np.array([0, 1, 1]), (parts > 0).astype(int)
    discs = np.array([[20.0, x, 10.0, 0.9] for x in (15.0, 34.0, 46.0)])
    edges = (np.hypot(yy - 20, xx - 34) <= 10).astype(np.float32) + (parts > 0)
    painted = Painted.of(discs, parts, coarse)
    found, of = with_discs(painted, owner, coarse, Blocks(1, edges, parts > 0))
    np.testing.assert_array_equal(found == 1, parts == 1)
    assert {4, 5} <= {*np.unique(found[parts == 2])}
    assert set(of[np.unique(found[found > 0])]) == {1}
    assert painted.are_particles
    bar = np.where((abs(yy - 20) < 4) & (abs(xx - 30) < 25), 1, 0)
    assert not Painted.of(discs, bar, bar).are_particles


def test_bare_frames_hold_no_discs():
    image = np.random.default_rng(0).normal(0, 1, SHAPE).astype(np.float32)
    for mask in (np.zeros(SHAPE, np.int32), np.ones(SHAPE, np.int32)):
        assert len(find_discs(Blocks.of(image, mask, 1), SEEN)) == 0
