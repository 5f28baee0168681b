"""Training crops: the same whatever is asked for with them, and what they say they are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stempede.errors import InputError
from stempede.simulate import crop_images, crop_regions
from stempede.simulate.crops import (
    BLOCK,
    D_RANGE,
    L_RANGE,
    P_RANGE,
    SIZE,
    SIZE_RANGE_PX,
    training_crops,
)
from stempede.simulate.superellipse import radius


@pytest.fixture(scope="module")
def drawn():
    return training_crops(3 * BLOCK, seed=11, workers=1)


def test_crops_have_their_shape_and_truth_its_ranges(drawn):
    assert drawn.images.shape == (3 * BLOCK, SIZE, SIZE)
    assert drawn.images.dtype == np.float32
    assert np.isfinite(drawn.images).all()
    assert set(drawn.d) == set(range(D_RANGE[0], D_RANGE[1] + 1))
    for value, (low, high) in ((drawn.p, P_RANGE), (drawn.l_ratio, L_RANGE)):
        assert low <= value.min() < 1.5 * low
        assert high / 1.5 < value.max() <= high
    assert drawn.size_px.min() > 0.6 * SIZE_RANGE_PX[0]
    assert drawn.size_px.max() < 1.2 * SIZE_RANGE_PX[1]


@settings(max_examples=6)
@given(first=st.integers(0, 2 * BLOCK), n=st.integers(1, BLOCK), workers=st.integers(1, 3))
def test_a_crop_does_not_depend_on_what_is_drawn_with_it(drawn, first, n, workers):
    part = training_crops(n, seed=11, first=first, workers=workers)
    np.testing.assert_array_equal(part.images, drawn.images[first : first + n])
    np.testing.assert_array_equal(part.p, drawn.p[first : first + n])


def test_another_seed_is_another_series(drawn):
    assert not np.array_equal(training_crops(4, seed=12).p, drawn.p[:4])


def test_particles_are_bright_and_the_border_is_support(drawn):
    middle = drawn.images[:, 20:24, 20:24].mean(axis=(1, 2)) / drawn.contrast
    border = np.median(drawn.images[:, [0, -1]], axis=(1, 2)) / drawn.contrast
    # arms of thin stars and bent rods miss the middle, neighbours reach the border
    assert np.median(middle) == pytest.approx(0.9, abs=0.35)
    assert abs(np.median(border)) < 0.1


def raster(pixels=48, **changed):
    facts = {"blur_px": 0.4, "rim_px": 1.5, "grain_px": 0.0, **changed}
    return crop_regions.Raster(pixels, (12.0, 33.6), False, (23.3, 23.9), **facts)


def outlines():
    u = np.arange(1440) * (2 * np.pi / 1440)
    shapes = np.array([[2.0, 2, 1.7], [9.0, 2, 1.1], [0.8, 5, 1.3], [1.5, 3, 2.0]])
    columns = (shapes[:, k : k + 1] for k in range(3))
    return (15.0 * radius(u - 0.4, *columns)).astype(np.float32)


def test_coverage_sums_to_the_area_of_the_outline_wherever_it_is_moved():
    wanted = 0.5 * (outlines() ** 2).mean(axis=1) * 2 * np.pi
    still = crop_regions.coverage(raster(), outlines(), np.zeros((4, 2), np.int64))
    np.testing.assert_allclose(still.sum(axis=(1, 2)), wanted, rtol=5e-3)
    offset = np.array([[2, -3], [0, 5], [-4, 0], [-1, -1]])
    moved = crop_regions.coverage(raster(), outlines(), offset)
    for one, other, (dy, dx) in zip(still, moved, offset, strict=True):
        np.testing.assert_array_equal(np.roll(one, (-dy, -dx), (0, 1)), other)


def one_region(mask, foreign, **changed):
    box = [*np.flatnonzero(mask.any(axis=1))[[0, -1]], *np.flatnonzero(mask.any(axis=0))[[0, -1]]]
    facts = {
        "outline_px": outlines()[:1],
        "offset_px": np.zeros((1, 2), np.int64),
        "pixel_px": np.ones(1),
        "contrast": np.full(1, 30.0),
        "whole": mask[None].astype(np.float32),
        "cover": mask[None].astype(np.float32),
        "neighbour": foreign[None].astype(np.float32),
        "mask": mask[None],
        "foreign": foreign[None],
        "box_px": np.array([box]) + np.array([0.0, 1.0, 0.0, 1.0]),
        **changed,
    }
    return crop_regions.Regions(**facts)


def test_a_box_is_cut_with_its_margins_and_the_foreign_is_painted_over():
    image = np.random.default_rng(3).normal(0, 1, (1, 48, 48)).astype(np.float32)
    mask, foreign = np.zeros((2, 48, 48), bool)
    mask[14:34, 18:30] = True
    foreign[10:38, 33:40] = True
    image[0, mask], image[0, foreign] = 30.0, 500.0
    region = one_region(mask, foreign)
    assert region.side_px.tolist() == [20.0]
    (crop,) = crop_images.cut(np.random.default_rng(0), image, region, 44)
    assert crop.max() < 31
    # 20 of 20 * 1.3 pixels are body along y, 12 along x, in the middle
    assert (crop[:, 22] > 15).sum() == pytest.approx(44 / 1.3, abs=1)
    assert (crop[22] > 15).sum() == pytest.approx(0.6 * 44 / 1.3, abs=1)
    assert np.flatnonzero(crop[:, 22] > 15).mean() == pytest.approx(21.5, abs=0.6)


@pytest.mark.parametrize("side", [11, 40])
def test_a_crop_is_bilinear_and_coarse_ones_are_averaged(side):
    y, x = np.mgrid[:48.0, :48.0].astype(np.float32)
    mask = np.zeros((48, 48), bool)
    mask[4 : 4 + side, 5 : 5 + side - 2] = True
    empty = np.zeros_like(mask)
    (crop,) = crop_images.cut(
        np.random.default_rng(0), (3 * y - x)[None], one_region(mask, empty), 44
    )
    inside = np.s_[6:38, 6:38]
    step = side * 1.3 / 44
    place = (np.arange(44) - 21.5) * step
    wanted = 3 * (place[:, None] + 4 + (side - 1) / 2) - (place + 5 + (side - 3) / 2)
    np.testing.assert_allclose(crop[inside], wanted[inside], atol=2e-4)


def test_a_region_too_faint_too_small_or_too_large_is_not_found():
    mask, empty = np.zeros((2, 48, 48), bool)
    mask[14:34, 18:30] = True
    assert one_region(mask, empty).found(raster()).all()
    for changed in (
        {"contrast": np.full(1, 2.0)},
        {"pixel_px": np.full(1, 0.4)},
        {"box_px": np.array([[4.0, 44.0, 18.0, 30.0]])},
    ):
        assert not one_region(mask, empty, **changed).found(raster()).any()


def test_noise_has_unit_variance_with_and_without_grain():
    for grain in (0.0, 0.7):
        noise = crop_images._noise(raster(grain_px=grain), np.random.default_rng(5), 64)
        assert noise[:, 8:-8, 8:-8].std() == pytest.approx(1, abs=0.02)


def test_dark_bodies_have_less_noise_than_their_support_and_bright_ones_more():
    n, g = 64, 48
    whole = np.ones((n, g, g), np.float32)
    nothing = np.zeros((n, g, g), bool)
    regions = crop_regions.Regions(
        np.ones((n, 8), np.float32),
        np.zeros((n, 2), np.int64),
        np.ones(n),
        np.full(n, 4.0),
        *(whole, whole, 0 * whole),
        *(nothing, nothing, np.zeros((n, 4))),
    )
    images = crop_images.expose(raster(), np.random.default_rng(7), regions, whole)
    z = images - images.mean(axis=(1, 2), keepdims=True)
    variance, skewness = (z**2).mean(axis=(1, 2)), (z**3).mean(axis=(1, 2))
    # those that absorb have fewer counts than the support, in images that are turned
    dark = variance < 0.95
    assert 0.2 < dark.mean() < 0.6
    assert skewness[dark].mean() < 0
    assert np.median(variance[~dark]) > 1.1
    assert skewness[~dark].mean() > 0


def test_bad_numbers_are_refused():
    with pytest.raises(InputError, match="n >= 1"):
        training_crops(0)
    with pytest.raises(InputError, match=r"negative|first >= 0"):
        training_crops(5, first=-1)
