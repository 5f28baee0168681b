"""Many dots: orientation without folding, pooling, and two samples compared."""

import numpy as np
import pytest
from scipy import stats

from accuracy.drawn_columns import NOISE, draw
from stempede.columns.network import Network
from stempede.columns.orientation import contrast_parts, layer_parts, oriented
from stempede.columns.pooling import pool, random_effects, repeats
from stempede.columns.rings import layers_of
from stempede.columns.samples import compare_samples, holm
from stempede.columns.tables import CRYSTALS, LAYERS
from stempede.frames import FrameRecord, frames_table
from stempede.simulate.columns import Dot, Tilt
from stempede.tables import MISSING, Table


def oriented_layer(tilt_deg, shell_deg, seed, number=0):
    tilt = Tilt("core-shell", tilt_deg, shell_deg, layers=2)
    tables, _ = draw(Dot(cells=(8, 7), tilt=tilt), NOISE["p04"], seed)
    n = Network.of(tables["columns"])
    layer = layers_of(n.i, n.j)
    where, core = layer == number, layer >= 2
    return oriented(n.staggered, layer_parts(where, core, n.i <= 0), core)


def test_a_dot_whose_core_is_tilted_is_turned_to_plus():
    for tilt_deg in (8.0, -8.0):
        found = [oriented_layer(tilt_deg, tilt_deg / 2, (1, k))[0] for k in range(12)]
        assert np.mean(found) == pytest.approx(8 / 2 + 0.25 * 8 / 4, abs=0.7)


def test_dots_without_a_tilt_are_not_oriented_and_not_folded():
    found = np.array([oriented_layer(0.0, 0.0, (2, k), k % 3)[0] for k in range(60)])
    assert np.isfinite(found).mean() < 0.08


def test_a_tilted_core_does_not_fold_an_untilted_shell():
    found = [oriented_layer(8.0, -0.53, (3, k)) for k in range(50)]
    z = [value / se for value, se in found]
    assert len(z) == np.isfinite(z).sum()
    # the mean of 22 outermost sites is near zero; its sign must stay free
    assert 0.2 < np.mean(np.array(z) > 0) < 0.8


def test_contrast_parts_add_to_the_difference_of_means_of_halves():
    core = np.array([1, 1, 0, 0, 1, 1, 0, 0], bool)
    half = np.arange(8) < 4
    parts = contrast_parts(core, ~core, half)
    assert sum(parts) == pytest.approx(np.where(core, 0.25, -0.25))
    assert not contrast_parts(core & half, ~core, half)


def test_random_effects_are_the_closed_form_where_errors_are_alike():
    x = np.array([1.0, 2.0, 4.0, 3.0, 2.5])
    found = random_effects(x, np.full(5, 0.1))
    assert found.mean == pytest.approx(2.5)
    assert found.se == pytest.approx(x.std(ddof=1) / np.sqrt(5))
    assert found.spread == pytest.approx(np.sqrt(x.var(ddof=1) - 0.01))
    exact = random_effects(x, np.full(5, 3.0))
    assert (exact.spread, exact.se) == (0.0, pytest.approx(3 / np.sqrt(5)))
    assert random_effects(np.array([np.nan]), np.array([1.0])).n == 0


def layers(values, *, quantity="oriented_tilt_deg", view="c+-like", sample="s", layer=0, first=0):
    n = len(values)
    rows = {"frame": np.arange(first, first + n), "crystal": np.zeros(n)}
    rows |= {name: np.full(n, v) for name, v in (("sample", sample), ("view", view))}
    rows |= {"quantity": np.full(n, quantity), "layer": np.full(n, layer)}
    rows |= {"n_sites": np.full(n, 7), "n_crystals": np.ones(n)}
    return Table(LAYERS, {**rows, "mean": np.asarray(values), "se": np.full(n, 0.5)})


def test_only_dots_of_one_sample_and_view_are_pooled():
    table = Table.concat(
        [layers([1.0, 3.0]), layers([9.0], view="a--like", first=2), layers([5.0], sample="t")]
    )
    found = pool(table)
    assert np.all(found["frame"] == MISSING)
    rows = zip(found["sample"], found["view"], found["n_crystals"], found["mean"], strict=True)
    assert [(*r[:3], round(float(r[3]), 6)) for r in rows] == [
        ("s", "a--like", 1, 9.0),
        ("s", "c+-like", 2, 2.0),
        ("t", "c+-like", 1, 5.0),
    ]
    assert set(found["quantity"]) == {"staggered_tilt_deg"}


def test_values_of_arbitrary_sign_are_pooled_as_squares_without_their_noise():
    rng = np.random.default_rng(0)
    sign = rng.choice([-1.0, 1.0], 4000)
    table = layers(sign * 1.5 + rng.normal(0, 0.5, 4000), quantity="staggered_tilt_deg")
    found = pool(table)
    assert found["quantity"].tolist() == ["squared_tilt_deg2"]
    assert found["mean"][0] == pytest.approx(1.5**2, abs=4 * found["se"][0])
    assert len(pool(layers([1.0, 2.0], quantity="abs_tilt_deg"))) == 0


def test_repeats_of_a_series_count_as_one_dot():
    records = [
        FrameRecord(k, "f", k, (9, 9), "uint16", instrument={"series": "one"} if k < 3 else {})
        for k in range(5)
    ]
    crystals = Table.from_rows(CRYSTALS, [{"frame": k, "crystal": 0} for k in range(5)])
    unit = repeats(frames_table(records), crystals)
    assert len(set(unit.values())) == 1
    found = pool(layers([1.0, 2.0, 3.0, 6.0, 7.0]), unit)
    assert found["n_crystals"][0] == 3
    assert found["mean"][0] == pytest.approx(5.0, abs=0.2)


def test_samples_are_compared_by_dots():
    rng = np.random.default_rng(1)
    a, b = rng.normal(5, 1, 9), rng.normal(7, 2, 6)
    first = Table.concat([layers(a), layers(a + 1, layer=1), layers(a, quantity="abs_tilt_deg")])
    second = Table.concat([layers(b), layers(b, layer=1), layers(b, view="a--like")])
    found = compare_samples(first, second, names=("old", "young"))
    assert found["layer"].tolist() == [0, 1]
    assert set(found["quantity"]) == {"staggered_tilt_deg"}
    textbook = stats.ttest_ind(b, a, equal_var=False)
    assert found["p"][0] == pytest.approx(textbook.pvalue)
    low, high = textbook.confidence_interval()
    assert (found["ci_low"][0], found["ci_high"][0]) == pytest.approx((low, high))
    assert found["n_2"][0] == 6
    assert found["p_holm"][0] == pytest.approx(min(1.0, 2 * found["p"].min()))
    alone = compare_samples(layers([1.0]), layers([2.0, 4.0]))
    assert alone["difference"][0] == pytest.approx(2.0)
    assert np.isnan(alone["p"][0])


def test_holm_steps_down():
    p = np.array([0.01, np.nan, 0.04, 0.03])
    assert holm(p) == pytest.approx([0.03, np.nan, 0.06, 0.06], nan_ok=True)
