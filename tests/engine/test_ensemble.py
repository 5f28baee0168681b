import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stempede.errors import InputError, RecipeError
from stempede.particles.accept import AGGLOMERATED
from stempede.particles.clusters import (
    Sample,
    degrees_of_freedom,
    design_effect,
    fraction,
    icc,
    mean_and_sd,
    moments,
    quantiles,
)
from stempede.particles.curation import apply_exclusions, restored
from stempede.particles.distributions import fit_sizes, qq_points
from stempede.particles.ensemble import Ensemble
from stempede.particles.scopes import scopes
from stempede.tables import FRAMES, PARTICLES, Table


def frames_of(n, **columns):
    start = {
        "frame": np.arange(n),
        "state": np.full(n, "measured", dtype=np.dtypes.StringDType()),
        "height_px": np.full(n, 300),
        "width_px": np.full(n, 400),
        "pixel_size_nm": np.full(n, 0.5),
        "pixel_size_rel_u": np.full(n, 0.02),
        "smallest_px": np.full(n, 6.0),
    }
    return Table(FRAMES, start | columns)


def particles_of(rng, n_frames=12, per_frame=30, **columns):
    n = n_frames * per_frame
    size_px = 40 * np.exp(0.2 * rng.standard_normal(n))
    start = {
        "frame": np.repeat(np.arange(n_frames), per_frame),
        "particle": np.tile(np.arange(per_frame), n_frames),
        "y_px": rng.uniform(0, 300, n),
        "x_px": rng.uniform(0, 400, n),
        "accepted": np.ones(n, bool),
        "weight": 300 * 400 / ((300 - size_px) * (400 - size_px)),
        "area_px2": size_px**2,
    }
    for name, factor in (("major_axis", 1.2), ("equivalent_diameter", 1.0)):
        start[f"{name}_px"], start[f"{name}_nm"] = factor * size_px, 0.5 * factor * size_px
    return Table(PARTICLES, start | columns)


def pick(table, **wanted):
    keep = np.ones(len(table), bool)
    for name, value in wanted.items():
        keep &= np.asarray(table[name] == value)
    (row,) = np.flatnonzero(keep)
    return {name: table[name][row] for name in table.schema.names}


def session_of(particles, frames):
    return Ensemble()({"frames": frames, "particles": particles})


def test_moments_of_equal_weights_are_those_of_numpy():
    rng = np.random.default_rng(0)
    x = rng.lognormal(1.0, 0.4, 300)
    sample = Sample(x, np.ones(300), np.repeat(np.arange(10), 30), 10)
    found = moments(sample)
    assert found["mean"].value == pytest.approx(x.mean())
    assert found["sd"].value == pytest.approx(x.std(ddof=1))
    assert found["relative_sd"].value == pytest.approx(x.std(ddof=1) / x.mean())
    assert found["volume_mean"].value == pytest.approx((x**4).sum() / (x**3).sum())
    assert found["geometric_mean"].value == pytest.approx(np.exp(np.log(x).mean()))
    assert found["geometric_sd"].value == pytest.approx(np.exp(np.log(x).std(ddof=1)))


def test_one_particle_per_unit_gives_the_textbook_interval():
    x = np.random.default_rng(1).normal(10, 2, 25)
    mean = moments(Sample(x, np.ones(25), np.arange(25), 25))["mean"]
    se = x.std(ddof=1) / 5
    assert mean.se == pytest.approx(se, rel=1e-9)
    # the t quantile has n - 1 degrees of freedom
    assert mean.ci_high - x.mean() == pytest.approx(stats.t.ppf(0.975, 24) * se)


def test_mean_of_any_sign_agrees_with_the_mean_of_sizes():
    rng = np.random.default_rng(2)
    x, w, unit = rng.uniform(5, 9, 80), rng.uniform(1, 2, 80), rng.integers(0, 8, 80)
    mean, sd = mean_and_sd(Sample(x, w, unit, 8))
    found = moments(Sample(x, w, unit, 8))
    assert mean.value == pytest.approx(found["mean"].value)
    assert mean.ci_low == pytest.approx(found["mean"].ci_low)
    assert sd == pytest.approx(found["sd"].value)
    shifted, _ = mean_and_sd(Sample(x - 100, w, unit, 8))
    assert shifted.se == pytest.approx(mean.se)


def test_weighted_median_and_quantiles():
    x = np.arange(1.0, 102.0)
    sample = Sample(x, np.ones(101), np.arange(101) % 10, 10)
    low, middle, high = quantiles(sample, (0.25, 0.5, 0.75))
    assert (low.value, middle.value, high.value) == pytest.approx((25.75, 51, 76.25), abs=0.3)
    assert low.ci_low < low.value < low.ci_high
    heavy = Sample(x, np.where(x > 90, 1000.0, 1.0), sample.unit, 10)
    assert quantiles(heavy, (0.5,))[0].value > 90


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 50.0))
def test_statistics_follow_the_unit_of_length(seed, scale):
    rng = np.random.default_rng(seed)
    x, w, unit = rng.lognormal(0, 0.3, 60), rng.uniform(1, 1.3, 60), rng.integers(0, 7, 60)
    one, other = moments(Sample(x, w, unit, 7)), moments(Sample(scale * x, w, unit, 7))
    for name, estimate in one.items():
        factor = 1.0 if name in ("relative_sd", "geometric_sd") else scale
        assert other[name].value == pytest.approx(factor * estimate.value, rel=1e-9)
        assert other[name].ci_low == pytest.approx(factor * estimate.ci_low, rel=1e-6)


def test_particles_of_one_frame_are_not_independent():
    rng = np.random.default_rng(3)
    unit = np.repeat(np.arange(60), 100)
    x = 10 + np.sqrt(0.1) * rng.standard_normal(60)[unit] + np.sqrt(0.9) * rng.standard_normal(6000)
    sample = Sample(x, np.ones(6000), unit, 60)
    found = moments(sample)
    assert icc(sample) == pytest.approx(0.1, abs=0.05)
    effect = design_effect(sample, found["mean"], found["sd"].value)
    assert effect == pytest.approx(1 + 99 * icc(sample), rel=0.1)


def test_degrees_of_freedom_fall_where_few_frames_hold_most():
    unit = np.repeat(np.arange(10), 20)
    x = np.random.default_rng(0).uniform(1, 2, 200)
    assert degrees_of_freedom(Sample(x, np.ones(200), unit, 10)) == pytest.approx(9)
    lopsided = np.repeat(np.arange(10), [110, *[10] * 9])
    assert degrees_of_freedom(Sample(x, np.ones(200), lopsided, 10)) < 4


def test_fraction_is_clipped_and_zero_is_zero():
    sample = Sample(np.ones(50), np.ones(50), np.arange(50) % 6, 6)
    none, all_ = fraction(sample, np.zeros(50)), fraction(sample, np.ones(50))
    assert (none.value, none.ci_low, none.ci_high) == (0, 0, 0)
    assert (all_.value, all_.ci_low, all_.ci_high) == (1, 1, 1)
    half = fraction(sample, np.arange(50) < 25)
    assert 0 <= half.ci_low < 0.5 < half.ci_high <= 1


@pytest.mark.parametrize(
    ("law", "draw"),
    [
        ("normal", lambda r: r.normal(20, 3, 4000)),
        ("lognormal", lambda r: 20 * np.exp(0.35 * r.standard_normal(4000))),
        (
            "lognormal mixture",
            lambda r: np.concatenate(
                [
                    10 * np.exp(0.1 * r.standard_normal(3000)),
                    22 * np.exp(0.15 * r.standard_normal(6000)),
                ]
            ),
        ),
    ],
)
def test_the_true_law_has_the_least_aic(law, draw):
    x = draw(np.random.default_rng(5))
    fits = fit_sizes(x)
    assert fits[0].law == law
    assert fits[0].mean == pytest.approx(x.mean(), rel=0.01)
    assert fits[0].sd == pytest.approx(x.std(), rel=0.03)
    if law == "lognormal mixture":
        assert fits[0].shares == pytest.approx((1 / 3, 2 / 3), abs=0.02)
        assert fits[0].locations == pytest.approx((10, 22), rel=0.02)
    _, theory, measured = qq_points(fits[0], x, np.ones(len(x)))
    assert theory == pytest.approx(measured, rel=0.05)


def test_fits_follow_the_weights():
    rng = np.random.default_rng(6)
    x = rng.lognormal(2, 0.3, 500)
    twice = fit_sizes(np.concatenate([x, x[:200]]))
    weighted = fit_sizes(x, np.where(np.arange(500) < 200, 2.0, 1.0))
    for one, other in zip(
        sorted(twice, key=lambda f: f.law), sorted(weighted, key=lambda f: f.law)
    ):
        assert one.mean == pytest.approx(other.mean, rel=1e-3)


@pytest.mark.parametrize("x", [[], [4.0] * 40, [1.0, 2.0]])
def test_too_few_or_equal_sizes_are_not_fitted(x):
    assert fit_sizes(np.array(x)) == []


def test_headline_and_raw_means_with_their_interval():
    frames, particles = frames_of(12), particles_of(np.random.default_rng(7))
    out = session_of(particles, frames)["ensemble"]
    common = {"scope": "session", "size": "major_axis", "quantity": "mean"}
    row = pick(out, weighting="edge", **common)
    x, w = particles["major_axis_nm"], particles["weight"]
    assert row["value"] == pytest.approx(np.average(x, weights=w))
    assert row["unit"] == "nm"
    assert row["headline"]
    assert row["ci_low"] < row["value"] < row["ci_high"]
    assert (row["n"], row["n_frames"], row["n_units"], row["unit_kind"]) == (360, 12, 12, "frame")
    assert row["u_cal"] == pytest.approx(0.02 * row["value"])
    raw = pick(out, weighting="none", **common)
    assert raw["value"] == pytest.approx(x.mean())
    assert raw["value"] < row["value"]
    spread = pick(out, scope="session", size="major_axis", quantity="relative_sd", weighting="edge")
    assert spread["u_cal"] == 0
    assert spread["unit"] == ""


def test_four_frames_give_no_interval_and_say_so():
    out = session_of(particles_of(np.random.default_rng(8), n_frames=4), frames_of(4))["ensemble"]
    row = pick(out, size="major_axis", quantity="mean", weighting="edge")
    assert np.isnan([row["ci_low"], row["ci_high"], row["se"]]).all()
    assert row["note"] == "CI not available: fewer than 5 frames"


def test_frames_without_particles_are_units_all_the_same():
    frames = frames_of(14)
    out = session_of(particles_of(np.random.default_rng(9), n_frames=12), frames)
    assert (
        pick(out["ensemble"], size="major_axis", quantity="mean", weighting="edge")["n_units"] == 14
    )
    assert len(out["frame_sizes"]) == 14
    assert np.isnan(out["frame_sizes"]["mean"][13])


def test_problem_frames_are_no_units():
    state = np.array(["measured"] * 11 + ["problem"], dtype=np.dtypes.StringDType())
    (session,) = scopes(frames_of(12, state=state))
    assert session.n_units == 11


def test_areas_are_the_units_within_their_sample():
    sample = np.array(["a"] * 6 + ["b"] * 6, dtype=np.dtypes.StringDType())
    area = np.array(["1", "1", "2", "2", "3", ""] * 2, dtype=np.dtypes.StringDType())
    session, first, second = scopes(frames_of(12, sample=sample, area=area))
    assert (session.n_units, first.n_units, second.n_units) == (8, 4, 4)
    assert session.unit_kind == "area"
    assert list(second.frames) == [6, 7, 8, 9, 10, 11]


def test_samples_have_rows_of_their_own():
    sample = np.array(["a"] * 6 + ["b"] * 6, dtype=np.dtypes.StringDType())
    particles = particles_of(np.random.default_rng(10))
    out = session_of(particles, frames_of(12, sample=sample))["ensemble"]
    row = pick(out, sample="b", size="major_axis", quantity="median", weighting="none")
    assert row["value"] == pytest.approx(
        np.median(particles["major_axis_nm"][particles["frame"] >= 6]), rel=1e-3
    )


def test_without_calibration_sizes_are_in_pixels():
    n = 360
    nan = {f"{s}_nm": np.full(n, np.nan) for s in ("major_axis", "equivalent_diameter")}
    out = session_of(particles_of(np.random.default_rng(11), **nan), frames_of(12))["ensemble"]
    row = pick(out, size="major_axis", quantity="mean", weighting="edge")
    assert row["unit"] == "px"
    assert row["value"] == pytest.approx(49, rel=0.05)


def test_clumps_and_small_particles_are_reported():
    reason = np.array([""] * 360, dtype=np.dtypes.StringDType())
    reason[:36] = AGGLOMERATED
    reason[36:40] = "edge"
    small = particles_of(np.random.default_rng(12))
    px = small["equivalent_diameter_px"].copy()
    px[300:310] = 8.0
    particles = small.with_columns(
        {"accepted": reason == "", "reject_reason": reason, "equivalent_diameter_px": px}
    )
    out = session_of(particles, frames_of(12))["ensemble"]
    value = {
        q: v for q, v, s in zip(out["quantity"], out["value"], out["selection"]) if s == "rejected"
    }
    assert value["clump_fraction"] == pytest.approx(36 / 356)
    assert value["rejected: edge"] == 4
    assert value["fraction_below_10_px"] == pytest.approx(10 / 320)
    assert value["smallest_measurable"] == pytest.approx(3.0)
    clump_nm = particles["equivalent_diameter_nm"][:36]
    assert value["clump_size"] == pytest.approx(clump_nm.mean())


def test_an_empty_run_gives_tables_of_no_numbers():
    out = session_of(Table.empty(PARTICLES), frames_of(6))
    assert np.isnan(
        pick(out["ensemble"], size="major_axis", quantity="mean", weighting="edge")["value"]
    )
    assert len(out["size_fits"]) == 0
    nothing = session_of(Table.empty(PARTICLES), Table.empty(FRAMES))
    assert all(len(t) == 0 for t in nothing.values())


def test_unknown_size_measures_are_refused():
    with pytest.raises(RecipeError, match="major_axis"):
        Ensemble(size="diameter")


def test_an_exclusion_list_keeps_both_numbers_and_an_audit():
    particles = particles_of(np.random.default_rng(14))
    reason = particles["reject_reason"].copy()
    reason[5] = "edge"
    particles = particles.with_columns({"accepted": reason == "", "reject_reason": reason})
    rows = [
        {"frame": "0", "particle": "3", "reason": "dirt"},
        {"frame": "0", "particle": "5", "reason": "twin"},
        {"frame": 1, "y0": 0, "x0": 0, "y1": 150, "x1": 400, "reason": "beam damage"},
        {"frame": 2, "particle": "", "reason": ""},
    ]
    curated, audit = apply_exclusions(particles, rows)
    assert curated["reject_reason"][3] == "excluded: dirt"
    assert curated["reject_reason"][5] == "edge"
    upper = (particles["frame"] == 1) & (particles["y_px"] <= 150)
    assert not curated["accepted"][upper].any()
    assert list(audit["n_matched"]) == [1, 1, upper.sum(), 30]
    assert list(audit["n_excluded"]) == [1, 0, upper.sum(), 30]
    out = session_of(curated, frames_of(12))["ensemble"]
    common = {"size": "major_axis", "quantity": "mean", "weighting": "none"}
    assert pick(out, selection="accepted", **common)["n"] == 359 - 31 - upper.sum()
    assert pick(out, selection="before exclusions", **common)["n"] == 359
    # a second list starts from the particles as they were measured
    again, _ = apply_exclusions(curated, rows[:1])
    assert again["accepted"].sum() == 358
    assert np.array_equal(restored(curated)["accepted"], particles["accepted"])


def test_every_wrong_row_of_an_exclusion_list_is_named():
    particles = particles_of(np.random.default_rng(15))
    rows = [{"particle": 3}, {"frame": 0, "particle": 99}, {"frame": "x"}, {"frame": 0, "y0": 3}]
    with pytest.raises(InputError, match=r"row 1.*row 2.*no particle 99.*row 3.*row 4.*region"):
        apply_exclusions(particles, rows)
