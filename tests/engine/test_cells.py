"""The cells table: edges, angle, area, strain, and their errors; the lattice of each crystal."""

import numpy as np
import pytest
from test_network import at, changed

from column_tables import CELL_PX, batch_of, dot
from stempede.columns.cell import Cells, Lattice, cells_forms
from stempede.columns.cells import CellsStage
from stempede.columns.network import Network
from stempede.columns.tables import CELLS
from stempede.errors import RecipeError

NM = 0.015


def cells_of(columns, pixel_size_nm=(NM, NM), **options):
    tables = CellsStage(**options)(batch_of(columns, pixel_size_nm)).tables
    return tables["cells"], tables["crystals"]


def test_perfect_dot_has_the_cells_it_was_built_with():
    cells, crystals = cells_of(dot((6, 5), gamma_deg=92.0, ratio=1.04).columns())
    assert len(cells) == 20
    assert crystals["n_cells"].tolist() == [20]
    for table in (cells, crystals):
        np.testing.assert_allclose(table["a_nm"], CELL_PX * NM, rtol=1e-3)
        np.testing.assert_allclose(table["b_nm"], 1.04 * CELL_PX * NM, rtol=1e-3)
        np.testing.assert_allclose(table["gamma_deg"], 92, atol=1e-6)
    area = 1.04 * (CELL_PX * NM) ** 2 * np.sin(np.radians(92))
    np.testing.assert_allclose(cells["area_nm2"], area)
    np.testing.assert_allclose(crystals["origin_y_px"], 300)
    np.testing.assert_allclose(crystals["origin_x_px"], 340)
    np.testing.assert_allclose(
        [crystals["a_y_px"][0], crystals["a_x_px"][0]],
        CELL_PX * np.array([np.sin(np.radians(23)), np.cos(np.radians(23))]),
    )
    for name in ("strain_aa", "strain_bb", "strain_ab", "rotation_deg", "cs_offset_y_px"):
        np.testing.assert_allclose(cells[name], 0, atol=1e-9)
    for name in set(CELLS.names) - {"layer"}:
        assert np.isfinite(cells[name]).all(), name


def test_known_strain_and_rotation_come_back():
    """A part of the dot is stretched along a, sheared and turned, by the polar definition."""
    columns = dot((6, 6), 0.0, gamma_deg=90.0, ratio=1.0).columns(se=(1e-6, 1e-6, 1e-6))
    strain = np.array([[0.012, 0.004], [0.004, -0.007]])  # in (along a, a quarter turn on)
    turn, along = np.radians(1.3), np.radians(23)
    basis = np.array([[np.cos(along), np.sin(along)], [-np.sin(along), np.cos(along)]])  # (x, y)
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    gradient = rotate @ basis.T @ (np.eye(2) + strain) @ basis
    xy = np.column_stack([columns["x_px"] - 340, columns["y_px"] - 300]) @ gradient.T
    moved = columns.with_columns({"x_px": xy[:, 0] + 340, "y_px": xy[:, 1] + 300})
    lattice = {"reference_a_nm": CELL_PX * NM, "reference_b_nm": CELL_PX * NM}
    cells, _ = cells_of(moved, **lattice)
    np.testing.assert_allclose(cells["strain_aa"], 0.012, atol=1e-7)
    np.testing.assert_allclose(cells["strain_bb"], -0.007, atol=1e-7)
    np.testing.assert_allclose(cells["strain_ab"], 0.004, atol=1e-7)
    # the given lattice is turned with the crystal
    np.testing.assert_allclose(cells["rotation_deg"], 0, atol=1e-6)
    network = Network.of(moved)
    original = Lattice.of(Network.of(columns))
    against = cells_forms(Cells.of(network), original)
    np.testing.assert_allclose(against["rotation_deg"].value, 1.3, atol=1e-6)
    np.testing.assert_allclose(against["strain_ab"].value, 0.004, atol=1e-7)


def test_mean_strain_against_the_own_lattice_is_zero():
    cells, _ = cells_of(dot((9, 8)).columns(np.random.default_rng(2)))
    for name in ("strain_aa", "strain_bb", "strain_ab"):
        assert abs(cells[name].mean()) < 0.4 * cells[f"se_{name}"].mean()
    given, _ = cells_of(dot((9, 8)).columns(), reference_a_nm=0.62, reference_b_nm=0.65)
    np.testing.assert_allclose(given["strain_aa"], CELL_PX * NM / 0.62 - 1, atol=1e-3)


@pytest.mark.parametrize("size", [(NM, NM), (0.013, 0.0155)])
def test_oblong_pixels_change_no_length(size):
    columns = dot((5, 4), ratio=1.0).columns(np.random.default_rng(1))
    factor = np.array(size) / NM
    square, square_crystal = cells_of(columns)
    seen = columns.with_columns(
        {
            "y_px": columns["y_px"] / factor[0],
            "x_px": columns["x_px"] / factor[1],
            "se_y_px": columns["se_y_px"] / factor[0],
            "se_x_px": columns["se_x_px"] / factor[1],
            "cov_yx_px2": columns["cov_yx_px2"] / factor.prod(),
        }
    )
    cells, crystals = cells_of(seen, size)
    for name in ("a_nm", "b_nm", "gamma_deg", "area_nm2", "strain_ab", "rotation_deg"):
        np.testing.assert_allclose(cells[name], square[name], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(cells[f"se_{name}"], square[f"se_{name}"], rtol=1e-4)
    np.testing.assert_allclose(crystals["a_nm"], square_crystal["a_nm"])
    np.testing.assert_allclose(crystals["a_y_px"] * factor[0], square_crystal["a_y_px"])
    np.testing.assert_allclose(cells["cs_offset_x_px"] * factor[1], square["cs_offset_x_px"])


def test_what_is_not_known_is_null():
    columns = dot((4, 4)).columns()
    columns = changed(columns, at(columns, 0.5, 0.5), accepted=False)
    columns = changed(columns, at(columns, -2, -2), state="INFERRED")
    cells, crystals = cells_of(columns, (None, None))
    assert len(cells) == 8
    bare = at(cells, 0.5, 0.5)
    assert np.isnan(cells["cs_offset_y_px"][bare]).all()
    assert np.isfinite(cells["cs_offset_y_px"][~bare]).all()
    for name in ("a_nm", "se_a_nm", "area_nm2"):
        assert np.isnan(cells[name]).all()
    assert np.isfinite(cells["a_px"]).all()
    assert np.isfinite(crystals["a_px"]).all()
    assert np.isnan(crystals["a_nm"]).all()
    row = dot((5, 1)).columns()
    row = row.take(row["species"] == "Pb+X")
    cells, crystals = cells_of(row)
    assert len(cells) == 0
    assert np.isnan(crystals["a_px"]).all()


def test_mistakes_are_named():
    with pytest.raises(RecipeError, match="reference_a_nm and reference_b_nm"):
        CellsStage(reference_a_nm=0.6)
    with pytest.raises(RecipeError, match="between 0 and 180"):
        CellsStage(reference_gamma_deg=180.0)


def test_every_error_is_what_it_says():
    made = dot((10, 9))
    rng = np.random.default_rng(41)
    a, b, gamma = CELL_PX, 1.03 * CELL_PX, 91.0
    truth = dict.fromkeys(
        ("strain_aa", "strain_bb", "strain_ab", "rotation_deg", "cs_offset_y_px", "cs_offset_x_px"),
        0.0,
    )
    truth |= {"a_px": a, "b_px": b, "gamma_deg": gamma}
    truth |= {"area_px2": a * b * np.sin(np.radians(gamma))}
    z = {name: [] for name in truth}
    for _ in range(36):
        network = Network.of(made.columns(rng))
        forms = cells_forms(Cells.of(network), Lattice.of(network))
        for name, value in truth.items():
            z[name].append((forms[name].value - value) / forms[name].se)
    for name, parts in z.items():
        values = np.concatenate(parts)
        assert len(values) == 2592
        assert 0.937 < (np.abs(values) < 1.96).mean() < 0.963, name
        assert abs(values.mean()) < 0.08, name


def test_lattice_of_a_crystal_is_as_uncertain_as_it_says():
    made = dot((5, 4))
    rng = np.random.default_rng(42)
    z = []
    for _ in range(400):
        forms = Lattice.of(Network.of(made.columns(rng))).forms
        truth = (("a_px", CELL_PX), ("b_px", 1.03 * CELL_PX), ("gamma_deg", 91.0))
        z.append([(forms[name].value[0] - value) / forms[name].se[0] for name, value in truth])
    z = np.array(z)
    assert ((z.std(axis=0) > 0.92) & (z.std(axis=0) < 1.08)).all()
    assert (np.abs(z.mean(axis=0)) < 0.15).all()
