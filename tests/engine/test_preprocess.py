"""Preprocess: defects are mended, the background is flat, the contrast turned to bright."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from stempede.backend import Backend
from stempede.frames import FrameRecord, Frames
from stempede.preprocess.background import Background, flatten
from stempede.preprocess.defects import Defects, mend_lines, mend_pixels, pixel_noise
from stempede.preprocess.normalise import Normalise
from stempede.preprocess.polarity import Polarity, frame_sign

SHAPE = (150, 211)


def batch_of(*images):
    stack = [np.asarray(i, np.float32) for i in images]
    records = tuple(FrameRecord(k, f"{k}", 0, i.shape, "float32") for k, i in enumerate(stack))
    frames = Frames(records, lambda record: stack[record.frame])
    return frames.read(range(len(stack)), Backend.choose("cpu"))


def noise(seed=0, sigma=5.0, shape=SHAPE):
    return np.random.default_rng(seed).normal(100, sigma, shape).astype(np.float32)


def blobs(sign, seed=1):
    image = noise(seed)
    yy, xx = np.indices(SHAPE)
    for y, x in ((30, 40), (90, 120), (60, 180), (120, 30)):
        image += sign * 60 * (np.hypot(yy - y, xx - x) < 13)
    return image


def test_pixel_noise_is_the_noise_whatever_the_slope():
    image = noise(sigma=4.0) + np.linspace(0, 500, SHAPE[1])
    assert pixel_noise(image) == pytest.approx(4.0, rel=0.08)


def test_hot_pixels_and_pairs_are_mended_and_nothing_else():
    image = noise()
    clean = image.copy()
    image[40, 50] += 200
    image[70, 80:82] += 300
    image[20, 100] -= 150
    assert mend_pixels(image, 8.0) == 4
    assert np.abs(image - clean).max() < 40
    assert np.count_nonzero(image != clean) <= 4


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shape=st.sampled_from([(3, 9), (2, 7), (70, 131), (130, 65)]),
    outliers=st.integers(0, 30),
)
def test_outliers_are_those_beyond_three_of_four_neighbours(seed, shape, outliers):
    rng = np.random.default_rng(seed)
    image = noise(seed, shape=shape)
    image[rng.integers(0, shape[0], outliers), rng.integers(0, shape[1], outliers)] += 90
    around = np.sort(np.stack([np.roll(image, s, a) for s in (1, -1) for a in (0, 1)]), axis=0)
    limit = np.float32(4.0 * pixel_noise(image)) if min(shape) > 2 else np.float32(20)
    bad = (image > around[2] + limit) | (image < around[1] - limit)
    bad[[0, -1]] = bad[:, [0, -1]] = False
    before = image.copy()
    n = mend_pixels(image, 4.0)
    assert n == np.count_nonzero(bad)
    np.testing.assert_array_equal(image != before, bad)


def test_a_sharp_particle_is_no_defect():
    image = blobs(1)
    before = image.copy()
    mend_pixels(image, 8.0)
    mend_lines(image, 12.0)
    mend_lines(image.T, 12.0)
    assert np.count_nonzero(image != before) == 0


@pytest.mark.parametrize("axis", [0, 1])
def test_dead_lines_are_bridged(axis):
    image = blobs(-1)
    clean = image.copy()
    view = image if axis == 0 else image.T
    view[60] = 0
    view[100:102] += 400
    assert mend_lines(view, 12.0) == 3
    assert np.abs(image - clean).max() < 90
    changed = np.unique(np.nonzero(image != clean)[axis])
    np.testing.assert_array_equal(changed, [60, 100, 101])


def test_defects_leaves_its_input_alone():
    batch = batch_of(noise())
    before = batch.images.copy()
    Defects()(batch)
    np.testing.assert_array_equal(batch.images, before)


def test_the_surface_is_taken_off_and_a_large_particle_is_not():
    yy, xx = np.indices(SHAPE)
    surface = 0.4 * xx - 0.2 * yy + 0.002 * (xx - 90.0) ** 2
    particle = 80.0 * (np.hypot(yy - 70, xx - 110) < 38)
    image = (noise(sigma=2.0) + surface + particle).astype(np.float32)
    flat, level = flatten(image, np.ones(SHAPE, bool), 2)
    outside = np.hypot(yy - 70, xx - 110) > 45
    assert abs(np.median(flat[outside])) < 2
    assert np.ptp(ndimage.uniform_filter(flat, 15)[outside]) < 12
    assert np.median(flat[particle > 0]) == pytest.approx(80, abs=4)
    assert 60 < level < 200


def test_pixels_that_are_not_valid_neither_count_nor_stay():
    image = noise(sigma=1.0)
    image[100:, :90] = 5000
    valid = np.ones(SHAPE, bool)
    valid[100:, :90] = False
    flat, _ = flatten(image, valid, 2)
    assert np.abs(flat[valid]).max() < 10
    assert not flat[~valid].any()


@pytest.mark.parametrize("sign", [-1, 1])
def test_each_frame_decides_for_itself(sign):
    batch = Background()(batch_of(blobs(sign), blobs(-sign)))
    out = Normalise()(batch)
    names = {1: "bright", -1: "dark"}
    assert list(out.tables["frames"]["polarity"]) == [names[sign], names[-sign]]
    assert np.all(out.images.max(axis=(1, 2)) > -out.images.min(axis=(1, 2)))
    np.testing.assert_allclose(out.tables["frames"]["noise"], 5.0, rtol=0.15)


def test_a_frame_without_evidence_follows_the_vote():
    batch = batch_of(noise())
    for vote in (-1, 1):
        valid = np.ones(SHAPE, bool)
        assert frame_sign(noise(), valid, vote, batch.backend) == vote


def test_the_vote_counts_clear_frames():
    found = Polarity()([batch_of(blobs(-1), blobs(-1, seed=4)), batch_of(blobs(1))])
    assert found["sign"] == -1


def test_an_unknown_polarity_says_what_is_known():
    with pytest.raises(ValueError, match="auto"):
        Normalise("black")
