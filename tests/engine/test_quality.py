from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stempede.backend import Backend
from stempede.errors import RecipeError
from stempede.frames import Batch, FrameRecord, frames_table
from stempede.particles.drift import Drift, shift_between
from stempede.preprocess.flags import Flags
from stempede.preprocess.quality import Quality
from stempede.tables import FRAMES, PARTICLES, Table

RNG = np.random.default_rng(5)


def quality(*images: np.ndarray, focus: bool = False) -> Table:
    stack = np.stack(images).astype(np.float32)
    records = tuple(
        FrameRecord(k, f"/f{k}.tif", 0, stack.shape[1:], "uint16") for k in range(len(stack))
    )
    batch = Batch(
        stack,
        records,
        Backend.choose("cpu"),
        maps={"valid": np.ones(stack.shape, bool)},
        tables={"frames": frames_table(records)},
    )
    return Quality(focus=focus)(batch).tables["frames"]


def plain(height: int = 161, width: int = 202) -> np.ndarray:
    return RNG.normal(100, 5, (height, width))


def test_saturated_pixels_are_counted() -> None:
    cut = np.minimum(plain(), 104)
    found = quality(plain(), cut)["saturated_fraction"]
    assert found[0] == pytest.approx(1 / plain().size)
    assert found[1] == pytest.approx((cut == 104).mean())


def test_lines_that_jump_are_streaks_and_particles_are_not() -> None:
    jumping = plain() + RNG.normal(0, 4, (161, 1))
    dotted = plain()
    dotted[40:80, 30:90] += 80
    found = quality(plain(), jumping, dotted)["streaks"]
    assert found[0] == pytest.approx(1, abs=0.35)
    assert found[1] > 3.5
    assert found[2] < 1.5


def test_a_level_that_wanders_is_uneven() -> None:
    y, x = np.mgrid[:161, :202]
    found = quality(plain(), plain() + 0.5 * x + 0.2 * y)["unevenness"]
    assert found[0] < 0.2
    assert found[1] > 3


@given(gain=st.floats(0.1, 50), offset=st.floats(-100, 1000))
def test_gain_and_offset_change_nothing(gain, offset) -> None:
    image = np.random.default_rng(1).normal(100, 5, (97, 130))
    one, other = quality(image), quality(gain * image + offset)
    for name in ("unevenness", "streaks"):
        assert other[name][0] == pytest.approx(one[name][0], rel=0.02)


def test_focus_is_measured_where_asked() -> None:
    assert np.isnan(quality(plain())["focus"][0])
    assert np.isfinite(quality(plain(), focus=True)["focus"][0])


def frames(n: int = 8, **columns) -> Table:
    rows = [
        {
            "frame": k,
            "source": f"/f{k}.tif",
            "page": 0,
            "height_px": 100,
            "width_px": 200,
            "valid_fraction": 1.0,
            "state": "measured",
            "n_particles": 40,
            "n_accepted": 30,
            "scale_px": 10.0,
            "focus": 0.5,
        }
        for k in range(n)
    ]
    return Table.from_rows(FRAMES, rows).with_columns(columns)


def test_each_threshold_gives_its_word() -> None:
    focus = np.full(8, 0.5)
    focus[1] = 0.1
    accepted = np.full(8, 30)
    accepted[2] = 0
    drift = np.full(8, np.nan)
    drift[3] = 30
    found = Flags(drift_px=20, crowding=0.2, most_dose=10)(
        {
            "frames": frames(
                focus=focus,
                n_accepted=accepted,
                drift_y_px=drift,
                drift_x_px=drift,
                n_particles=np.array([40, 40, 40, 40, 90, 40, 40, 40]),
                dose_e_per_A2=np.array([1.0] * 5 + [11.0, 1, 1]),
                streaks=np.array([1.0] * 6 + [30, 1]),
            )
        }
    )["frames"]
    assert found["flags"].tolist() == [
        "",
        "focus",
        "empty",
        "drift",
        "crowded",
        "dose",
        "streaks",
        "",
    ]
    assert found["crowding"][0] == pytest.approx(40 * np.pi / 4 * 100 / 20000)


def test_frames_with_problems_are_not_flagged_and_limits_are_checked() -> None:
    state = np.array(["problem"] * 8, np.dtypes.StringDType())
    made = Flags()({"frames": frames(state=state, n_accepted=np.zeros(8, int))})["frames"]
    assert set(made["flags"].tolist()) == {""}
    with pytest.raises(RecipeError, match="0 asks for none"):
        Flags(streaks=-1)


def particles(*positions: np.ndarray) -> Table:
    rows = [
        {"frame": k, "particle": i, "y_px": y, "x_px": x, "area_px2": 50 + i}
        for k, places in enumerate(positions)
        for i, (y, x) in enumerate(places)
    ]
    return Table.from_rows(PARTICLES, rows)


def test_drift_is_found_between_frames_of_one_place_only() -> None:
    first = RNG.uniform(0, [1000, 1400], (60, 2))
    moved = first + np.array([23.4, -41.2]) + RNG.normal(0, 0.4, first.shape)
    moved[:15] = RNG.uniform(0, [1000, 1400], (15, 2))
    elsewhere = RNG.uniform(0, [1000, 1400], (60, 2))
    found = Drift()({"frames": frames(3), "particles": particles(first, moved, elsewhere)})
    y, x = found["frames"]["drift_y_px"], found["frames"]["drift_x_px"]
    assert np.isnan(y[[0, 2]]).all()
    assert y[1] == pytest.approx(23.4, abs=0.3)
    assert x[1] == pytest.approx(-41.2, abs=0.3)


@given(seed=st.integers(0, 200), n=st.integers(5, 120))
def test_unrelated_frames_have_no_shift(seed, n) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0, [600, 900], (2, n, 2))
    assert np.isnan(shift_between(a, b)).all()
