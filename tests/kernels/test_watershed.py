"""Watershed: against the reference, scikit-image, and its own symmetries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage import segmentation

from stempede_kernels.watershed import watershed
from stempede_kernels.watershed.reference import watershed as reference

rng = np.random.default_rng(3)


def landscape(shape, n_markers, seed, levels=None):
    """Draw heights and scattered single-pixel markers 1 … n."""
    rng = np.random.default_rng(seed)
    height = ndimage.gaussian_filter(rng.normal(size=shape), 1.5).astype(np.float32)
    if levels is not None:
        height = np.round(height * levels).astype(np.float32)
    markers = np.zeros(shape, np.int32)
    places = rng.permutation(markers.size)[:n_markers]
    markers.flat[places] = 1 + np.arange(len(places))
    return height, markers


@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize("levels", [None, 6])
def test_equals_the_reference(mask, connectivity, levels):
    height, markers = landscape(mask.shape, 9, 0, levels)
    result = watershed(height, markers, mask, connectivity)
    np.testing.assert_array_equal(result, reference(height, markers, mask, connectivity))
    assert result.dtype == np.int32


@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize("levels", [None, 6])
def test_equals_scikit_image_where_no_two_markers_are_equally_high(mask, connectivity, levels):
    """With equally high markers its order is that of its heap and is not compared."""
    height, markers = landscape(mask.shape, 9, 1, levels)
    height[markers > 0] = -20.0 - markers[markers > 0]
    expected = segmentation.watershed(height, markers, connectivity=connectivity, mask=mask)
    np.testing.assert_array_equal(watershed(height, markers, mask, connectivity), expected)


def test_equally_high_markers_move_less_than_a_thousandth_of_the_pixels():
    y, x = np.indices((301, 257))
    mask = np.zeros(y.shape, bool)
    for cy, cx in np.random.default_rng(4).uniform(0, 257, (40, 2)):
        mask |= (y - cy) ** 2 + (x - cx) ** 2 < 20**2
    height = -ndimage.distance_transform_edt(mask)
    peaks = (ndimage.maximum_filter(-height, 9) == -height) & mask
    markers, _ = ndimage.label(peaks, np.ones((3, 3)))
    expected = segmentation.watershed(height.astype(np.float32), markers, mask=mask)
    different = watershed(height, markers, mask) != expected
    assert different.sum() < 1e-3 * mask.sum()


def test_special_heights_and_markers():
    height = np.array([[0.0, np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0]], np.float32)
    markers = np.array([[4, 0, 0, 0, 0, 0, 9]])
    mask = np.ones(height.shape, bool)
    np.testing.assert_array_equal(watershed(height, markers, mask), [[4, 4, 9, 9, 9, 9, 9]])
    np.testing.assert_array_equal(watershed(height, -markers, mask), 0 * markers)
    mask[0, 3] = False
    markers[0, 6] = 0
    np.testing.assert_array_equal(watershed(height, markers, mask), [[4, 4, 4, 0, 0, 0, 0]])


def test_water_at_a_marker_stays_at_its_label_inside_the_mask():
    height, markers = landscape((40, 31), 30, 5)
    mask = rng.random((40, 31)) < 0.7
    result = watershed(height, markers, mask)
    inside = mask & (markers > 0)
    np.testing.assert_array_equal(result[inside], markers[inside])
    assert (result[~mask] == 0).all()


seeds = st.integers(0, 2**20)


@given(seeds)
def test_permuted_marker_labels_permute_the_result(seed):
    height, markers = landscape((13, 17), 6, seed, levels=3)
    mask = np.random.default_rng(seed).random(markers.shape) < 0.8
    names = np.concatenate([[0], 1 + np.random.default_rng(seed).permutation(6)])
    np.testing.assert_array_equal(
        watershed(height, names[markers], mask), names[watershed(height, markers, mask)]
    )


@given(seeds)
def test_transposes_with_the_frame_where_no_heights_tie(seed):
    height, markers = landscape((11, 16), 5, seed)
    height = np.argsort(np.argsort(height, axis=None)).reshape(height.shape)
    # water never sinks, so pixels behind a saddle tie at its level: mark every minimum
    minima = ndimage.minimum_filter(height, footprint=[[0, 1, 0], [1, 1, 1], [0, 1, 0]]) == height
    markers = np.where(minima, 1 + np.arange(height.size).reshape(height.shape), 0)
    mask = np.ones(height.shape, bool)
    np.testing.assert_array_equal(
        watershed(height.T, markers.T, mask.T).T, watershed(height, markers, mask)
    )


@given(seeds, st.integers(0, 3), st.integers(0, 3))
def test_a_wider_frame_and_other_particles_change_nothing(seed, top, left):
    height, markers = landscape((12, 15), 6, seed, levels=3)
    mask = np.random.default_rng(seed).random(markers.shape) < 0.7
    rim = ((top + 3, 2), (left, 1))
    wide = np.pad(mask, rim)
    wide[0] = True
    result = watershed(np.pad(height, rim), np.pad(markers, rim), wide)
    window = result[top + 3 : top + 15, left : left + 15]
    np.testing.assert_array_equal(window, watershed(height, markers, mask))


def test_a_batch_equals_its_frames_on_any_number_of_threads():
    import numba

    drawn = [landscape((33, 57), 12, seed, levels=5) for seed in range(5)]
    height, markers = (np.stack(maps) for maps in zip(*drawn, strict=True))
    mask = np.random.default_rng(6).random(height.shape) < 0.8
    alone = [watershed(*maps) for maps in zip(height, markers, mask, strict=True)]
    threads = numba.get_num_threads()
    try:
        for n_threads in {1, numba.config.NUMBA_NUM_THREADS}:
            numba.set_num_threads(n_threads)
            np.testing.assert_array_equal(watershed(height, markers, mask), np.stack(alone))
    finally:
        numba.set_num_threads(threads)
