import numpy as np
import pytest
from scipy import ndimage

from stempede.preprocess.focus import sharpness


@pytest.fixture
def scene():
    rng = np.random.default_rng(5)
    return 40 * (ndimage.gaussian_filter(rng.standard_normal((300, 421)), 6) > 0.02)


def test_blur_lowers_it_and_scale_does_not_matter(scene):
    noise = np.random.default_rng(6).standard_normal(scene.shape)
    values = [sharpness(ndimage.gaussian_filter(scene, s) + noise, np) for s in (0.5, 2.0, 4.0)]
    assert values[0] > 2 * values[1] > 4 * values[2] > 0
    sharp = ndimage.gaussian_filter(scene, 0.5) + noise
    assert sharpness(7 * sharp + 300, np) == pytest.approx(values[0])


def test_noise_does_not_pass_for_detail(scene):
    blurred = ndimage.gaussian_filter(scene, 4.0)
    noise = np.random.default_rng(6).standard_normal(scene.shape)
    assert sharpness(blurred + 5 * noise, np) < 0.1


def test_a_small_frame_has_a_value(scene):
    assert np.isfinite(sharpness(scene[:33, :57], np))
