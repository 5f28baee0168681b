"""The octahedra table: bonds, angles, elongation, view, and antiphase domains."""

import numpy as np
import pytest
from test_network import at, changed

from column_tables import CELL_PX, SE_200, batch_of, dot
from stempede.columns.domains import find_domains
from stempede.columns.ellipses import of_halves
from stempede.columns.network import Network
from stempede.columns.octahedra import Octahedra
from stempede.columns.octahedron import octahedra_forms
from stempede.columns.tables import OCTAHEDRA
from stempede.tables import MISSING, Table
from stempede_kernels.gaussian_fit import fit_gaussians


def octahedra_of(columns, pixel_size_nm=(0.015, 0.015), **options):
    tables = Octahedra(**options)(batch_of(columns, pixel_size_nm)).tables
    return tables["octahedra"], tables["crystals"]


def test_perfect_dot_has_the_geometry_it_was_built_with():
    made = dot((7, 6), 9.0, gamma_deg=90.0, ratio=1.0)
    octahedra, crystals = octahedra_of(made.columns())
    assert len(octahedra) == 42
    assert octahedra["complete"].all()
    assert (octahedra["n_x"] == 4).all()
    assert (octahedra["domain"] == 0).all()
    bond = CELL_PX / 2 / np.cos(np.radians(9)) * 0.015
    # what noise adds is taken off: a table without noise lies below by that much
    np.testing.assert_allclose(octahedra["bond_mean_nm"], bond, rtol=5e-3)
    np.testing.assert_allclose(octahedra["pb_x_pb_deg"], 162, atol=1e-6)
    np.testing.assert_allclose(octahedra["turn_deg"], 0, atol=1e-9)
    np.testing.assert_allclose(octahedra["offcentre_y_px"], 0, atol=1e-9)
    assert (octahedra["bond_distortion"] < 0).all()
    assert np.isnan(octahedra["x_elongation_pm"]).all()
    assert crystals["n_octahedra"].tolist() == [42]
    assert crystals["view"].tolist() == ["c+-like"]
    np.testing.assert_allclose(crystals["staggered_tilt_deg"], 9)
    left = {"layer", "x_elongation_pm", "pbx_elongation_pm", "pbx_elongation_angle_deg"}
    left |= {"se_x_elongation_pm", "se_pbx_elongation_pm", "br_fraction", "se_br_fraction"}
    for name in set(OCTAHEDRA.names) - left:
        assert octahedra[name].dtype.kind != "f" or np.isfinite(octahedra[name]).all(), name


def test_distortions_without_noise_are_those_of_the_definition():
    made = dot((5, 4), 0.0, gamma_deg=94.0, ratio=1.06)
    octahedra, _ = octahedra_of(made.columns(se=(1e-6, 1e-6, 1e-6)))
    # bonds of 1 and 1.06, twice each; angles of 94 and 86, twice each
    np.testing.assert_allclose(octahedra["bond_distortion"], (0.03 / 1.03) ** 2, rtol=1e-6)
    np.testing.assert_allclose(octahedra["angle_variance_deg2"], 4 * 4.0**2 / 3, rtol=1e-6)
    np.testing.assert_allclose(octahedra["bond_mean_nm"], 1.03 * CELL_PX / 2 * 0.015, rtol=1e-6)


def test_turn_is_what_the_neighbours_do_not_turn_back():
    """Within the dot all four neighbours count, at its sides only the two that face each other."""
    octahedra, _ = octahedra_of(dot((6, 5), lambda i, j: 5 + i).columns(np.random.default_rng(3)))
    tilt = {
        (i, j): t for i, j, t in zip(octahedra["i"], octahedra["j"], octahedra["tilt_deg"].tolist())
    }
    turn = dict(zip(tilt, octahedra["turn_deg"].tolist()))
    around = [tilt[-1, 0], tilt[1, 0], tilt[0, -1], tilt[0, 1]]
    assert turn[0, 0] == pytest.approx(tilt[0, 0] / 2 + sum(around) / 8)
    assert turn[-3, 0] == pytest.approx(tilt[-3, 0] / 2 + (tilt[-3, -1] + tilt[-3, 1]) / 4)
    assert turn[-3, -2] == pytest.approx(tilt[-3, -2] / 2 + (tilt[-2, -2] + tilt[-3, -1]) / 4)


def test_off_centre_is_seen_as_such():
    columns = dot((5, 5)).columns()
    lead = columns["species"] == "Pb+X"
    octahedra, _ = octahedra_of(changed(columns, lead, y_px=columns["y_px"][lead] + 0.7))
    np.testing.assert_allclose(octahedra["offcentre_y_px"], 0.7)
    np.testing.assert_allclose(octahedra["offcentre_x_px"], 0, atol=1e-9)


def test_what_is_not_known_is_null():
    columns = dot((4, 4)).columns()
    columns = changed(columns, at(columns, 0.5, 0), accepted=False)
    columns = changed(columns, at(columns, -1, -1), state="INFERRED")
    octahedra, crystals = octahedra_of(columns, (None, None))
    assert crystals["n_octahedra"].tolist() == [15]
    unseen = at(octahedra, -1, -1)
    for name in ("tilt_deg", "se_tilt_deg", "staggered_tilt_deg", "turn_deg", "bond_distortion"):
        assert np.isnan(octahedra[name][unseen]).all()
    assert octahedra["domain"][unseen] == MISSING
    three = at(octahedra, 0, 0)
    assert octahedra["n_x"][three] == 3
    assert not octahedra["complete"][three]
    assert np.isfinite(octahedra["tilt_deg"][three]).all()
    assert np.isnan(octahedra["offcentre_y_px"][three]).all()
    assert np.isnan(octahedra["bond_mean_nm"]).all()
    assert np.isfinite(octahedra["pb_y_px"]).all()


def test_two_crystals_and_an_empty_frame_keep_their_keys():
    both = Table.concat(
        [dot((3, 2)).columns(frame=2), dot((2, 2), 5.0).columns(frame=2, crystal=1)]
    )
    octahedra, crystals = octahedra_of(both)
    assert octahedra["crystal"].tolist() == [0] * 6 + [1] * 4
    assert set(octahedra["frame"]) == {2}
    assert crystals["n_octahedra"].tolist() == [6, 4]
    np.testing.assert_allclose(octahedra["staggered_tilt_deg"], [9] * 6 + [5] * 4)
    nothing = both.take(np.zeros(len(both), bool))
    batch = batch_of(both).with_(tables={"columns": nothing})
    assert len(Octahedra()(batch).tables["octahedra"]) == 0


def test_every_error_is_what_it_says():
    made = dot((10, 8))
    rng = np.random.default_rng(21)
    truth = {
        "turn_deg": 0.0,
        "bond_mean_px": (1 + 1.03) / 4 * CELL_PX / np.cos(np.radians(9)),
        "pb_x_pb_deg": 162.0,
        "offcentre_y_px": 0.0,
        "offcentre_x_px": 0.0,
    }
    z = {name: [] for name in truth}
    for _ in range(30):
        network = Network.of(made.columns(rng))
        forms = octahedra_forms(network)
        for name, value in truth.items():
            z[name].append((forms[name].value - value) / forms[name].se)
    for name, parts in z.items():
        values = np.concatenate(parts)
        assert len(values) == 2400
        assert 0.937 < (np.abs(values) < 1.96).mean() < 0.963, name
        assert abs(values.mean()) < 0.08, name


def test_noise_makes_no_distortion():
    made = dot((8, 8), 9.0, gamma_deg=90.0, ratio=1.0)
    rng = np.random.default_rng(4)
    tables = [octahedra_of(made.columns(rng))[0] for _ in range(25)]
    for name in ("bond_distortion", "angle_variance_deg2"):
        values = np.concatenate([t[name] for t in tables])
        assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values) / 2), name
        # the error is that of the worst case near zero, never less than the scatter
        assert values.std() < np.concatenate([t[f"se_{name}"] for t in tables]).mean(), name


def with_widths(columns, rng, *, across=0.0, lead=0.0, electrons=90):
    """Give columns second moments: an astigmatic probe, X across its bond, Pb+X along +y."""
    n = len(columns)
    moment = np.tile(np.array([[9.0, 0.8], [0.8, 7.0]]), (n, 1, 1))  # (y, x)
    # across a bond along a (i is a half) is along b
    angles = {"i": np.radians(23 + 90), "j": np.radians(23)}
    for name, angle in angles.items():
        unit = np.array([np.sin(angle), np.cos(angle)])
        x = (columns["species"] == "X") & (columns[name] % 1 != 0)
        moment[x] += across * np.outer(unit, unit)
    moment[columns["species"] == "Pb+X", 0, 0] += lead
    root = np.linalg.cholesky(moment)
    draws = rng.normal(size=(n, electrons, 2)) @ root.transpose(0, 2, 1)
    measured = np.einsum("nka,nkb->nab", draws, draws) / electrons
    value, vector = np.linalg.eigh(measured)
    angle = np.degrees(np.arctan2(vector[:, 0, 1], vector[:, 1, 1]))
    return columns.with_columns(
        {
            "sigma_major_px": np.sqrt(value[:, 1]),
            "sigma_minor_px": np.sqrt(value[:, 0]),
            "angle_deg": (angle + 90) % 180 - 90,
            "se_y_px": np.sqrt(moment[:, 0, 0] / electrons),
            "se_x_px": np.sqrt(moment[:, 1, 1] / electrons),
            "cov_yx_px2": moment[:, 0, 1] / electrons,
        }
    )


@pytest.mark.parametrize(
    ("tilt", "across", "view"),
    [(8.0, 0.0, "c+-like"), (0.0, 6.0, "a--like"), (0.0, 0.0, "undecided"), (1.0, 6.0, "a--like")],
)
def test_elongation_stands_apart_from_the_probe_and_names_the_view(tilt, across, view):
    rng = np.random.default_rng(8)
    # the Gaussian's excess over halves across ** 0.5 to either side of a probe of 8 px²
    excess = across / (1 - 0.18 * across / 8)
    columns = with_widths(dot((8, 7), tilt, gamma_deg=90.0).columns(), rng, across=excess)
    octahedra, crystals = octahedra_of(columns)
    assert crystals["view"].tolist() == [view]
    square = np.sign(octahedra["x_elongation_pm"]) * octahedra["x_elongation_pm"] ** 2
    expected = across * 15.0**2
    # 127 X columns of 90 electrons: moments to 8 * sqrt(4 / 90) px² each
    assert abs(square.mean() - expected) < 3.5 * 225 * 8 * np.sqrt(4 / 90 / 127)
    off = (octahedra["x_elongation_pm"] - np.sqrt(expected)) / octahedra["se_x_elongation_pm"]
    assert (np.abs(off) < 1.96).mean() > 0.85
    whole, se = crystals["x_elongation_pm"][0], crystals["se_x_elongation_pm"][0]
    assert abs(whole - np.sqrt(expected)) < 3.5 * se
    assert crystals["pbx_elongation_pm"][0] < 3.5 * crystals["se_pbx_elongation_pm"][0]


@pytest.mark.parametrize("spread_px", [1.0, 2.0, 3.0])
def test_a_gaussian_fitted_to_two_halves_gives_their_distance(spread_px):
    sigma, apart = 3.0, 20.7
    y, x = np.indices((71, 73), float)

    def drawn(cy, cx, height):
        return height * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * sigma**2))

    image = 0.2 + drawn(35, 36 - spread_px, 2.5) + drawn(35, 36 + spread_px, 2.5)
    places = [(35.0, 36.0), (35 - apart, 36.0), (35 + apart, 36.0), (35, 36 - apart)]
    for height, place in zip((20.0, 20.0, 6.0, 6.0), [*places[1:], (35, 36 + apart)]):
        image += drawn(*place, height)
    start = np.array([[*p, h, 3, 3, 0, 0.2] for p, h in zip(places, (5.0, 20, 20, 6))])
    start = np.vstack([start, [35, 36 + apart, 6, 3, 3, 0, 0.2]])
    fits = fit_gaussians(image[None].astype(np.float32), np.zeros(5, int), start, window=25)
    along, narrow = fits.parameters[0, 3] ** 2, fits.parameters[0, 4] ** 2
    found, _ = of_halves(np.array([along - narrow]), np.array([0.0]), narrow)
    assert along - narrow > 1.02 * spread_px**2
    assert found[0] == pytest.approx(spread_px**2, rel=0.06)


def test_lead_drawn_out_along_y_says_so():
    rng = np.random.default_rng(9)
    columns = with_widths(dot((8, 7), 3.0, gamma_deg=90.0).columns(), rng, lead=8.0)
    octahedra, crystals = octahedra_of(columns)
    whole, se = crystals["pbx_elongation_pm"][0], crystals["se_pbx_elongation_pm"][0]
    assert abs(whole - 15 * np.sqrt(8)) < 3.5 * se < 5
    assert abs(abs(crystals["pbx_elongation_angle_deg"][0]) - 90) < 3
    assert 36 < np.mean(octahedra["pbx_elongation_pm"]) < 48  # sqrt(8) px
    away = np.abs(np.abs(octahedra["pbx_elongation_angle_deg"]) - 90)
    assert np.median(away) < 15
    still, _ = octahedra_of(with_widths(dot((8, 7), 3.0, gamma_deg=90.0).columns(), rng))
    assert (still["pbx_elongation_pm"] < 2 * still["se_pbx_elongation_pm"]).mean() > 0.9


def walls(tilt, shape, runs, seed):
    rng = np.random.default_rng(seed)
    made = dot(shape, tilt)
    found = [find_domains(Network.of(made.columns(rng, SE_200))) for _ in range(runs)]
    return made, found


@pytest.mark.parametrize("tilt", [0.0, 2.0, 9.0])
def test_uniform_crystal_has_one_domain(tilt):
    _, found = walls(tilt, (10, 10), 120, 31)
    assert sum(len(f.sign) > 1 for f in found) <= 1


def test_core_and_shell_of_one_phase_are_one_domain():
    _, found = walls(
        lambda i, j: 9.0 if max(abs(i + 0.5), abs(j + 0.5)) < 3 else 1.0, (10, 10), 30, 32
    )
    assert all(len(f.sign) == 1 for f in found)


@pytest.mark.parametrize(
    "phase", [lambda i, j: 1 if i < 0 else -1, lambda i, j: 1 if i + j < 0 else -1]
)
def test_wall_is_found_and_each_side_keeps_its_sign(phase):
    made, found = walls(lambda i, j: 8.0 * phase(i, j), (10, 10), 20, 33)
    network = Network.of(made.columns())
    truth = np.sign([made.tilt[i, j] for i, j in zip(network.i, network.j)])
    for domains in found:
        assert len(domains.sign) == 2
        assert np.bincount(domains.label)[0] >= np.bincount(domains.label)[1]
        assert (domains.sense(network) == truth).mean() > 0.97


def test_one_reversed_site_is_no_domain():
    made = dot((9, 9), lambda i, j: -9.0 if (i, j) == (0, 0) else 9.0)
    network = Network.of(made.columns(se=(0.05, 0.05, 0.05)))
    assert len(find_domains(network).sign) == 1
    _, crystals = octahedra_of(made.columns(se=(0.05, 0.05, 0.05)))
    assert crystals["staggered_tilt_deg"] > 7


def test_a_part_that_stands_alone_is_no_domain_of_its_own():
    made = dot((9, 8))
    columns = made.columns(np.random.default_rng(5))
    gap = (columns["species"] == "Pb+X") & (columns["i"] == 2)
    domains = find_domains(Network.of(changed(columns, gap, accepted=False)))
    assert len(domains.sign) == 1
    assert (domains.label == 0).all()


def test_mean_over_domains_does_not_cancel():
    made = dot((10, 9), lambda i, j: 8.0 if i < -1 else -8.0)
    octahedra, crystals = octahedra_of(made.columns(np.random.default_rng(1)))
    assert set(octahedra["domain"]) == {0, 1}
    assert crystals["staggered_tilt_deg"][0] < -6.5
    assert crystals["view"][0] == "c+-like"
