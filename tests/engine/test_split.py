"""Split: cuts follow necks, gaps and steps between particles, and leave no splinters."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from stempede.particles.blocks import REACH, Blocks, closing, noise_inside
from stempede.particles.cuts import find_gaps, rejoin
from stempede.particles.split import Split, split_pairs, split_regions

SHAPE = (61, 83)


def split(image, regions, factor=1, **changed):
    values = Split(**changed)
    found = split_regions(
        image[None].astype(np.float32),
        regions[None].astype(np.int32),
        [factor],
        depth=values.depth,
        least=values.least,
        valley=values.valley,
        step=values.step,
        smallest=values.smallest,
        circle=values.circle,
    )
    return found[0]


def disc(y, x, r, shape=SHAPE):
    yy, xx = np.indices(shape)
    return np.hypot(yy - y, xx - x) <= r


def test_a_step_in_thickness_cuts_a_region_without_a_neck():
    regions = np.zeros(SHAPE, np.int32)
    regions[15:45, 10:70] = 1
    image = np.where(regions > 0, 10.0, 0.0)
    assert split(image, regions).max() == 1
    image[:, 40:] *= 2
    labels = split(image, regions)
    assert labels.max() == 2
    np.testing.assert_array_equal(labels > 0, regions > 0)
    areas = np.bincount(labels.ravel())[1:]
    assert np.all(np.abs(areas - 900) <= 60)
    assert split(image, regions, step=0.0).max() == 1


def test_a_dark_line_cuts_and_a_slope_does_not():
    regions = np.zeros(SHAPE, np.int32)
    regions[15:45, 10:70] = 1
    slope = np.where(regions > 0, np.linspace(10, 20, SHAPE[1]), 0.0)
    assert split(slope, regions).max() == 1
    line = np.where(regions > 0, 10.0, 0.0)
    line[:, 39:41] *= 0.5
    assert split(line, regions).max() == 2
    assert split(line, regions, valley=0.0, step=0.0).max() == 1


def test_noise_makes_no_gaps():
    rng = np.random.default_rng(3)
    mask = disc(30, 40, 20)
    image = ndimage.gaussian_filter(rng.normal(0, 8, SHAPE), 0.8) + np.where(mask, 10.0, 0.0)
    inside = ndimage.binary_erosion(mask, iterations=3)
    gaps = find_gaps(Blocks(1, image.astype(np.float32), mask), 0.15, 0.5)
    assert np.count_nonzero(gaps & inside) <= 0.02 * np.count_nonzero(inside)


def test_noise_is_told_from_structure_inside_particles():
    rng = np.random.default_rng(5)
    yy, xx = np.indices((180, 244))
    image = rng.normal(0, 1, yy.shape)
    image[(yy < 90) & (xx > 60)] += 40 + 0.5 * yy[(yy < 90) & (xx > 60)]
    image[(yy < 90) & (xx > 150)] += 30
    for factor in (1, 3):
        mask = (image > 20)[factor // 2 :: factor, factor // 2 :: factor]
        assert 0.9 < noise_inside(image, mask, factor) < 1.1
        louder = image + np.where(image > 20, rng.normal(0, 3, yy.shape), 0)
        assert abs(noise_inside(louder, mask, factor) - np.sqrt(10)) < 0.3


def test_a_cut_loses_no_pixel():
    mask = disc(30, 25, 14) | disc(30, 51, 13)
    labels = split(np.where(mask, 10.0, 0.0), mask.astype(np.int32), factor=2)
    assert labels.max() == 2
    np.testing.assert_array_equal(labels > 0, mask)


def test_a_frame_of_one_kind_has_no_gaps():
    image = np.random.default_rng(0).normal(0, 1, SHAPE).astype(np.float32)
    for mask in (np.zeros(SHAPE, bool), np.ones(SHAPE, bool)):
        assert not find_gaps(Blocks(1, image, mask), 0.15, 0.5).any()


def test_splinters_are_taken_back_and_small_neighbours_are_not():
    parts = np.zeros(SHAPE, np.int32)
    parts[10:40, 10:40] = 1
    parts[10:40, 40:44] = 2
    parts[disc(25, 50, 6) & (parts == 0)] = 3
    owner = np.array([0, 1, 1, 1])
    joined, left = rejoin(parts, owner, 0.35)
    np.testing.assert_array_equal(joined > 0, parts > 0)
    assert joined[25, 42] == joined[25, 20] == 1
    assert left[:3].tolist() == [0, 1, 0]
    apart = np.where(disc(25, 25, 15), 1, 0) + np.where(disc(25, 46, 5), 2, 0)
    kept, _ = rejoin(apart, np.array([0, 1, 1]), 0.35)
    np.testing.assert_array_equal(kept, apart)


def test_parts_join_within_their_region_only():
    parts = np.zeros(SHAPE, np.int32)
    parts[10:40, 10:40] = 1
    parts[10:40, 40:44] = 2
    kept, left = rejoin(parts, np.array([0, 1, 2]), 0.35)
    np.testing.assert_array_equal(kept, parts)
    assert left.tolist() == [0, 1, 2]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_pairs_of_region_and_basin_are_told_apart(seed):
    rng = np.random.default_rng(seed)
    regions = rng.integers(0, 4, (9, 13))
    basins = np.where(regions > 0, rng.integers(0, 4, (9, 13)), 0)
    parts, owner = split_pairs(regions, basins)
    np.testing.assert_array_equal(parts > 0, basins > 0)
    np.testing.assert_array_equal(owner[parts[parts > 0]], regions[parts > 0])
    pairs = {*zip(regions[basins > 0].tolist(), basins[basins > 0].tolist())}
    assert len(np.unique(parts[parts > 0])) == len(pairs)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 17))
def test_closing_is_that_of_a_square(seed, height, width):
    values = np.random.default_rng(seed).normal(0, 1, (height, width)).astype(np.float32)
    expected = ndimage.grey_dilation(values, (REACH, REACH), mode="constant", cval=-np.inf)
    expected = ndimage.grey_erosion(expected, (REACH, REACH), mode="constant", cval=np.inf)
    np.testing.assert_array_equal(closing(values), expected)


def test_a_step_is_one_line_whichever_way_it_runs():
    image = np.zeros(SHAPE, np.float32)
    image[:, 40:] = 4.0
    for frame, axis in ((image, 1), (image.T, 0), (-image, 1)):
        blocks = Blocks(1, ndimage.gaussian_filter(frame, 0.8), np.zeros(frame.shape, bool))
        lines = np.unique(np.nonzero(blocks.crest(1.0))[axis])
        assert len(lines) == 1
        assert lines[0] in (39, 40)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_splitting_keeps_regions_apart_and_loses_little(seed, factor):
    rng = np.random.default_rng(seed)
    regions = np.zeros(SHAPE, np.int32)
    for k in range(1, 7):
        regions[disc(rng.integers(5, 56), rng.integers(5, 78), rng.integers(4, 14))] = k
    labels = split(np.where(regions > 0, 10.0, 0.0), regions, factor)
    found = np.unique(labels[labels > 0])
    np.testing.assert_array_equal(found, np.arange(1, len(found) + 1))
    for k in found:
        assert len(np.unique(regions[(labels == k) & (regions > 0)])) == 1
    assert not labels[ndimage.binary_fill_holes(regions > 0) == 0].any()
