"""Layers of a crystal, means by layer, facets and the reduction that writes them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from accuracy.drawn_columns import NOISE, Noise, draw, together
from stempede.columns.cell import Cells
from stempede.columns.facets import facets
from stempede.columns.forms import Form
from stempede.columns.layer_means import absolute_by_layer, rms_by_layer
from stempede.columns.layers import Layers
from stempede.columns.network import Network
from stempede.columns.rings import CELL_MARGIN, layers_of, outside_frame
from stempede.columns.tables import CELLS, COLUMNS, CRYSTALS, OCTAHEDRA
from stempede.columns.tiles import tiled
from stempede.errors import RecipeError
from stempede.simulate.columns import Dot, Tilt
from stempede.tables import MISSING, Table

SHARP = Noise((0.3, 0.6, 0.6), 10_000)


def sites(drawing):
    """(i, j) of the marks of a drawing, rows along b."""
    marks = [(u, v) for v, line in enumerate(drawing) for u, c in enumerate(line) if c != "."]
    return np.array(marks, dtype=float).T


def written(drawing, layer):
    i, j = sites(drawing)
    at = dict(zip(zip(i, j, strict=True), layer, strict=True))
    return [
        "".join("." if (u, v) not in at else "-" if at[u, v] < 0 else str(at[u, v]) for u in width)
        for v, width in ((v, range(len(line))) for v, line in enumerate(drawing))
    ]


ROUNDED = [
    "..0000..",
    ".001100.",
    "00111100",
    "01111110",
    "00011000",
    "..0000..",
]
INCOMPLETE = [  # three sites of an unfinished row on top
    ".000....",
    "00100000",
    "01111110",
    "01222210",
    "01111110",
    "00000000",
]


@pytest.mark.parametrize("drawing", [ROUNDED, INCOMPLETE])
def test_layers_of_drawn_crystals(drawing):
    layer = layers_of(*sites(drawing))
    assert written(drawing, layer) == drawing


def test_a_missing_column_inside_is_no_surface():
    i, j = np.array([(u, v) for u in range(9) for v in range(7)]).T
    whole = layers_of(i, j)
    keep = ~((i == 4) & (j == 3))
    assert np.array_equal(layers_of(i[keep], j[keep]), whole[keep])


@settings(max_examples=25)
@given(st.integers(-9, 9), st.integers(-9, 9), st.sampled_from([0.0, 0.5]))
def test_numbering_starts_anywhere_and_axes_may_swap(di, dj, half):
    i, j = sites(ROUNDED)
    layer = layers_of(i, j)
    assert np.array_equal(layers_of(i + di + half, j + dj + half), layer)
    assert np.array_equal(layers_of(j, i), layer)
    assert np.array_equal(layers_of(-i, j), layer)


def test_beyond_the_border_of_the_frame_nothing_is_known():
    i, j = np.array([(u, v) for u in range(8) for v in range(6)], dtype=float).T
    yx = np.column_stack([40 * j + 3.0, 40 * i + 100.0])
    dark = outside_frame(i, j, yx, (400, 600))
    assert set(dark[:, 1]) == {-1.0, 0.0}
    dark = outside_frame(i, j, yx + np.array([20.0, 0.0]), (400, 600))
    layer = layers_of(i, j, dark).reshape(8, 6)
    assert layer[0].tolist() == [0] * 6  # the left side is a surface
    assert layer[3].tolist() == [MISSING, MISSING, MISSING, 2, 1, 0]
    assert np.all(layers_of(i, j, outside_frame(i, j, yx, (200, 380))) <= 2)
    shown = outside_frame(i, j, yx + 50.0, (400, 600))
    assert len(shown) == 0


def test_a_cell_cut_by_the_border_is_no_surface():
    i, j = np.array([(u, v) for u in range(5) for v in range(6)], dtype=float).T
    # columns to 10 px from the border: the next cells' centres are shown, their corners are not
    yx = np.column_stack([40 * j + 30, 40 * i + 30])
    shape = (int(yx[:, 0].max()) + 31, int(yx[:, 1].max()) + 31)
    dark = outside_frame(i, j, yx + 22, shape, margin_cells=CELL_MARGIN)
    assert np.all(layers_of(i, j, dark)[i == 4] == MISSING)


def test_cells_of_a_slab_that_fills_the_frame_have_no_layer():
    i, j = np.array([(u, v) for u in range(5) for v in range(5)], dtype=float).T
    yx = np.column_stack([40 * j + 25, 40 * i + 25])
    assert np.all(layers_of(i, j, outside_frame(i, j, yx, (210, 210))) == MISSING)


def plain(value, se):
    n = len(value)
    gradient = sparse.diags_array([np.full(n, se)], offsets=[0], shape=(n, 2 * n)).tocsr()
    return Form(np.asarray(value, float), gradient, sparse.eye_array(2 * n, format="csr"))


def test_absolute_means_are_free_of_what_noise_adds():
    rng = np.random.default_rng(0)
    layer = np.repeat([0, 1, 2], 20_000)
    true = np.array([0.0, 1.0, 6.0])[layer] * np.where(np.arange(60_000) % 2, 1, -1)
    value = true + rng.normal(0, 2.0, 60_000)
    found = []
    for n in range(3):
        here = np.flatnonzero(layer == n)[:4000]
        found += list(absolute_by_layer("abs", plain(value[here], 2.0), layer[here]))
    assert np.abs(value[layer == 1]).mean() > 1.7
    assert [m.mean for m in found] == pytest.approx([0.0, 1.0, 6.0], abs=0.35)
    assert found[2].se == pytest.approx(2.0 / np.sqrt(4000), rel=0.01)


def test_rms_of_a_vector_is_free_of_what_noise_adds():
    rng = np.random.default_rng(1)
    layer = np.zeros(3000, int)
    forms = tuple(plain(rng.normal(c, 1.5, 3000), 1.5) for c in (0.6, -0.8))
    (found,) = rms_by_layer("d", forms, layer)
    assert found.mean == pytest.approx(1.0, abs=4 * found.se)
    assert found.se < 0.05


def test_facets_leave_corners_out_and_see_a_slanting_tilt():
    tables, _ = draw(Dot(cells=(8, 6), tilt=Tilt("gradient", 11.0, 2.0)), SHARP, (1,))
    n = Network.of(tables["columns"])
    layer = layers_of(n.i, n.j)
    found = facets(n.staggered, n.i, n.j, layer)
    side = n.staggered_tilt_deg[(n.i == n.i.min()) & (n.j > n.j.min()) & (n.j < n.j.max())]
    assert found.mean["a_low"] == pytest.approx(side.mean())
    assert found.mean["a_low"] < 3.5 < 9.5 < found.mean["a_high"]
    assert found.anisotropy > 10
    even = [draw(Dot(cells=(8, 6)), NOISE["p05"], (2, k))[0] for k in range(40)]
    networks = [Network.of(t["columns"]) for t in even]
    spread = [facets(n.staggered, n.i, n.j, layer).anisotropy ** 2 for n in networks]
    assert np.mean(spread) == pytest.approx(1.0, abs=0.4)


def test_tiles_keep_groups_apart_and_the_mean_and_its_error():
    tables, _ = draw(Dot(cells=(31, 29)), NOISE["p05"], (3,))
    n = Network.of(tables["columns"])
    layer = layers_of(n.i, n.j)
    core, shell = layer >= 2, layer == 0
    found = tiled(n.staggered, n.i, n.j, core, shell)
    assert 100 < len(found.value) <= 500
    assert not np.any(found.core & found.shell)
    assert np.ptp(found.ij[:, 0]) == pytest.approx(30, abs=1)
    small = tiled(n.staggered.take(shell), n.i[shell], n.j[shell], core[shell], shell[shell])
    assert small.value == pytest.approx(n.staggered_tilt_deg[shell])
    square = core & (n.i // 2 == 1) & (n.j // 2 == -2)
    mean, se = n.staggered.mean(square)
    tile = np.argmin(np.abs(found.value - mean))
    assert found.value[tile] == pytest.approx(mean)
    assert found.covariance[tile, tile] == pytest.approx(se**2)


def complete(tables):
    """Add the rows that the octahedra and cells stages write."""
    network = Network.of(tables["columns"], tables["columns"]["crystal"] == 0)
    cells = Cells.of(network)
    frame = tables["frames"]["frame"][0]
    n, m = len(network), len(cells)
    octahedra = {"frame": np.full(n, frame), "i": network.i, "j": network.j}
    found = {"frame": np.full(m, frame), "i": cells.ij2[:, 0] / 2, "j": cells.ij2[:, 1] / 2}
    found |= {"y_px": cells.centre_yx_px[:, 0], "x_px": cells.centre_yx_px[:, 1]}
    return {
        **tables,
        "octahedra": Table(OCTAHEDRA, {**octahedra, "crystal": np.zeros(n), "domain": np.zeros(n)}),
        "cells": Table(CELLS, {**found, "crystal": np.zeros(m)}),
    }


def rows_of(layers, quantity, frame=0):
    own = (layers["frame"] == frame) & (layers["quantity"] == quantity)
    return layers.take(own)


def test_the_reduction_finds_the_layers_of_a_core_shell_dot():
    dot = Dot(cells=(10, 11), tilt=Tilt("core-shell", 9.0, 2.0))
    tables, truth = draw(dot, SHARP, (4,), sample="made")
    found = Layers()(complete(tables))
    known = truth["truth_sites"]
    order = np.lexsort((known["j"], known["i"]))
    assert np.array_equal(found["octahedra"]["layer"], known["layer"][order])
    assert np.bincount(found["cells"]["layer"]).tolist() == [34, 26, 18, 10, 2]
    row = rows_of(found["layers"], "staggered_tilt_deg")
    true = [known["staggered_tilt_deg"][known["layer"] == n].mean() for n in row["layer"]]
    assert len(row) == 5
    assert np.all(np.abs(row["mean"] - true) < 4 * row["se"])
    assert row["se"].max() < 0.2
    a = rows_of(found["layers"], "a_nm")
    assert np.all(np.abs(a["mean"] - 0.6212) < 4 * a["se"])
    crystal = {name: found["crystals"][name][0] for name in found["crystals"].schema.names}
    assert crystal["core_minus_shell_deg"] == pytest.approx(6.3, abs=0.3)
    assert crystal["p_core_shell"] == pytest.approx(1 / 2000)
    assert crystal["core_tilt_deg"] - crystal["shell_tilt_deg"] == pytest.approx(6.3, abs=0.15)
    assert crystal["facet_a_low_tilt_deg"] == pytest.approx(2.44, abs=0.3)
    assert crystal["inhomogeneity_deg"] == pytest.approx(
        known["staggered_tilt_deg"].std(ddof=1), abs=0.15
    )
    assert set(found["layers"]["sample"]) == {"made"}


def test_antiphase_domains_do_not_cancel():
    tables, truth = draw(Dot(cells=(9, 8), tilt=Tilt(boundary=0.5)), SHARP, (5,))
    tables = complete(tables)
    without = Layers()(tables)["crystals"]["staggered_tilt_deg"][0]
    octahedra = tables["octahedra"]
    domain = (octahedra["i"] > 0.5).astype(int)
    tables["octahedra"] = octahedra.with_columns({"domain": domain})
    aligned = Layers()(tables)["crystals"]["staggered_tilt_deg"][0]
    assert abs(without) < 3
    # sites at the wall hold one X that does not move
    tilt = truth["truth_sites"]["staggered_tilt_deg"]
    assert aligned == pytest.approx(np.abs(tilt).mean(), abs=0.1)


def test_frames_without_a_pixel_size_give_lengths_in_px_and_the_same_tilts():
    tables, _ = draw(Dot(cells=(7, 6)), SHARP, (6,))
    tables = complete(tables)
    with_size = Layers()(tables)["layers"]
    frames = tables["frames"]
    none = {name: np.full(1, np.nan) for name in ("pixel_size_y_nm", "pixel_size_x_nm")}
    found = Layers()({**tables, "frames": frames.with_columns(none)})["layers"]
    assert len(rows_of(found, "a_nm")) == 0
    a = rows_of(found, "a_px")["mean"] * 0.015
    assert a == pytest.approx(rows_of(with_size, "a_nm")["mean"])
    tilts = [rows_of(t, "staggered_tilt_deg")["mean"] for t in (found, with_size)]
    assert tilts[0] == pytest.approx(tilts[1])


def test_columns_on_no_lattice_and_runs_without_crystals_are_no_trouble():
    tables, _ = draw(Dot(cells=(5, 4)), SHARP, (7,))
    tables = complete(tables)
    stray = tables["columns"].take(np.arange(3))
    stray = stray.with_columns({"crystal": np.full(3, -1), "i": np.full(3, np.nan)})
    more = {**tables, "columns": Table.concat([tables["columns"], stray])}
    assert len(Layers()(more)["layers"]) == len(Layers()(tables)["layers"])
    empty = {"columns": COLUMNS, "octahedra": OCTAHEDRA, "cells": CELLS, "crystals": CRYSTALS}
    none = {name: Table.empty(schema) for name, schema in empty.items()}
    found = Layers()({**none, "frames": tables["frames"].take(np.zeros(1, bool))})
    assert {name: len(t) for name, t in found.items()} == dict.fromkeys(Layers.writes, 0)


def test_each_crystal_is_what_it_is_alone():
    parts = [
        complete(draw(Dot(cells=(6, 5 + k)), NOISE["p05"], (8, k), frame=k)[0]) for k in range(3)
    ]
    both = Layers()(together(parts))
    for k, part in enumerate(parts):
        alone = Layers()(part)
        for name in ("p_core_shell", "core_minus_shell_deg", "facet_b_low_tilt_deg"):
            assert both["crystals"][name][k] == pytest.approx(alone["crystals"][name][0])


def test_parameters_that_overlap_are_refused():
    with pytest.raises(RecipeError, match="core_from"):
        Layers(shell_layers=3, core_from=2)
