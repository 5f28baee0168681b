from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stempede.errors import InputError
from stempede.live.stopping import (
    LEAST_FRAMES,
    Goal,
    Running,
    judge,
    judge_difference,
    sequence_width,
)


def running(n: int, mean: float = 40.0, sd: float = 4.0, seed: int = 0, statistic="ratio"):
    rng = np.random.default_rng(seed)
    made = Running(statistic)
    for k in range(n):
        x = rng.normal(mean, sd, rng.integers(20, 60))
        sums = (len(x), x.sum(), (x**2).sum())
        made.add(k, sums[: 3 if statistic == "relative_sd" else 2])
    return made


def test_goals_are_read_and_nonsense_is_refused() -> None:
    assert Goal.parse("mean_size=1%") == Goal("mean_size", 0.01)
    assert Goal.parse(" relative_sd = 0.05") == Goal("relative_sd", 0.05)
    assert Goal.parse("group_2=5%").quantity == "group_2"
    assert Goal.parse("core_shell=significant").target is None
    assert Goal.parse("difference=A, B").samples == ("A", "B")
    assert str(Goal.parse("mean_size=1%")) == "mean_size=1%"
    for text in ("mean_size", "mean_size=0", "mean_size=200%", "size=1%", "difference=A"):
        with pytest.raises(InputError, match=r"wanted|wants"):
            Goal.parse(text)


@given(seed=st.integers(0, 50), k=st.integers(0, 29))
def test_a_frame_taken_back_leaves_no_trace(seed, k) -> None:
    made = running(30, seed=seed)
    before = made.estimate()
    made.add(("other", k), (10, 900))
    made.add(("other", k), (10, 900), sign=-1)
    after = made.estimate()
    assert after.value == pytest.approx(before.value)
    # an empty unit counts as one that was looked at
    assert after.se == pytest.approx(before.se, rel=0.05)


@pytest.mark.parametrize(("statistic", "truth"), [("ratio", 40.0), ("relative_sd", 0.1)])
def test_the_error_is_that_between_repeated_sessions(statistic, truth) -> None:
    found = [running(25, seed=s, statistic=statistic).estimate() for s in range(150)]
    values = np.array([e.value for e in found])
    assert values.mean() == pytest.approx(truth, rel=0.01)
    assert np.median([e.se for e in found]) == pytest.approx(values.std(), rel=0.2)


def test_particles_of_one_area_are_not_independent() -> None:
    rng = np.random.default_rng(3)
    alone, together = Running(), Running()
    for k in range(60):
        if k % 6 == 0:
            level = rng.normal(40, 2)
        sums = (50, 50 * rng.normal(level, 0.2))
        alone.add(k, sums)
        together.add(k // 6, sums)
    assert together.estimate().value == pytest.approx(alone.estimate().value)
    assert together.estimate().se > 1.8 * alone.estimate().se


def test_precision_wants_frames_areas_and_a_narrow_interval() -> None:
    goal = Goal("mean_size", 0.01)
    early = judge(goal, running(LEAST_FRAMES - 2, sd=0.1))
    assert (early.enough, early.more_frames) == (False, 2)
    assert judge(goal, running(LEAST_FRAMES, sd=0.1)).enough
    wide = judge(Goal("mean_size", 0.002), running(30))
    assert not wide.enough
    # half the width takes four times the frames, near enough
    narrow = judge(Goal("mean_size", 0.001), running(30))
    assert narrow.more_frames / wide.more_frames == pytest.approx(4, rel=0.15)
    few = judge(goal, running(30, sd=0.1), n_areas=2)
    assert "fewer than 3 areas" in few.caution


def test_the_forecast_is_about_right() -> None:
    goal = Goal("mean_size", 0.004)
    at_30 = judge(goal, running(30))
    n = 30 + at_30.more_frames
    assert judge(goal, running(round(1.4 * n))).enough
    assert not judge(goal, running(round(0.6 * n))).enough


def test_the_sequence_is_as_wide_as_printed_and_costs_what_it_is_said_to() -> None:
    # at the tuned number of units: 3.035 standard errors against 1.96
    assert sequence_width(50) * np.sqrt(50) == pytest.approx(3.035, abs=0.005)
    assert pytest.approx(2.4, abs=0.01) == (3.035 / 1.96) ** 2


def test_significance_leaves_zero_out_for_good() -> None:
    goal = Goal("core_shell", None)
    clear, none = Running(), Running()
    rng = np.random.default_rng(4)
    for k in range(40):
        clear.add(k, (1.0, rng.normal(1.0, 0.8)))
        none.add(k, (1.0, rng.normal(0.0, 0.8)))
    assert judge(goal, clear).enough
    assert not judge(goal, none).enough
    assert judge_difference(
        Goal("difference", None, ("A", "B")), running(40), running(40, mean=42, seed=1)
    ).enough
    assert not judge_difference(
        Goal("difference", None, ("A", "B")), running(40), running(40, seed=1)
    ).enough
