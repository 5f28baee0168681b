"""Lattice: crystals, their numbering, their outline and the starts of fits."""

import numpy as np
import pytest
from lattice_frames import PIXEL_NM, batch_of, dot_frame, lattice_of, points, scores
from scipy.spatial import cKDTree

from stempede.columns.crystal import SHIPPED, crystal_of
from stempede.columns.lattice import Lattice
from stempede.columns.peaks import Peaks
from stempede.simulate.columns import Dot, Scan, Scene, Tilt, render


@pytest.mark.parametrize(
    ("dose", "dot", "least"),
    [
        (2000.0, {}, 0.999),
        (1000.0, {"rounded": True, "cells": (7, 6), "thin_rim": 0.5}, 0.99),
        (1000.0, {"rim": "bare", "cells": (6, 4)}, 0.99),
        (500.0, {"cut_corners": 1, "cells": (6, 6)}, 0.97),
        (200.0, {"cells": (7, 6)}, 0.96),
    ],
    ids=["plain", "rounded", "bare rim", "cut corners", "low dose"],
)
def test_every_column_is_found_and_none_in_vacuum(dose, dot, least):
    electrons, truth = dot_frame(dose, size=(401, 388), **dot)
    batch = lattice_of(electrons)
    radius = (0.05 if dose >= 500 else 0.1) / PIXEL_NM
    precision, recall, species = scores(batch.tables["columns"], truth["truth_columns"], radius)
    assert min(precision, recall) >= least
    assert species == 1.0
    assert len(batch.tables["crystals"]) == 1
    assert not batch.problems


@pytest.mark.parametrize("rotation", [-62.0, 3.0, 44.0])
def test_axes_and_numbers_follow_the_convention(rotation):
    electrons, truth = dot_frame(2000.0, rotation_deg=rotation, cells=(5, 4))
    batch = lattice_of(electrons)
    crystal, columns = batch.tables["crystals"], batch.tables["columns"]
    a = np.array([crystal["a_x_px"][0], crystal["a_y_px"][0]])
    b = np.array([crystal["b_x_px"][0], crystal["b_y_px"][0]])
    assert a[0] >= abs(a[1])
    assert a[0] * b[1] - a[1] * b[0] > 0
    expected = truth["truth_crystals"]
    lengths = sorted([expected["a_px"][0], expected["b_px"][0]])
    np.testing.assert_allclose(sorted([np.hypot(*a), np.hypot(*b)]), lengths, rtol=0.004)
    own = columns.take(columns["crystal"] == 0)
    ij = np.stack([own["i"], own["j"]], 1)
    whole = (ij == np.rint(ij)).all(1)
    np.testing.assert_array_equal(whole, own["species"] == "Pb+X")
    np.testing.assert_array_equal((ij % 1 == 0.5).all(1), own["species"] == "Cs")
    assert len(np.unique(ij, axis=0)) == len(ij)
    centre = points(own).mean(0)
    nearest = np.argmin(np.where(whole, np.hypot(*(points(own) - centre).T), np.inf))
    np.testing.assert_array_equal(ij[nearest], [0, 0])
    origin = np.array([crystal["origin_y_px"][0], crystal["origin_x_px"][0]])
    straight = origin + ij @ np.array([b[::-1] * 0 + a[::-1], b[::-1]])
    assert np.hypot(*(straight - points(own))[whole].T).max() < 3.0


def test_columns_are_sorted_and_typed_as_declared():
    batch = lattice_of(dot_frame()[0])
    columns = batch.tables["columns"]
    assert (np.diff(columns["y_px"]) >= 0).all()
    np.testing.assert_array_equal(columns["column"], np.arange(len(columns)))
    assert set(columns["state"]) == {"NOT_RUN"}
    loose = columns["crystal"] == -1
    assert not columns["accepted"][loose].any()
    assert set(columns["reject_reason"][loose]) <= {"off lattice"}
    assert np.isnan(columns["i"][loose]).all()


def test_tilts_do_not_pull_starts_to_the_nodes():
    """X columns start where they stand, on average, whatever the tilt."""
    slopes = []
    for frame in range(3):
        tilt = Tilt("random", core_deg=6.0, sd_deg=4.0)
        electrons, truth = dot_frame(4000.0, frame=frame, cells=(7, 6), size=(401, 403), tilt=tilt)
        columns = lattice_of(electrons).tables["columns"]
        true = truth["truth_columns"]
        off, index = cKDTree(points(columns)).query(points(true))
        crystal = truth["truth_crystals"]
        a = np.array([crystal["a_y_px"][0], crystal["a_x_px"][0]])
        b = np.array([crystal["b_y_px"][0], crystal["b_x_px"][0]])
        ij = np.stack([true["i"], true["j"]], 1)
        lead = ij[true["species"] == "Pb+X"]
        fit = np.linalg.lstsq(
            np.c_[np.ones(len(lead)), lead],
            points(true)[true["species"] == "Pb+X"],
            rcond=None,
        )[0]
        along_a = (true["species"] == "X") & (ij[:, 0] % 1 == 0.5) & (off < 5)
        for rows, axis in (
            (along_a, b),
            ((true["species"] == "X") & (ij[:, 1] % 1 == 0.5) & (off < 5), a),
        ):
            node = fit[0] + ij[rows] @ fit[1:]
            unit = axis / np.hypot(*axis)
            slopes.append(
                np.stack(
                    [
                        (points(true)[rows] - node) @ unit,
                        (points(columns)[index[rows]] - node) @ unit,
                    ]
                )
            )
    shift, found = np.concatenate(slopes, axis=1)
    assert (shift * found).sum() / (shift**2).sum() == pytest.approx(1.0, abs=0.03)


def test_dots_of_different_direction_have_their_own_axes():
    dots = tuple(Dot(cells=(5, 4), rotation_deg=r) for r in (10.0, 35.0, 71.0))
    scene = Scene(dots, Scan(810, 780, PIXEL_NM, 1000.0))
    electrons, truth = render(scene, 0, seed=4)
    batch = lattice_of(electrons)
    crystals = batch.tables["crystals"]
    assert len(crystals) == 3
    precision, recall, species = scores(
        batch.tables["columns"], truth["truth_columns"], 0.05 / PIXEL_NM
    )
    assert min(precision, recall) > 0.99
    assert species == 1.0
    order = np.lexsort((crystals["x_px"], crystals["y_px"]))
    np.testing.assert_array_equal(order, crystals["crystal"])


def test_missing_columns_leave_holes_at_high_dose():
    electrons, truth = dot_frame(3000.0, cells=(7, 7), size=(420, 400), missing_x=0.08)
    columns = lattice_of(electrons).tables["columns"]
    precision, recall, _ = scores(columns, truth["truth_columns"], 0.05 / PIXEL_NM)
    assert min(precision, recall) > 0.99


def test_slow_bending_is_followed():
    """A lattice bent by a third of a cell keeps its numbers."""
    electrons, truth = dot_frame(3000.0, cells=(9, 9), rotation_deg=0.0, size=(500, 501))
    y, x = np.indices(electrons.shape)
    bow = 14.0 * ((y - 250) / 250.0) ** 2
    from scipy.ndimage import map_coordinates

    bent = map_coordinates(electrons, [y, x - bow], order=1, mode="nearest")
    columns = lattice_of(bent).tables["columns"]
    own = columns.take(columns["accepted"])
    true = truth["truth_columns"]
    there = points(true)
    there[:, 1] += 14.0 * ((there[:, 0] - 250) / 250.0) ** 2
    off, index = cKDTree(there).query(points(own))
    assert (off < 3.5).mean() > 0.99
    assert len(np.unique(index[off < 3.5])) > 0.99 * len(true)
    assert (own["species"] == true["species"][index])[off < 3.5].all()


def test_same_frame_gives_the_same_rows_in_any_batch():
    one, two = (dot_frame(frame=k)[0] for k in (0, 1))
    both = Lattice()(Peaks()(batch_of(np.stack([one, two])))).tables["columns"]
    alone = lattice_of(two, first=4).tables["columns"]
    own = both.take(both["frame"] == 4)
    for name in own.schema.names:
        np.testing.assert_array_equal(own[name], alone[name])


def test_cell_without_four_fold_basis_keeps_its_names():
    table = {
        "name": "pair",
        "sites": [
            {"species": "P", "role": "B", "i": 0.0, "j": 0.0, "brightness": 1.0},
            {"species": "Q", "role": "A", "i": 0.5, "j": 0.5, "brightness": 0.5},
        ],
    }
    basis = crystal_of(table)
    rng = np.random.default_rng(3)
    i, j = np.meshgrid(np.arange(7), np.arange(6), indexing="ij")
    corner = np.stack([i.ravel(), j.ravel()], 1)
    cell = np.array([[2.0, 35.0], [33.0, -1.0]])
    first, second = 40 + corner @ cell, 40 + (corner + 0.5) @ cell
    y, x = np.indices((290, 311))
    mean = np.full(y.shape, 0.05)
    for places, counts in ((first, 200), (second, 100)):
        for cy, cx in places:
            mean += counts / 50 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 16)
    columns = lattice_of(rng.poisson(mean), crystal=basis, pixel_nm=None).tables["columns"]
    own = columns.take(columns["crystal"] == 0)
    for name, places in (("P", first), ("Q", second)):
        off, _ = cKDTree(places).query(points(own.take(own["species"] == name)))
        assert len(off) == len(places)
        assert off.max() < 2.5


def test_brightest_site_need_not_be_the_octahedron():
    basis = SHIPPED["SrTiO3"]
    rng = np.random.default_rng(0)
    mean = np.full((301, 322), 20.0)
    y, x = np.indices(mean.shape)
    cell = np.array([[1.5, 39.0], [38.5, -2.0]])
    strontium = []
    for p in range(-1, 10):
        for q in range(-1, 10):
            for site in basis.sites:
                cy, cx = np.array([8.0, 9.0]) + np.array([p + site.i, q + site.j]) @ cell
                if -20 < cy < 320 and -20 < cx < 340:
                    height = 60 * site.brightness
                    mean += height * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 4.5**2))
                    if site.role == "A" and 4 < cy < 296 and 4 < cx < 318:
                        strontium.append((cy, cx))
    batch = lattice_of(rng.poisson(mean), crystal="SrTiO3", pixel_nm=0.01)
    columns = batch.tables["columns"]
    off, index = cKDTree(points(columns)).query(strontium)
    assert off.max() < 1.0
    assert set(columns["species"][index]) == {"Sr"}
