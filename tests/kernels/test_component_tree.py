"""Sharp regions: the kernel chooses what the plain reference chooses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stempede_kernels.component_tree import reference, sharp_regions


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.0, 0.9, 1.05]),
    most=st.integers(4, 63),
    thick=st.floats(0, 2),
    doubt=st.sampled_from([1.0, 0.6]),
)
def test_agrees_with_reference(seed, share, most, thick, doubt):
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 6, (7, 9)).astype(np.uint16)
    strength = (3 * rng.random((7, 9))).astype(np.float32)
    found = sharp_regions(
        levels,
        strength,
        1.5,
        share=share,
        min_area_px=2,
        max_area_px=most,
        max_thickness_px=thick,
        doubt=doubt,
    )
    expected = reference.sharp_regions(levels, strength, 1.5, share, 2, most, thick, doubt)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    spread=st.sampled_from([3, 70, 500, 0x7FFE, 0x7FFF, 0xFFFF]),
    ground=st.floats(0, 0.8),
)
def test_agrees_with_reference_whatever_the_levels_span(seed, spread, ground):
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 12)), int(rng.integers(1, 9)))
    heights = np.cumsum(rng.normal(size=shape), axis=int(rng.integers(2)))
    heights -= np.quantile(heights, ground)
    heights = np.clip(heights, 0, None) / max(heights.max(), 1e-9)
    levels = np.round(heights * spread).astype(np.uint16)
    strength = (8 * rng.random(shape)).astype(np.float32)
    found = sharp_regions(levels, strength, 3.0, share=0.8)
    expected = reference.sharp_regions(levels, strength, 3.0, 0.8)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)


def test_each_region_lies_at_its_own_sharpest_level():
    levels, strength = np.zeros((9, 21), np.uint16), np.zeros((9, 21), np.float32)
    levels[2:7, 2:7], levels[3:6, 3:6] = 3, 9
    levels[2:7, 12:17], levels[3:6, 13:16] = 9, 10
    # the left one is sharp around its core, the right one around the whole
    strength[3:6, 3:6] = 6
    strength[2:7, 12:17], strength[3:6, 13:16] = 6, 0
    labels, regions = sharp_regions(levels, strength, 0.5)
    assert regions[:, 0].tolist() == [25, 9]
    assert np.count_nonzero(labels == 1) == 25


def test_a_flat_frame_holds_nothing():
    labels, regions = sharp_regions(np.zeros((4, 6), np.uint16), np.ones((4, 6), np.float32), 0.1)
    assert not labels.any()
    assert regions.shape == (0, 3)


def test_wrong_arrays_are_refused():
    levels, strength = np.zeros((4, 6), np.uint16), np.zeros((4, 6), np.float32)
    with pytest.raises(TypeError, match="uint16"):
        sharp_regions(levels.astype(int), strength, 1.0)
    with pytest.raises(ValueError, match="one shape"):
        sharp_regions(levels, strength[:3], 1.0)
