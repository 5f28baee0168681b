"""Crops: what is kept, what is painted over, and that chance plays no part."""

import numpy as np
import pytest

from stempede.backend import Backend
from stempede.errors import InputError
from stempede.frames import Batch, FrameRecord, frames_table
from stempede.particles import crops as crops_module
from stempede.particles.crops import crops
from stempede.particles.features import Features


def batch_of(labels, images, numbers=(4, 9)):
    records = tuple(
        FrameRecord(frame, f"{frame}.tif", 0, labels.shape[1:], "float32")
        for frame, _ in zip(numbers, labels)
    )
    maps = {"labels": labels, "valid": np.ones(labels.shape, bool)}
    tables = {"frames": frames_table(records)}
    images = images.astype(np.float32)
    measured = Features()(Batch(images, records, Backend.choose("cpu"), maps, tables))
    return accept(measured, ~measured.tables["particles"]["touches_edge"])


def accept(batch, rows):
    particles = batch.tables["particles"].with_columns({"accepted": rows})
    return batch.with_(tables={"particles": particles})


def scene(seed=0):
    labels = np.zeros((2, 90, 120), np.int32)
    labels[0, 20:50, 30:44] = 1
    labels[0, 22:48, 46:60] = 2
    labels[0, 0:9, 100:110] = 3
    labels[1, 60:66, 70:90] = 1
    labels[1, 2:6, 2:9] = 2
    rng = np.random.default_rng(seed)
    return labels, rng.normal(10, 1, labels.shape) + 50 * labels


def test_shape_dtype_and_order():
    labels, images = scene()
    found = crops(batch_of(labels, images), 32)
    assert found.shape == (4, 32, 32)
    assert found.dtype == np.float32
    centres = found[:, 14:18, 14:18].mean(axis=(1, 2))
    np.testing.assert_allclose(centres, [60, 110, 110, 60], atol=1.5)


def test_a_ramp_is_sampled_where_the_window_lies():
    labels = np.zeros((1, 70, 80), np.int32)
    labels[0, 30:42, 35:43] = 1
    y, x = np.mgrid[:70, :80]
    batch = batch_of(labels, (3 * y + 5 * x)[None])
    for size, margin in ((24, 0.0), (16, 0.5), (5, 0.25)):
        side = 12 * (1 + 2 * margin)
        at = (np.arange(size) + 0.5) * side / size - side / 2
        wanted = 3 * (35.5 + at)[:, None] + 5 * (38.5 + at)[None]
        np.testing.assert_allclose(crops(batch, size, margin=margin)[0], wanted, rtol=1e-5)


def test_aspect_is_kept_and_the_particle_fits():
    labels, _ = scene()
    bright = np.where(labels > 0, 1.0, 0.0)
    inside = crops(batch_of(labels, bright), 40, margin=0.1)
    tall = inside[0] > 0.5
    height, width = tall.any(axis=1).sum(), tall.any(axis=0).sum()
    assert height == pytest.approx(40 / 1.2, abs=1)
    assert height / width == pytest.approx(30 / 14, rel=0.08)


def test_neighbours_and_the_outside_become_background():
    labels, images = scene()
    images[labels == 2] = 1e6
    images[1, :2] = 10
    batch = batch_of(labels, images)
    for size in (48, 37, 90):
        first = crops(batch, size, margin=0.3)[0]
        assert first.max() < 70, "nothing of the neighbour is left"
    corner = crops(accept(batch, batch.tables["particles"]["label"] == 3), 48, margin=0.5)[0]
    outside = corner[:12]
    assert outside.mean() == pytest.approx(10, abs=0.3)
    assert 0.5 < outside.std() < 1.1


def test_crowded_crops_take_the_statistics_of_the_frame():
    labels = np.ones((1, 60, 70), np.int32)
    labels[0, 20:40, 20:40] = 2
    labels[0, 55:] = 0
    images = np.where(labels == 0, 7.0, 100.0)
    images[labels == 2] = 50
    batch = batch_of(labels, images)
    found = crops(accept(batch, batch.tables["particles"]["label"] == 2), 30, margin=0.2)[0]
    assert found[0, 0] == 7
    assert found[15, 15] == 50


def test_the_same_whatever_else_is_in_the_batch():
    labels, images = scene()
    both = crops(batch_of(labels, images), 20)
    second = crops(batch_of(labels[1:], images[1:], numbers=(9,)), 20)
    np.testing.assert_array_equal(both[2:], second)
    np.testing.assert_array_equal(both, crops(batch_of(labels, images), 20))
    renumbered = crops(batch_of(labels[1:], images[1:], numbers=(8,)), 20)
    assert (second != renumbered).any(), "another image has other noise in its rim"


def test_large_particles_are_averaged_not_skipped():
    labels = np.zeros((1, 300, 310), np.int32)
    labels[0, 20:280, 30:290] = 1
    images = np.random.default_rng(0).normal(0, 1, labels.shape)
    found = crops(batch_of(labels, images), 26, margin=0.0)[0]
    # each crop pixel covers 10 x 10 image pixels and samples 8 x 8 points of them
    assert found.std() < 0.2


def test_no_accepted_particle_and_bad_sizes():
    labels, images = scene()
    batch = batch_of(labels, images)
    none = accept(batch, np.zeros(len(batch.tables["particles"]), bool))
    assert crops(none, 8).shape == (0, 8, 8)
    for size, margin in ((3, 0.1), (8, -0.1)):
        with pytest.raises(InputError, match="found"):
            crops(batch, size, margin=margin)


@pytest.mark.parametrize(("size", "margin"), [(44, 0.15), (13, 0.6), (7, 0.0)])
def test_the_kernel_equals_the_array_functions(size, margin):
    batch = batch_of(*scene())
    windows = crops_module._Windows.of(batch, size, margin)
    found = crops_module._by_kernel(batch, windows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, crops_module._by_arrays(batch, windows), atol=2e-3)
