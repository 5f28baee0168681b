"""Segment and split: simulated particles are found, sized and separated; stars are not cut."""

import numpy as np
import pytest
from scipy import ndimage

from stempede.backend import Backend
from stempede.frames import FrameRecord, Frames
from stempede.particles.segment import Segment, pieces
from stempede.particles.split import Split, borders
from stempede.particles.threshold import otsu
from stempede.preprocess.background import Background
from stempede.preprocess.defects import Defects
from stempede.preprocess.normalise import Normalise
from stempede.simulate.micrograph import Population, render

SHAPE = (230, 301)


def batch_of(*images):
    stack = [np.asarray(i, np.float32) for i in images]
    records = tuple(FrameRecord(k, f"{k}", 0, i.shape, "float32") for k, i in enumerate(stack))
    frames = Frames(records, lambda record: stack[record.frame])
    return frames.read(range(len(stack)), Backend.choose("cpu"))


def labels_of(*images, polarity="auto", **segment):
    batch = batch_of(*images)
    for stage in (Defects(), Background(), Normalise(polarity), Segment(**segment), Split()):
        batch = stage(batch)
    return batch.maps["labels"]


def drawn(distance, seed=0, contrast=-60.0, noise=6.0):
    """Blurred image of what lies where ``distance`` is positive, over a slope, with noise."""
    rng = np.random.default_rng(seed)
    inside = np.clip(distance + 0.5, 0, 1)
    slope = np.linspace(0, 15, SHAPE[1])[None, :]
    image = 200 + slope + contrast * ndimage.gaussian_filter(inside, 0.7)
    return image + rng.normal(0, noise, SHAPE)


def disc(y, x, r):
    yy, xx = np.indices(SHAPE)
    return r - np.hypot(yy - y, xx - x)


def star(y, x, r, arms, depth):
    yy, xx = np.indices(SHAPE)
    angle = np.arctan2(yy - y, xx - x)
    return r * (1 - depth * (1 - np.cos(arms * angle)) / 2) - np.hypot(yy - y, xx - x)


def triangle(y, x, r, turn):
    yy, xx = np.indices(SHAPE)
    sides = [turn + 2 * np.pi * k / 3 for k in range(3)]
    return np.min([r - (yy - y) * np.sin(a) - (xx - x) * np.cos(a) for a in sides], axis=0)


@pytest.mark.parametrize("contrast", [-60.0, 60.0])
def test_discs_are_found_with_their_size_whichever_way_they_contrast(contrast):
    places = [(60, 70, 22), (60, 220, 16), (160, 90, 18), (170, 230, 25)]
    labels = labels_of(drawn(np.max([disc(*p) for p in places], axis=0), contrast=contrast))[0]
    assert labels.max() == len(places)
    first = [np.flatnonzero(labels.ravel() == k)[0] for k in range(1, len(places) + 1)]
    assert first == sorted(first)
    areas = [np.count_nonzero(labels == labels[y, x]) for y, x, _ in places]
    np.testing.assert_allclose(np.sqrt(np.array(areas) / np.pi), [r for *_, r in places], rtol=0.03)


@pytest.mark.parametrize(("arms", "depth"), [(5, 0.55), (8, 0.4), (4, 0.6)])
def test_stars_stay_whole(arms, depth):
    labels = labels_of(drawn(star(110, 150, 48, arms, depth)))[0]
    assert labels.max() == 1


def test_touching_discs_and_overlapping_triangles_are_separated():
    discs = np.maximum(disc(100, 100, 24), disc(100, 144, 22))
    labels = labels_of(drawn(discs))[0]
    assert labels.max() == 2
    assert labels[100, 100] != labels[100, 144]
    pair = np.maximum(triangle(100, 100, 18, 0.0), triangle(100, 164, 18, np.pi))
    apart = np.maximum(triangle(100, 100, 18, np.pi), triangle(100, 168, 18, 0.0))
    for both in (pair, apart):
        labels = labels_of(drawn(both))[0]
        assert labels.max() == 2


@pytest.mark.parametrize("frame", range(3))
def test_simulated_micrographs_are_found_whole(frame):
    population = Population(height_px=420, width_px=510, mean_size_nm=9.0)
    image, truth, _ = render(population, frame, 3)
    labels = labels_of(image)[0]
    rim = np.unique(np.concatenate([truth[0], truth[-1], truth[:, 0], truth[:, -1]]))
    overlaps = []
    for k in np.setdiff1d(np.unique(truth), np.append(rim, 0)):
        mine = labels[truth == k]
        best = np.bincount(mine[mine > 0], minlength=1).argmax()
        union = np.count_nonzero((truth == k) | (labels == best))
        overlaps.append(np.count_nonzero(mine == best) / union)
    assert len(overlaps) > 20
    assert np.mean(np.array(overlaps) > 0.8) >= 0.97
    assert np.median(overlaps) > 0.95


def test_noise_alone_and_excluded_pixels_hold_nothing():
    rng = np.random.default_rng(5)
    assert labels_of(rng.normal(100, 8, SHAPE)).max() <= 1
    batch = batch_of(drawn(disc(60, 80, 22)))
    valid = batch.maps["valid"].copy()
    valid[:, 30:100, 40:120] = False
    batch = batch.with_(maps={"valid": valid})
    for stage in (Background(), Normalise("dark"), Segment(), Split()):
        batch = stage(batch)
    assert not batch.maps["labels"][~valid].any()


def test_a_frame_does_not_depend_on_its_neighbours_in_the_batch():
    first = drawn(np.maximum(disc(60, 70, 22), disc(150, 200, 12)), seed=1)
    second = drawn(star(110, 150, 48, 5, 0.5), seed=2, contrast=60.0)
    both = labels_of(first, second)
    np.testing.assert_array_equal(both[0], labels_of(first)[0])
    np.testing.assert_array_equal(both[1], labels_of(second)[0])


def test_a_frame_of_faint_discs_is_looked_at_once_more():
    places = [(y, x, 14) for y in range(25, 215, 45) for x in range(25, 290, 45)]
    image = drawn(np.max([disc(*p) for p in places], axis=0), contrast=-5.0, noise=9.0)
    counts = {}
    for floor in (2.5, 1.8):
        labels = labels_of(image, polarity="dark", faint_floor=floor)[0]
        counts[floor] = len(np.unique([labels[y, x] for y, x, _ in places if labels[y, x]]))
    assert counts[1.8] > 0.8 * len(places)
    assert counts[1.8] > counts[2.5]


def test_bright_particles_are_found_on_a_bright_support_cut_by_the_rim():
    places = [(60, 160, 7), (105, 165, 6), (150, 158, 8), (120, 60, 7)]
    support = np.clip(disc(110, 0, 168) + 0.5, 0, 1)
    particles = np.clip(np.max([disc(*p) for p in places], axis=0) + 0.5, 0, 1)
    rng = np.random.default_rng(3)
    signal = ndimage.gaussian_filter(20 + 60 * support + 300 * particles, 0.9)
    labels = labels_of(rng.poisson(signal), polarity="bright")[0]
    assert labels.max() == len(places)
    for y, x, r in places:
        area = np.count_nonzero(labels == labels[y, x])
        assert labels[y, x] > 0
        assert np.sqrt(area / np.pi) == pytest.approx(r, rel=0.15)


@pytest.mark.parametrize("method", ["global", "local", "hysteresis"])
def test_thresholds_find_clear_discs(method):
    image = drawn(np.maximum(disc(60, 70, 22), disc(150, 200, 20)), noise=3.0)
    labels = labels_of(image, method=method)[0]
    big = np.bincount(labels.ravel())[1:] > 400
    assert np.count_nonzero(big) == 2


@pytest.mark.parametrize("method", ["outlines", "global", "local", "hysteresis"])
def test_the_scale_of_the_threshold_moves_outlines(method):
    image = drawn(np.maximum(disc(60, 70, 22), disc(150, 200, 20)), noise=3.0)
    areas = []
    for scale in (0.7, 1.0, 1.3):
        batch = batch_of(image)
        segment = Segment(method=method, threshold_scale=scale)
        for stage in (Defects(), Background(), Normalise("dark"), segment):
            batch = stage(batch)
        labels = batch.maps["regions"][0]
        areas.append([np.count_nonzero(labels == labels[y, x]) for y, x in ((60, 70), (150, 200))])
    assert np.all(np.diff(areas, axis=0) < 0)
    assert np.all(np.diff(np.sqrt(areas), axis=0) > -3)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_the_scale_of_the_threshold_is_positive(scale):
    with pytest.raises(ValueError, match="threshold_scale"):
        Segment(threshold_scale=scale)


def test_an_unknown_method_says_what_is_known():
    with pytest.raises(ValueError, match="outlines"):
        Segment(method="otsu")


def test_otsu_lies_between_two_classes():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, 900), rng.normal(10, 1, 300)])
    assert 3 < otsu(values) < 7


def test_borders_are_where_labels_meet():
    labels = np.array([[1, 1, 2], [0, 1, 2], [0, 0, 2]])
    expected = np.array([[0, 1, 1], [0, 1, 1], [0, 0, 0]], bool)
    np.testing.assert_array_equal(borders(labels), expected)


def test_particles_that_part_where_they_are_drawn_both_stay():
    regions = np.zeros((20, 31), np.int32)
    regions[2:9, 2:9] = regions[2:9, 12:17] = 1  # one region, two particles
    regions[12:18, 3:9] = 2
    regions[12:18, 9:15] = 3  # touches 2
    regions[0, 20] = regions[12, 20] = 1  # specks
    regions[12:14, 25] = 4  # all of its region
    found = pieces(regions, 20)
    expected = np.zeros_like(regions)
    expected[2:9, 2:9], expected[2:9, 12:17] = 1, 2
    expected[12:18, 3:9], expected[12:18, 9:15], expected[12:14, 25] = 3, 4, 5
    np.testing.assert_array_equal(found, expected)


def test_pieces_of_nothing_are_none():
    assert not pieces(np.zeros((5, 7), np.int32), 12).any()
