"""Gaussian and box means: against the reference, scipy, and their own symmetries."""

import numpy as np
import pytest
from scipy import ndimage

from stempede_kernels.smooth import block_mean, box_mean, gaussian, half_gaussian, reference

# of the largest value in the frame: some hundred roundings of float32
TOLERANCE = 2e-6


def draw_image(shape):
    return np.random.default_rng(5).normal(100, 20, shape).astype(np.float32)


def assert_close(result, expected):
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


@pytest.mark.parametrize(("sigma_px", "truncate"), [(0.0, 4.0), (0.7, 4.0), (2.0, 3.0), (9.0, 4.0)])
def test_gaussian_equals_scipy_and_the_reference(shape, sigma_px, truncate):
    image = draw_image(shape)
    result = gaussian(image, sigma_px, truncate)
    assert_close(result, ndimage.gaussian_filter(image.astype(float), sigma_px, truncate=truncate))
    assert_close(result, reference.gaussian(image, half_gaussian(sigma_px, truncate)))


@pytest.mark.parametrize("size_px", [1, 3, 31, 301])
def test_box_mean_equals_scipy_and_the_reference(shape, size_px):
    image = draw_image(shape)
    result = box_mean(image, size_px)
    assert_close(result, ndimage.uniform_filter(image.astype(float), size_px))
    assert_close(result, reference.box_mean(image, size_px // 2))


@pytest.mark.parametrize("factor", [1, 2, 3, 8, 70])
def test_block_means_equal_the_reference(shape, factor):
    image = draw_image(shape)
    assert_close(block_mean(image, factor), reference.block_mean(image, factor))
    assert_close(block_mean(image.T, factor), reference.block_mean(image.T, factor))
    mask = image > 100
    assert_close(block_mean(mask, factor), reference.block_mean(mask, factor))


def test_block_means_want_numbers_in_blocks():
    with pytest.raises(TypeError, match="float32 or bool"):
        block_mean(np.zeros((4, 5)), 2)
    with pytest.raises(ValueError, match="factor at least 1"):
        block_mean(np.zeros((4, 5), np.float32), 0)


def test_transposes_and_flips_with_the_frame():
    image = draw_image((33, 57))
    for function in (lambda i: gaussian(i, 2.3), lambda i: box_mean(i, 7)):
        assert_close(function(image.T).T, function(image))
        assert_close(function(image[::-1, ::-1])[::-1, ::-1], function(image))


def test_a_batch_equals_its_frames():
    stack = draw_image((3, 20, 31))
    np.testing.assert_array_equal(gaussian(stack, 2), np.stack([gaussian(f, 2) for f in stack]))
    np.testing.assert_array_equal(box_mean(stack, 5), np.stack([box_mean(f, 5) for f in stack]))


def test_nan_spreads_no_further_than_the_window():
    image = draw_image((21, 30))
    image[10, 12] = np.nan
    result = gaussian(image, 1.0, 2.0)
    expected = np.zeros(image.shape, bool)
    expected[8:13, 10:15] = True
    np.testing.assert_array_equal(np.isnan(result), expected)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda image: gaussian(image, -1.0), "sigma_px and truncate must be finite"),
        (lambda image: gaussian(image, np.nan), "sigma_px and truncate must be finite"),
        (lambda image: box_mean(image, 4), "size_px must be odd and at least 1, found 4"),
    ],
)
def test_wrong_parameters_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call(draw_image((4, 5)))
