import numpy as np
import pytest

from stempede.errors import InputError
from stempede.particles.sensitivity import Sensitivity, chosen_frames, sensitivity
from stempede.tables import FRAMES, PARTICLES, Table


def frames_of(samples):
    n = len(samples)
    return Table(
        FRAMES,
        {
            "frame": np.arange(n),
            "sample": np.array(samples, dtype=np.dtypes.StringDType()),
            "state": np.array(["measured"] * n, dtype=np.dtypes.StringDType()),
        },
    )


def particles_of(frames, sizes):
    x = sizes.ravel()
    return Table(
        PARTICLES,
        {
            "frame": np.repeat(frames["frame"], sizes.shape[1]),
            "major_axis_px": x,
            "accepted": np.ones(len(x), bool),
            "weight": np.ones(len(x)),
        },
    )


def test_a_sample_gets_at_most_twenty_frames_whatever_else_is_there():
    alone = chosen_frames(frames_of(["a"] * 50), seed=3)
    both = chosen_frames(frames_of(["a"] * 50 + ["b"] * 7), seed=3)
    assert len(alone) == 20
    assert np.array_equal(both[both < 50], alone)
    assert np.array_equal(both[both >= 50], np.arange(50, 57))
    assert not np.array_equal(alone, chosen_frames(frames_of(["a"] * 50), seed=4))
    assert len(chosen_frames(frames_of([]), seed=0)) == 0


def test_the_shift_is_paired_over_frames():
    rng = np.random.default_rng(0)
    frames = frames_of(["a"] * 10)
    # frames differ by far more than the thresholds do
    sizes = rng.uniform(20, 60, (10, 1)) + rng.normal(0, 1, (10, 40))
    measured = {
        s: particles_of(frames, sizes * (1.1 - 0.1 * s))
        for s in (1.0, *Sensitivity().scales.values())
    }
    table = sensitivity(measured, frames, "major_axis")
    session = table.take(np.asarray(table["scope"] == "session"))
    assert session["mean_shift"] == pytest.approx([0.01, 0.0, -0.01])
    assert np.all(session["shift_ci_high"] - session["shift_ci_low"] < 1e-9)
    assert list(session["unit"]) == ["px"] * 3
    assert len(table) == 6


def test_too_few_frames_give_a_shift_without_interval():
    frames = frames_of([""] * 3)
    sizes = np.random.default_rng(1).uniform(20, 30, (3, 9))
    table = sensitivity(
        {1.0: particles_of(frames, sizes), 1.1: particles_of(frames, 0.9 * sizes)},
        frames,
        "major_axis",
    )
    assert table["mean_shift"] == pytest.approx([0.0, -0.1])
    assert np.isnan(table["shift_ci_low"]).all()


def test_the_threshold_of_the_run_must_be_there():
    with pytest.raises(InputError, match="scale 1"):
        sensitivity({0.9: Table.empty(PARTICLES)}, frames_of([""]), "major_axis")
