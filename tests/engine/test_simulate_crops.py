"""Training crops: the same whatever is asked for with them, and what they say they are."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stempede.errors import InputError
from stempede.simulate import crop_images as images
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


def raster(pixels=48, blur=0.4):
    return images.Raster(
        pixels, (12.0, 33.6), False, (23.3, 23.9), blur_px=blur, rim_px=1.5, grain_px=0.0
    )


def test_coverage_sums_to_the_area_of_the_outline():
    u = np.arange(1440) * (2 * np.pi / 1440)
    shapes = np.array([[2.0, 2, 1.7], [9.0, 2, 1.1], [0.8, 5, 1.3], [1.5, 3, 2.0]])
    outline = 15.0 * radius(u - 0.4, *(shapes[:, k : k + 1] for k in range(3)))
    wanted = 0.5 * (outline**2).mean(axis=1) * 2 * np.pi
    cover, dome = images._coverage(raster(), np.ascontiguousarray(outline.T, np.float32))
    np.testing.assert_allclose(cover.sum(axis=(0, 1)), wanted, rtol=5e-3)
    assert dome.max() <= 1
    assert dome.min() == 0


def test_a_box_is_cut_with_its_margins_and_the_foreign_is_painted_over():
    rng = np.random.default_rng(3)
    image = rng.normal(0, 1, (1, 48, 48)).astype(np.float32)
    mask, foreign = np.zeros((2, 1, 48, 48), bool)
    mask[0, 14:34, 18:30] = True
    foreign[0, 10:38, 33:40] = True
    image[mask], image[foreign] = 30.0, 500.0
    scene = images.Scene(image, mask, foreign)
    found = [images.cut(np.random.default_rng(k), scene, np.ones(1), 44) for k in range(12)]
    sides = {float(box[0]) for _, box in found}
    assert sides <= {18.0, 19.0, 20.0, 21.0, 22.0}
    assert all(crop.max() < 45 for crop, _ in found)
    # 20 of 20 * 1.3 pixels are body
    rows = np.mean([(crop[0, :, 22] > 15).sum() for crop, _ in found])
    assert rows == pytest.approx(44 / 1.3, abs=2.5)


def test_noise_has_unit_variance_with_and_without_grain():
    for grain in (0.0, 0.7):
        one = images.Raster(48, (12.0, 33.0), False, (23.5, 23.5), 0.5, 1.0, grain)
        noise = images._noise(one, np.random.default_rng(5), 64)
        assert noise[:, 8:-8, 8:-8].std() == pytest.approx(1, abs=0.02)


def test_crops_are_drawn_quickly():
    # 65,000 in 20 s on two cores are 0.6 ms each on one; five times that on a busy machine
    started = time.process_time()
    training_crops(2 * BLOCK, seed=2, workers=1)
    assert (time.process_time() - started) / (2 * BLOCK) < 3.1e-3


def test_bad_numbers_are_refused():
    with pytest.raises(InputError, match="n >= 1"):
        training_crops(0)
    with pytest.raises(InputError, match=r"negative|first >= 0"):
        training_crops(5, first=-1)
