"""The particles table: keys, order, units, pixels that are not square."""

import numpy as np
import pytest

from stempede.backend import Backend
from stempede.frames import Batch, Calibration, FrameRecord, frames_table
from stempede.particles.features import AREAS, LENGTHS, Features, in_nm
from stempede.tables import PARTICLES
from stempede_kernels.regions import FEATURES, regions


def batch_of(labels, sizes=None, first_frame=3):
    """Return a batch of dark background, bright regions, noise 2."""
    rng = np.random.default_rng(1)
    images = (rng.normal(100, 2, labels.shape) + 30 * (labels > 0)).astype(np.float32)
    records = tuple(
        FrameRecord(
            frame=first_frame + 2 * k,
            source="memory",
            page=k,
            shape=labels.shape[1:],
            dtype="float32",
            calibration=Calibration(*(sizes[k] if sizes else (None, None))),
        )
        for k in range(len(labels))
    )
    maps = {"labels": labels, "valid": np.ones(labels.shape, bool)}
    tables = {"frames": frames_table(records)}
    return Batch(images, records, Backend.choose("cpu"), maps, tables)


def two_frames():
    labels = np.zeros((2, 45, 60), np.int32)
    labels[0, 20:31, 8:15] = 1
    labels[0, 5:13, 30:50] = 2
    labels[1, 0:9, 3:11] = 6
    labels[1, 0:4, 20:33] = 4
    labels[1, 30:40, 40:52] = 5
    return labels


def test_rows_follow_the_first_pixel_of_each_frame():
    particles = Features()(batch_of(two_frames())).tables["particles"]
    assert particles["frame"].tolist() == [3, 3, 5, 5, 5]
    assert particles["particle"].tolist() == [0, 1, 0, 1, 2]
    assert particles["label"].tolist() == [2, 1, 6, 4, 5]
    assert particles["touches_edge"].tolist() == [False, False, True, True, False]
    assert particles["bbox_x1_px"].tolist() == [50, 15, 11, 33, 52]
    assert particles["y_px"].tolist() == [8.5, 25, 4, 1.5, 34.5]
    np.testing.assert_allclose(particles["contrast"], 15, rtol=0.1)


def test_every_promised_feature_is_there_and_the_rest_is_null():
    particles = Features()(batch_of(two_frames())).tables["particles"]
    assert set(FEATURES) <= set(PARTICLES.names)
    for name in FEATURES:
        assert np.isfinite(particles[name]).all(), name
    for name in ("p", "d", "l_ratio", "jaccard", *(f"{n}_nm" for n in LENGTHS)):
        assert np.isnan(particles[name]).all(), name
    assert (particles["group"] == -1).all()
    assert not particles["accepted"].any()


def test_square_pixels_scale_every_size():
    sizes = [(0.25, 0.25), (None, None)]
    particles = Features()(batch_of(two_frames(), sizes)).tables["particles"]
    first = particles["frame"] == 3
    for name in AREAS:
        wanted = particles[f"{name}_px2"] * 0.0625
        np.testing.assert_allclose(particles[f"{name}_nm2"][first], wanted[first], rtol=1e-14)
        assert np.isnan(particles[f"{name}_nm2"][~first]).all()
    for name in LENGTHS:
        wanted = particles[f"{name}_px"] * 0.25
        np.testing.assert_allclose(particles[f"{name}_nm"][first], wanted[first], rtol=1e-14)
        assert np.isnan(particles[f"{name}_nm"][~first]).all()


@pytest.mark.parametrize("angle", [0, 35, 90, -60])
@pytest.mark.parametrize(("size_y", "size_x"), [(0.103, 0.1), (0.1, 0.105)])
def test_oblong_pixels_measure_the_same_body(angle, size_y, size_x):
    def draw(y_nm, x_nm):
        y, x = np.mgrid[-160:161, -170:171]
        y, x, turn = y * y_nm - 0.03, x * x_nm - 0.02, np.radians(angle)
        u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        return ((abs(u) < 8) & (abs(v) < 4)).astype(np.int32)

    truth = regions(draw(0.1, 0.1))
    truth = in_nm(truth, np.array([[0.1, 0.1]]))
    found = in_nm(regions(draw(size_y, size_x)), np.array([[size_y, size_x]]))
    ratio = abs(np.log(size_y / size_x))
    for name in ("area_nm2", "major_axis_nm", "minor_axis_nm", "equivalent_diameter_nm"):
        np.testing.assert_allclose(found[name], truth[name], rtol=1 / 80, err_msg=name)
    for name in ("perimeter_nm", "perimeter_crofton_nm"):
        np.testing.assert_allclose(found[name], truth[name], rtol=ratio / 2 + 0.01, err_msg=name)
    for name in ("max_feret_nm", "min_feret_nm", "min_rect_length_nm", "min_rect_width_nm"):
        np.testing.assert_allclose(found[name], truth[name], rtol=ratio + 0.01, err_msg=name)


def test_empty_batches_have_the_full_schema():
    blank = Features()(batch_of(np.zeros((1, 20, 31), np.int32))).tables["particles"]
    none = Features()(batch_of(np.zeros((0, 20, 31), np.int32))).tables["particles"]
    assert len(blank) == len(none) == 0
    assert set(blank.columns) == set(none.columns) == set(PARTICLES.names)


def test_a_frame_does_not_see_its_neighbours():
    both = Features()(batch_of(two_frames())).tables["particles"]
    whole = batch_of(two_frames())
    second = Batch(
        whole.images[1:],
        whole.records[1:],
        whole.backend,
        {name: values[1:] for name, values in whole.maps.items()},
        {"frames": whole.tables["frames"].take(np.array([1]))},
    )
    alone = Features()(second).tables["particles"]
    for name in PARTICLES.names:
        np.testing.assert_array_equal(both[name][2:], alone[name], err_msg=name)
