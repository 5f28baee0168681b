"""Polarity: which side the particles are on, whatever they cover and however they are lit."""

import numpy as np
import pytest
from scipy import ndimage

from stempede.backend import Backend
from stempede.frames import FrameRecord, Frames
from stempede.preprocess.background import Background
from stempede.preprocess.polarity import (
    CLEAR,
    Polarity,
    bends,
    contrast_evidence,
    frame_sign,
    shrink,
)
from stempede.simulate.micrograph import render
from stempede.simulate.population import Population

BACKEND = Backend.choose("cpu")
SIGNS = {"dark": -1, "bright": 1}


def batch_of(*images, dtype="float32"):
    stack = [np.asarray(i, np.float32) for i in images]
    records = tuple(FrameRecord(k, f"{k}", 0, i.shape, dtype) for k, i in enumerate(stack))
    frames = Frames(records, lambda record: stack[record.frame])
    return frames.read(range(len(stack)), BACKEND)


def evidence(image):
    batch = Background()(batch_of(image))
    return contrast_evidence(batch.images[0], batch.maps["valid"][0], BACKEND)


def noise(shape=(230, 301), seed=0):
    return np.random.default_rng(seed).normal(100, 5, shape).astype(np.float32)


def crowded(sign, seed=3, shape=(290, 333), spacing=34.0):
    """Triangles in contact that cover more than half of the frame, of uneven contrast."""
    rng = np.random.default_rng(seed)
    image = np.zeros(shape, np.float32)
    yy, xx = np.indices(shape, dtype=np.float32)
    for row, y in enumerate(np.arange(10, shape[0], 0.8 * spacing)):
        for x in np.arange(8 + row % 2 * spacing / 2, shape[1], spacing):
            turn = rng.uniform(0, 2 * np.pi)
            edges = [
                (yy - y) * np.sin(turn + a) + (xx - x) * np.cos(turn + a)
                for a in (0, 2 * np.pi / 3, 4 * np.pi / 3)
            ]
            image += rng.uniform(30, 60) * (np.max(edges, axis=0) < 0.3 * spacing)
    assert (image > 0).mean() > 0.5
    return sign * ndimage.gaussian_filter(image, 1) + noise(shape, seed)


@pytest.mark.parametrize("polarity", SIGNS)
@pytest.mark.parametrize(
    "kind",
    [
        {"mean_size_nm": 8, "count": 120},
        {"mean_size_nm": 25, "count": 40, "gradient": 0.8, "noise": "high"},
        {"mean_size_nm": 30, "coverage": 0.25, "touching": 0.9, "overlap": 0.1},
        {"mean_size_nm": 45, "count": 9, "shapes": "star"},
        {"mean_size_nm": 120, "count": 4, "shapes": "triangle", "noise": "low"},
    ],
)
def test_simulated_frames_decide_rightly(polarity, kind):
    shown = Population(
        height_px=384, width_px=451, pixel_size_nm=1.0, polarity=polarity, gap_px=1, **kind
    )
    assert evidence(render(shown, 0, 1)[0]) * SIGNS[polarity] >= CLEAR


@pytest.mark.parametrize("sign", [-1, 1])
def test_particles_that_cover_most_of_the_frame_are_not_taken_for_the_support(sign):
    assert evidence(crowded(sign)) * sign > 0


def test_turning_the_contrast_turns_the_evidence():
    image = crowded(1) - 100
    valid = np.ones(image.shape, bool)
    found = contrast_evidence(image, valid, BACKEND)
    assert contrast_evidence(-image, valid, BACKEND) == pytest.approx(-found, abs=1e-4)
    assert contrast_evidence(7 * image, valid, BACKEND) == pytest.approx(found, abs=1e-4)


def test_outlines_bend_around_what_is_inside():
    yy, xx = np.indices((90, 121))
    disc = (np.hypot(yy - 44, xx - 60) < 25) + np.random.default_rng(0).normal(0, 0.02, yy.shape)
    disc = ndimage.gaussian_filter(disc.astype(np.float32), 1.5)
    known = np.ones(disc.shape, bool)
    for sign in (-1, 1):
        turn = bends(sign * disc, known)
        assert turn.sum() / np.abs(turn).sum() * sign > 0.7


def test_noise_and_empty_frames_follow_the_vote_and_else_are_dark():
    for image in (noise(), np.full((70, 91), 3.0, np.float32), noise((9, 14))):
        valid = np.ones(image.shape, bool)
        assert [frame_sign(image - 100, valid, v, BACKEND) for v in (-1, 0, 1)] == [-1, -1, 1]


def test_what_is_not_valid_does_not_count():
    image, valid = noise() - 100, np.ones((230, 301), bool)
    image[190:, :] = 3000 * (np.indices((40, 301))[1] % 20 < 8)
    valid[190:] = False
    assert abs(contrast_evidence(image * valid, valid, BACKEND)) < CLEAR
    assert contrast_evidence(image, np.zeros_like(valid), BACKEND) == 0.0


def test_small_particles_in_a_large_frame_are_seen_in_its_middle():
    rng = np.random.default_rng(2)
    image = rng.normal(0, 6, (1500, 1700)).astype(np.float32)
    spots = np.zeros_like(image)
    spots[rng.integers(0, 1500, 2500), rng.integers(0, 1700, 2500)] = 1
    image -= 20 * (ndimage.maximum_filter(spots, footprint=np.hypot(*np.ogrid[-3:4, -3:4]) < 3.3))
    assert contrast_evidence(image, np.ones(image.shape, bool), BACKEND) <= -CLEAR


def test_the_vote_says_what_it_rests_on():
    found = Polarity()([batch_of(crowded(-1), noise((290, 333))), batch_of(crowded(1))])
    assert found["frames_undecided"] >= 1
    counts = sum(found[f"frames_{kind}"] for kind in ("dark", "bright", "undecided"))
    assert counts == 3
    undecided = Polarity()([batch_of(noise())])
    assert (undecided["sign"], undecided["decided"]) == (-1, 0)
    assert Polarity()([])["decided"] == 0


def test_a_caption_does_not_outvote_the_particles():
    shown = Population(
        height_px=384,
        width_px=451,
        pixel_size_nm=1.0,
        polarity="dark",
        mean_size_nm=20,
        count=40,
        scale_bar_nm=100,
    )
    image = render(shown, 0, 2)[0].astype(np.float32)
    image *= 255 / image.max()
    image[350:] = 255
    for x in range(40, 260, 13):
        image[360:374, x : x + 3] = 0
    found = Polarity()([batch_of(image, dtype="uint8")])
    assert (found["sign"], found["frames_dark"]) == (-1, 1)


def test_blocks_are_means_and_an_odd_rim_is_cut():
    image = np.arange(5 * 7, dtype=np.float32).reshape(5, 7)
    expected = image[:4, :6].reshape(2, 2, 3, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(shrink(image, 2), expected)
