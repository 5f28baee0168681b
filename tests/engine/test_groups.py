"""Groups of shapes: what is found, what is told where nothing can be, and what must not matter."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score

from outlined_groups import drawn, frames_of
from stempede.errors import RecipeError
from stempede.particles.choice_of_k import distances, k_of_gap, silhouette
from stempede.particles.contours import contour
from stempede.particles.feature_sets import features, learn_scale
from stempede.particles.groups import Groups
from stempede.particles.one_or_many import modes, valley
from stempede.particles.partitions import LEARNERS, Centres, learners
from stempede.particles.stability import bootstrap
from stempede.simulate.mixture import Group, load_mixture
from stempede.tables import FRAMES, PARTICLES, Table

QUICK = Groups(compare=False, bootstraps=0, largest_k=5)


@pytest.fixture(scope="module")
def four():
    """Particles of the preset of four shapes, and their true groups."""
    return drawn(load_mixture("four").groups, 800, np.random.default_rng(1))


def run(particles, reduction=QUICK, frames=None):
    return reduction({"frames": frames or frames_of(40), "particles": particles})


def chosen(out):
    (row,) = np.flatnonzero(out["group_scores"]["chosen"])
    return {name: out["group_scores"][name][row] for name in out["group_scores"].schema.names}


def test_known_groups_are_found_and_numbered_by_size(four):
    particles, truth = four
    out = run(particles)
    group = out["particles"]["group"]
    assert adjusted_rand_score(truth, group) > 0.97
    counts = np.bincount(group)
    assert list(counts) == sorted(counts, reverse=True)
    assert (chosen(out)["k"], chosen(out)["k_by"]) == (4, "valleys")
    # one row per group and feature, with shares that add to 1 and intervals around the means
    groups = out["groups"]
    area = groups.take(groups["feature"] == "area_nm2")
    assert area["group"].tolist() == [0, 1, 2, 3]
    assert area["fraction"].sum() == pytest.approx(1)
    assert np.all(area["fraction_ci_low"] < area["fraction"])
    assert np.all((area["ci_low"] < area["mean"]) & (area["mean"] < area["ci_high"]))
    assert area["n"].tolist() == counts.tolist()
    assert np.all(area["quartile_low"] < area["median"])
    assert np.all(area["median"] < area["quartile_high"])
    assert "orientation_deg" not in set(groups["feature"])


def test_without_shape_parameters_the_features_do_and_say_so(four):
    particles, truth = four
    without = {name: np.full(len(particles), np.nan) for name in ("p", "d", "l_ratio")}
    out = run(particles.with_columns(without))
    assert adjusted_rand_score(truth, out["particles"]["group"]) > 0.95
    assert "contour_order" in chosen(out)["missing"]
    assert "contour_order" not in chosen(out)["features"]


def test_a_run_too_small_to_hold_groups_says_so(four):
    particles, _ = four
    for n, said in ((80, "too few to tell groups"), (200, "groups at most")):
        out = chosen(run(particles.take(np.arange(n))))
        m = int(out["n_features"])
        assert said in out["note"]
        assert f"a group wants {6 * m} particles" in out["note"]
        assert out["k"] <= max(n // (6 * m), 1)


def test_a_broad_population_is_one_group():
    particles, _ = drawn(load_mixture("one").groups, 700, np.random.default_rng(2))
    out = run(particles)
    assert set(out["particles"]["group"]) == {0}
    assert chosen(out)["k"] == 1
    assert np.isnan(chosen(out)["silhouette"])
    assert out["groups"]["fraction"].tolist() == [1.0] * len(out["groups"])


def test_every_method_is_scored_on_every_set(four):
    particles, _ = four
    out = run(particles, Groups(bootstraps=2, largest_k=5))
    table = out["group_scores"]
    assert len(table) == 16
    assert table["chosen"].sum() == 1
    tree_only = table["method"] == "hierarchical"
    assert np.isfinite(table["cophenetic"][tree_only]).all()
    assert np.isnan(table["cophenetic"][~tree_only]).all()
    own = table.take(table["feature_set"] == "default")
    assert np.all(own["bootstrap_ari"] > 0.8)
    assert np.all(own["ari_to_chosen"][own["k"] == 4] > 0.9)
    curve = out["group_k"].take(out["group_k"]["feature_set"] == "default")
    k_means = curve.take(curve["method"] == "k-means")
    assert k_means["k"].tolist() == [1, 2, 3, 4, 5]
    assert np.isfinite(k_means["gap"]).all()
    assert np.isfinite(curve["bic"][curve["method"] == "mixture"]).all()
    tree, leaves = out["group_tree"], out["group_leaves"]
    assert len(tree) == len(leaves) - 1 == 799
    assert tree["count"][-1] == 800
    components = out["group_components"]
    first = components.take(components["component"] == 0)
    assert (first["loading"] ** 2).sum() == pytest.approx(1)
    shares = components["share"][components["feature"] == "log area"]
    assert shares.sum() == pytest.approx(1)
    assert np.all(np.diff(shares) <= 0)


@pytest.mark.parametrize("method", ["modes", *LEARNERS])
def test_a_number_of_groups_can_be_given(four, method):
    particles, truth = four
    fixed = Groups(method=method, k=3, compare=False, bootstraps=0)
    out = run(particles, fixed)
    assert set(out["particles"]["group"]) == {0, 1, 2}
    assert chosen(out)["k_by"] == "given"
    assert adjusted_rand_score(truth, out["particles"]["group"]) > 0.5


@pytest.mark.parametrize("method", LEARNERS)
def test_the_published_methods_take_k_by_silhouette(four, method):
    particles, truth = four
    out = run(particles, Groups(method=method, compare=False, bootstraps=0, largest_k=6))
    assert chosen(out)["k_by"] == "silhouette"
    curve = out["group_k"].take(np.isfinite(out["group_k"]["silhouette"]))
    assert curve["k"][np.argmax(curve["silhouette"])] == chosen(out)["k"] >= 3
    assert adjusted_rand_score(truth, out["particles"]["group"]) > 0.7


def test_order_of_rows_and_blocks_of_labelling_do_not_matter(four, monkeypatch):
    particles, _ = four
    whole = run(particles)["particles"]["group"]
    monkeypatch.setattr("stempede.particles.groups._BLOCK", 130)
    assert np.array_equal(run(particles)["particles"]["group"], whole)
    turned = run(particles.take(np.arange(len(particles))[::-1]))["particles"]["group"]
    assert adjusted_rand_score(whole, turned[::-1]) > 0.97


def test_particles_that_do_not_count_have_no_group(four):
    particles, _ = four
    accepted = np.arange(len(particles)) % 5 > 0
    frames = frames_of(40).with_columns(
        {"state": np.array(["problem", *["measured"] * 39], dtype=np.dtypes.StringDType())}
    )
    out = run(particles.with_columns({"accepted": accepted}), frames=frames)["particles"]
    counted = accepted & (particles["frame"] > 0)
    assert np.all(out["group"][~counted] == -1)
    assert np.all(out["group"][counted] >= 0)


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_too_few_particles_are_one_group_in_clear_words(four, n):
    out = run(four[0].take(np.arange(n)))
    said = {0: "no particles", 1: "one particle", 2: "fewer than 20", 7: "fewer than 20"}
    assert said[n] in chosen(out)["note"]
    assert chosen(out)["k_by"] == "one group"
    assert set(out["particles"]["group"]) <= {0}
    assert out["groups"]["n"].max(initial=0) == n


def test_nothing_measured_gives_empty_tables():
    out = run(Table.empty(PARTICLES), Groups(), Table.empty(FRAMES))
    assert all(len(out[name]) == 0 for name in ("particles", "groups", "group_k", "group_tree"))
    assert set(out["group_scores"]["note"]) == {"no particles"}


def test_particles_that_are_all_alike_are_one_group(four):
    alike = four[0].take(np.zeros(60, dtype=int)).with_columns({"particle": np.arange(60)})
    out = run(alike, Groups(bootstraps=2))
    assert set(out["particles"]["group"]) == {0}
    assert "no feature differs" in chosen(out)["note"]


def test_features_that_are_not_numbers_are_left_out_or_count_as_the_mean(four):
    particles, truth = four
    holed = particles["solidity"].copy()
    holed[::7] = np.nan
    missing = {"solidity": holed, "circularity": np.full(len(particles), np.inf)}
    out = run(particles.with_columns(missing))
    assert adjusted_rand_score(truth, out["particles"]["group"]) > 0.9
    assert "circularity" in chosen(out)["missing"]
    nothing = {f.name: np.full(len(particles), np.nan) for f in PARTICLES.fields[9:-4]}
    out = run(particles.with_columns(nothing), Groups(bootstraps=2))
    assert set(out["particles"]["group"]) == {0}
    assert "none is measured" in chosen(out)["note"]


@pytest.mark.parametrize("method", ["modes", "k-means", "mixture", "hierarchical"])
def test_more_groups_than_particles_are_refused_in_clear_words(four, method):
    many = Groups(method=method, k=40, compare=False, bootstraps=0)
    out = run(four[0].take(np.arange(30)), many)
    assert chosen(out)["note"] == "40 groups were asked for, but only 30 particles differ"
    assert set(out["particles"]["group"]) == {0}


def test_parameters_are_checked_all_at_once():
    with pytest.raises(RecipeError, match=r"feature_set is default.*method is modes.*largest_k"):
        Groups(feature_set="all", method="dbscan", largest_k=1)


def test_a_valley_is_seen_between_peaks_and_not_in_a_skewed_peak():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((600, 3)), rng.standard_normal((200, 3)) + np.array([5, 0, 0])
    clear = valley(a, b)
    assert clear.z > 5
    assert clear.depth < 0.3
    skewed = np.exp(rng.standard_normal((900, 3)) * [0.6, 0.2, 0.2])
    cut = skewed[:, 0] > 1.3
    assert valley(skewed[cut], skewed[~cut]).score < 4
    assert valley(a[:1], b).z == 0


@settings(max_examples=3)
@given(st.integers(0, 1000), st.integers(1, 4))
def test_modes_do_not_depend_on_the_axes_of_the_features(seed, k):
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=900)
    # corners of a cube: each pair is apart
    place = 9 * np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]])[truth]
    x = place + rng.standard_normal((900, 3))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    mixing = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    for points in (x, x @ mixing):
        found = modes(points, 6, 0).partition
        assert found.k == k
        assert adjusted_rand_score(truth, found(points)) > 0.99


def test_silhouette_is_that_of_scikit_learn():
    rng = np.random.default_rng(3)
    x, group = rng.standard_normal((70, 4)), rng.integers(5, size=70)
    group[0] = 9
    assert silhouette(distances(x), group) == pytest.approx(silhouette_score(x, group), abs=1e-12)
    assert np.isnan(silhouette(distances(x), np.zeros(70, dtype=int)))


def test_the_gap_rule_takes_the_first_number_that_is_good_enough():
    assert k_of_gap({1: (0.5, 0.1), 2: (0.55, 0.1), 3: (0.9, 0.1)}) == 1
    assert k_of_gap({1: (0.1, 0.01), 2: (0.5, 0.01), 3: (0.5, 0.01)}) == 2


def test_outline_features_are_continuous_at_the_circle_and_blind_to_its_symmetry():
    d = np.arange(1.0, 7.0)
    near = contour(np.full(6, 2.02), d, np.full(6, 1.01))
    circle = contour(np.full(6, 2.0), np.full(6, 2.0), np.ones(6))
    for name, values in near.items():
        scale = 1.0 if name == "contour_amplitude" else 12.0
        assert np.abs(values - circle[name]).max() < 0.15 * scale
    # a triangle is mostly its third harmonic, an ellipse its second
    order = contour(np.array([1.6, 2.0]), np.array([3.0, 2.0]), np.array([1.9, 1.8]))
    assert order["contour_order"] == pytest.approx([3.0, 2.0], abs=0.4)
    assert np.isnan(contour(np.array([np.nan]), np.ones(1), np.ones(1))["contour_order"]).all()


def test_a_circle_about_another_point_is_still_one():
    # to first order eq. 1 with d = 1 is a circle about a point beside its centre
    d, l_ratio = np.array([1.0, 2.0]), np.array([1.08, 1.0])
    egg, circle = contour(np.full(2, 2.0), d, l_ratio)["contour_amplitude"]
    assert egg == pytest.approx(circle, abs=0.02)
    drop = contour(np.full(1, 1.5), np.ones(1), np.full(1, 2.5))["contour_amplitude"]
    assert drop > circle + 0.5


def test_features_that_repeat_another_or_are_constant_are_dropped(four):
    particles, _ = four
    found = features(particles, np.arange(len(particles)), "published")
    assert len(found.names) == 13
    scale = learn_scale(found)
    r = np.corrcoef(scale(found.values).T)
    assert np.abs(r - np.eye(len(r))).max() < 0.96
    assert "perimeter_crofton" in scale.dropped
    alike = particles.with_columns({"circularity": np.ones(len(particles))})
    assert "circularity" in learn_scale(features(alike, np.arange(800), "features")).dropped


def test_lengths_are_in_one_unit_whatever_the_block(four):
    particles, _ = four
    half = particles["area_nm2"].copy()
    half[500:] = np.nan
    some = particles.with_columns({"area_nm2": half})
    first = features(some, np.arange(800), "default")
    assert first.unit == "nm"
    later = features(some, np.arange(650, 700), "default", like=first)
    assert (later.unit, later.names) == ("nm", first.names)
    assert np.isnan(later.values[:, 0]).all()


def test_stability_is_high_for_groups_and_low_for_a_cut_through_one():
    rng = np.random.default_rng(4)
    frame = rng.integers(0, 12, 400)
    apart = rng.standard_normal((400, 2)) + 8 * rng.integers(2, size=(400, 1))
    one = rng.standard_normal((400, 2))

    def learn(x, seed):
        return LEARNERS["k-means"](x, 2, seed)

    def ari(x):
        return bootstrap(x, frame, learn(x, 0)(x), learn, 3, 0)

    assert ari(apart).mean > 0.98
    assert ari(one).least < 0.8
    assert (ari(apart).unit, ari(apart).n, ari(apart).same_k) == ("frame", 3, 1.0)
    few = bootstrap(one, frame % 3, learn(one, 0)(one), learn, 2, 0)
    assert few.unit == "particle"


def test_points_go_to_the_nearest_centre():
    rng = np.random.default_rng(5)
    x, centres = rng.standard_normal((50, 3)), rng.standard_normal((4, 3))
    near = np.linalg.norm(x[:, None] - centres, axis=2).argmin(axis=1)
    assert np.array_equal(Centres(centres)(x), near)


def test_samples_are_grouped_together():
    rng = np.random.default_rng(6)
    discs, cubes = Group("disc", size_nm=11.0), Group("cube", p=9.0, size_nm=13.0)
    mostly_a, _ = drawn((Group("disc", 4, size_nm=11.0), cubes), 300, rng)
    mostly_b, _ = drawn((discs, Group("cube", 4, p=9.0, size_nm=13.0)), 300, rng)
    mostly_b = mostly_b.with_columns({"frame": mostly_b["frame"] + 40})
    frames = Table.concat([frames_of(40, "a"), frames_of(40, "b")])
    frames = frames.with_columns({"frame": np.arange(80)})
    group = run(Table.concat([mostly_a, mostly_b]), frames=frames)["particles"]["group"]
    # the same number is the same shape in both
    share = [np.bincount(group[:300], minlength=2) / 300, np.bincount(group[300:]) / 300]
    assert share[0].tolist() == pytest.approx(share[1][::-1].tolist(), abs=0.1)


def test_k_means_on_a_device_takes_the_starts_of_the_host(monkeypatch):
    """With scikit-learn's estimator in cuML's place: that cuML itself agrees needs a GPU."""
    x = np.random.default_rng(0).normal(size=(300, 4)) + 6 * np.arange(3).repeat(100)[:, None]
    cupy, cuml, cluster = (ModuleType(name) for name in ("cupy", "cuml", "cuml.cluster"))
    cupy.asarray, cluster.KMeans, cuml.__spec__ = np.asarray, KMeans, ModuleSpec("cuml", None)
    for module in (cupy, cuml, cluster):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    assert learners(on_device=False) is LEARNERS
    there = learners(on_device=True)
    assert there["mixture"] is LEARNERS["mixture"]
    found = there["k-means"](x, 3, 0)
    np.testing.assert_array_equal(found.centres, LEARNERS["k-means"](x, 3, 0).centres)
    assert adjusted_rand_score(np.arange(3).repeat(100), found(x)) == 1


@pytest.mark.gpu
def test_cuml_finds_the_groups_that_scikit_learn_finds():
    pytest.importorskip("cuml")
    x = np.random.default_rng(0).normal(size=(3000, 4)) + 6 * np.arange(3).repeat(1000)[:, None]
    found = learners(on_device=True)["k-means"](x, 3, 0)
    assert adjusted_rand_score(LEARNERS["k-means"](x, 3, 0)(x), found(x)) == 1
