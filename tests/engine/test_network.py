"""Tilts of a network: what they are, and that their errors are what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from column_tables import dot
from stempede.columns.directions import Grid, mean_lattice
from stempede.columns.network import Network
from stempede.tables import Table


def changed(table, where, **fields):
    """Return a table with fields set in some rows."""
    columns = {}
    for name, value in fields.items():
        columns[name] = table[name].copy()
        columns[name][where] = value
    return table.with_columns(columns)


def at(table, i, j):
    return (table["i"] == i) & (table["j"] == j)


@pytest.mark.parametrize("tilt", [9.0, -4.0, lambda i, j: 5.0])
def test_tilts_of_a_perfect_dot_are_found_at_every_site(tilt):
    made = dot(tilt=tilt)
    network = Network.of(made.columns())
    assert len(network) == 72
    assert (network.n_x == 4).all()
    expected = [made.tilt[i, j] for i, j in zip(network.i, network.j)]
    np.testing.assert_allclose(network.tilt_deg, expected, atol=1e-9)
    np.testing.assert_allclose(network.staggered_tilt_deg, network.tilt_deg * network.parity)


def test_rim_is_measured_against_each_vector_of_its_own():
    """At gamma 97 a quarter turn from a would be seven degrees off b."""
    made = dot((6, 5), 3.0, gamma_deg=97.0)
    network = Network.of(made.columns())
    np.testing.assert_allclose(network.staggered_tilt_deg, 3.0, atol=1e-9)


def test_bent_crystal_follows_its_own_neighbours():
    made = dot((11, 10), 6.0)
    columns = made.columns()
    bend = 2e-5
    y, x = columns["y_px"] - 300, columns["x_px"] - 340
    bent = columns.with_columns(
        {"y_px": columns["y_px"] + bend * x * x, "x_px": columns["x_px"] - 2 * bend * x * y}
    )
    network = Network.of(bent)
    inner = (network.b >= 0).all(axis=1)
    np.testing.assert_allclose(network.staggered_tilt_deg[inner], 6.0, atol=0.02)
    np.testing.assert_allclose(network.staggered_tilt_deg, 6.0, atol=0.35)


@settings(max_examples=20)
@given(turned=st.floats(-44, 44), tilt=st.floats(-14, 14), gamma=st.floats(86, 94))
def test_transposing_turns_the_sign_and_turning_turns_nothing(turned, tilt, gamma):
    made = dot((5, 4), tilt, turned_deg=turned, gamma_deg=gamma)
    columns = made.columns(np.random.default_rng(3))
    network = Network.of(columns)
    swap = {"y_px": "x_px", "x_px": "y_px", "se_y_px": "se_x_px", "se_x_px": "se_y_px"}
    other = Network.of(columns.with_columns({k: columns[v] for k, v in swap.items()}))
    np.testing.assert_allclose(other.tilt_deg, -network.tilt_deg, atol=1e-9)
    np.testing.assert_allclose(other.tilt.se, network.tilt.se, rtol=1e-6)


def test_order_of_columns_and_other_crystals_do_not_matter():
    made = dot((5, 4))
    columns = made.columns(np.random.default_rng(0))
    network = Network.of(columns)
    shuffled = columns.take(np.random.default_rng(1).permutation(len(columns)))
    np.testing.assert_allclose(Network.of(shuffled).tilt_deg, network.tilt_deg, rtol=1e-12)
    both = Table.concat([dot((4, 7)).columns(crystal=0), changed(columns, slice(None), crystal=1)])
    second = Network.of(both, both["crystal"] == 1)
    np.testing.assert_array_equal(second.tilt_deg, network.tilt_deg)
    assert (both["crystal"][second.rows] == 1).all()


def test_of_two_columns_at_one_place_the_clearer_counts():
    columns = dot((4, 3)).columns()
    ghost = changed(columns.take(at(columns, 0, 0)), slice(None), y_px=0.0, significance=1.0)
    network = Network.of(Table.concat([ghost, columns]))
    assert len(network) == 12
    np.testing.assert_allclose(network.staggered_tilt_deg, 9.0, atol=1e-9)


def test_gradient_is_the_derivative():
    columns = dot((4, 5)).columns(np.random.default_rng(5))
    columns = changed(columns, at(columns, 0.5, 0), accepted=False)
    columns = changed(columns, at(columns, 1, 1), state="INFERRED")
    network = Network.of(columns)
    rng = np.random.default_rng(6)
    step = rng.normal(size=(2, len(columns))) * 1e-4
    moved = Network.of(
        columns.with_columns({"y_px": columns["y_px"] + step[0], "x_px": columns["x_px"] + step[1]})
    )
    found = network.gradient @ step[:, network.rows].ravel()
    known = np.isfinite(network.tilt_deg)
    np.testing.assert_allclose((moved.tilt_deg - network.tilt_deg)[known], found[known], atol=1e-6)


def test_unseen_columns_enter_nothing():
    columns = dot().columns()
    columns = changed(columns, at(columns, 0.5, 0), state="INFERRED", y_px=0.0)
    columns = changed(columns, at(columns, 0, 0.5), accepted=False, y_px=0.0)
    columns = changed(columns, at(columns, -2, 1), state="INFERRED", y_px=0.0)
    network = Network.of(columns)
    site = {(i, j): k for k, (i, j) in enumerate(zip(network.i, network.j))}
    assert network.n_x[site[0, 0]] == 2
    assert network.n_x[site[1, 0]] == 3
    assert np.isnan(network.tilt_deg[site[-2, 1]])
    others = np.delete(np.arange(len(network)), site[-2, 1])
    np.testing.assert_allclose(network.staggered_tilt_deg[others], 9.0, atol=1e-6)
    full = Network.of(dot().columns())
    assert network.tilt.se[site[0, 0]] > 1.2 * full.tilt.se[site[0, 0]]


def test_one_x_makes_no_tilt_and_a_lone_site_takes_the_given_vectors():
    columns = dot((1, 1), 7.0).columns()
    alone = Network.of(columns)
    assert alone.n_x.tolist() == [4]
    # the corner cations span the lattice of a single octahedron
    np.testing.assert_allclose(alone.tilt_deg, 7.0, atol=1e-9)
    octahedron = columns.take(columns["species"] != "Cs")
    vectors = np.array([columns["y_px"], columns["x_px"]]).T
    corner = [vectors[at(columns, i, j)][0] for i, j in ((-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5))]
    given_ = np.array([corner[1] - corner[0], corner[2] - corner[0]])
    np.testing.assert_allclose(Network.of(octahedron, vectors_yx_px=given_).tilt_deg, 7.0)
    one = octahedron.take(~(octahedron["species"] == "X") | at(octahedron, 0.5, 0))
    one = Network.of(one, vectors_yx_px=given_)
    assert one.n_x.tolist() == [1]
    assert np.isnan(one.tilt_deg).all()


def test_no_columns_make_an_empty_network():
    network = Network.of(Table.empty(dot((1, 1)).columns().schema))
    assert len(network) == 0
    assert network.tilt_deg.shape == (0,)
    assert network.covariance().shape == (0, 0)


def test_oblong_pixels_do_not_lean_the_octahedra():
    columns = dot((6, 5), 8.0).columns()
    size = np.array([0.013, 0.0155])
    factor = size / np.sqrt(size.prod())
    oblong = columns.with_columns(
        {"y_px": columns["y_px"] / factor[0], "x_px": columns["x_px"] / factor[1]}
    )
    np.testing.assert_allclose(
        Network.of(oblong, pixel_size_yx_nm=size).staggered_tilt_deg, 8.0, atol=1e-9
    )
    assert np.abs(Network.of(oblong).staggered_tilt_deg - 8).max() > 0.02


def test_tilts_are_as_uncertain_as_they_say():
    """A uniform dot at 200 electrons per square Angstrom: 37 dots of 72 sites, cut corners."""
    made = dot()
    rng = np.random.default_rng(11)
    z, means = [], []
    for _ in range(37):
        columns = made.columns(rng)
        columns = changed(columns, rng.random(len(columns)) < 0.03, accepted=False)
        network = Network.of(columns)
        truth = np.array([made.tilt[i, j] for i, j in zip(network.i, network.j)])
        z.append((network.tilt_deg - truth) / network.tilt.se)
        mean, se = network.staggered.mean()
        means.append((mean - 9) / se)
    z = np.concatenate(z)
    z = z[np.isfinite(z)]
    assert len(z) > 2500
    assert 0.94 < (np.abs(z) < 1.96).mean() < 0.96
    assert abs(z.mean()) < 0.06
    assert 1.85 < np.nanmean(network.tilt.se) < 2.4
    # 37 means tell their spread to 12 %; the narrow bounds are held below
    assert 0.7 < np.std(means) < 1.35


def test_mean_of_a_dot_is_as_uncertain_as_it_says():
    """400 small dots: z within 0.93 to 1.07; the scatter of sites over root n is far less."""
    made = dot((5, 4))
    rng = np.random.default_rng(12)
    means, ses, naive = [], [], []
    for _ in range(400):
        staggered = Network.of(made.columns(rng)).staggered
        mean, se = staggered.mean()
        means.append(mean)
        ses.append(se)
        naive.append(np.std(staggered.value) / np.sqrt(20))
    z = (np.array(means) - 9) / ses
    assert 0.93 < z.std() < 1.07
    assert abs(z.mean()) < 0.15
    assert 1.1 < np.std(means) / np.mean(naive) < 1.5


def test_errors_of_neighbours_share_a_quarter():
    network = Network.of(dot((9, 9)).columns())
    covariance = network.staggered.covariance()
    r = covariance / np.sqrt(np.outer(covariance.diagonal(), covariance.diagonal()))
    site = network.find(np.array([0]), np.array([0]))[0]
    assert 0.15 < r[site, network.neighbours[site]].mean() < 0.35


def test_sums_agree_with_covariances():
    form = Network.of(dot((4, 5)).columns(np.random.default_rng(2))).tilt
    weights = np.random.default_rng(3).normal(size=(3, len(form)))
    value, se = form.sums(weights)
    np.testing.assert_allclose(value, weights @ form.value)
    np.testing.assert_allclose(se**2, np.diagonal(form.covariance(weights)))
    np.testing.assert_allclose(form.se**2, np.diagonal(form.covariance()))
    everywhere = np.full((1, len(form)), 1 / len(form))
    np.testing.assert_allclose(form.mean(), np.ravel(form.sums(everywhere)))


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), max_size=30, unique=True))
def test_grid_finds_what_is_there(places):
    grid = Grid(np.array(places, int).reshape(-1, 2))
    asked = np.stack(np.meshgrid(np.arange(-11, 12), np.arange(-11, 12)), axis=-1)
    found = grid.at(asked)
    for place in np.ndindex(found.shape):
        key = tuple(asked[place].tolist())
        assert found[place] == (places.index(key) if key in places else -1)


def test_mean_lattice_wants_columns_that_span_it():
    ij = np.array([[0, 0], [1, 0], [2, 0]], float)
    assert mean_lattice(ij, np.ones(3)) is None
    rows = mean_lattice(np.vstack([ij, [[0, 1]]]), np.ones(4))
    assert rows is not None
    np.testing.assert_allclose(rows @ np.array([3.0, 5, 7, 13]), [3, 2, 10])
