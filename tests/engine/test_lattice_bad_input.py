"""Lattice: frames that hold no lattice, the wrong one, or hardly one."""

import numpy as np
import pytest
from lattice_frames import batch_of, dot_frame, lattice_of, scores

from stempede.backend import Backend
from stempede.columns.lattice import Lattice
from stempede.columns.peaks import Peaks
from stempede.frames import Batch, frames_table
from stempede.simulate.columns import Dot, Scan, Scene, render


def columns_at(places, shape=(128, 141), seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    mean = np.full(shape, 0.05)
    for cy, cx, height in places:
        mean += height * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 18)
    return rng.poisson(mean)


@pytest.mark.parametrize(
    "places",
    [
        [(60, 70, 5)],
        [(60, 60, 5), (60, 81, 1.5), (81, 81, 1.7)],
        [(y, x, 5) for y in (50, 92) for x in (50, 92)],
    ],
    ids=["single column", "half a cell", "one cell"],
)
def test_few_columns_are_no_crystal(places):
    batch = lattice_of(columns_at(places))
    columns = batch.tables["columns"]
    assert len(batch.tables["crystals"]) == 0
    assert len(columns) >= len(places)
    assert set(columns["reject_reason"]) == {"off lattice"}
    assert "no lattice of CsPbI3" in batch.problems[0].reason


def test_columns_in_disorder_are_off_lattice():
    rng = np.random.default_rng(5)
    places = np.c_[rng.uniform(10, 300, (90, 2)), np.full(90, 4.0)]
    batch = lattice_of(columns_at(places, (311, 305)))
    assert len(batch.tables["crystals"]) == 0
    assert not batch.tables["columns"]["accepted"].any()
    assert "no lattice" in batch.problems[0].reason


@pytest.mark.parametrize("value", [0.0, np.nan, 3.0])
def test_empty_frames_go_through(value):
    batch = lattice_of(np.full((90, 101), value))
    assert len(batch.tables["columns"]) == len(batch.tables["crystals"]) == 0
    assert len(batch.problems) == 1


def test_no_frames_go_through():
    nothing = np.zeros((0, 64, 65), np.float32)
    maps = {"electrons": nothing, "valid": nothing > 0}
    batch = Batch(nothing, (), Backend.choose("cpu"), maps, {"frames": frames_table([])})
    assert len(Lattice()(Peaks()(batch)).tables["columns"]) == 0


def test_lost_rows_cost_only_their_columns():
    electrons, truth = dot_frame(2000.0)
    electrons[:30] = np.nan
    batch = lattice_of(electrons)
    precision, recall, _ = scores(batch.tables["columns"], truth["truth_columns"], 3.3)
    assert precision > 0.99
    assert recall > 0.95


def test_pixel_size_is_not_needed():
    electrons, truth = dot_frame(1000.0)
    batch = lattice_of(electrons, pixel_nm=None)
    precision, recall, species = scores(batch.tables["columns"], truth["truth_columns"], 3.3)
    assert min(precision, recall, species) > 0.99
    assert np.isnan(batch.tables["crystals"]["a_nm"]).all()


def test_wrong_scale_is_named_and_overruled():
    electrons, truth = dot_frame(1000.0, cells=(6, 5), size=(380, 371))
    batch = lattice_of(electrons, pixel_nm=0.03)
    _, recall, species = scores(batch.tables["columns"], truth["truth_columns"], 3.3)
    assert min(recall, species) > 0.99
    assert "check the recipe's crystal and the pixel size" in batch.problems[0].reason


def test_wrong_crystal_is_named():
    electrons, _ = dot_frame(1000.0, cells=(6, 5), size=(380, 371))
    batch = lattice_of(electrons, crystal="SrTiO3")
    assert "SrTiO3 has 0.39" in batch.problems[0].reason


def test_normalised_floats_are_measured():
    electrons, truth = dot_frame(1000.0)
    batch = lattice_of(electrons / electrons.max() - 0.1, noise="gaussian")
    precision, recall, species = scores(batch.tables["columns"], truth["truth_columns"], 3.3)
    assert min(precision, recall, species) > 0.98


def test_overlapping_crystals_are_told_apart():
    def one(rotation, centre, seed):
        dot = Dot(cells=(7, 7), rotation_deg=rotation, centre_px=centre)
        return render(Scene((dot,), Scan(512, 499, dose_e_per_A2=1500)), 0, seed)[0].astype(float)

    batch = lattice_of(one(10.0, (190.0, 190.0), 1) + one(38.0, (310.0, 300.0), 2))
    crystals = batch.tables["crystals"]
    assert len(crystals) == 2
    angles = np.degrees(np.arctan2(crystals["a_y_px"], crystals["a_x_px"])) % 90
    np.testing.assert_allclose(sorted(angles), [10, 38], atol=1.5)


def test_a_second_frame_is_not_touched_by_a_bad_one():
    electrons, _ = dot_frame(1000.0)
    batch = Lattice()(Peaks()(batch_of(np.stack([np.zeros_like(electrons), electrons]))))
    assert set(batch.tables["columns"]["frame"]) == {4}
    assert [p.frame for p in batch.problems] == [3]
