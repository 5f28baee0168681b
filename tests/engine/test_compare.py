"""Comparisons: frames as units, groups brought together, labels within one run."""

import csv

import numpy as np
import pytest
from typer.testing import CliRunner

from grouped_runs import write_run
from stempede.cli import app
from stempede.errors import InputError
from stempede.particles.clusters import Estimate
from stempede.report.compare import compare, told, write_comparison
from stempede.report.compare.contrasts import contrasts, describe
from stempede.report.compare.matching import _distances
from stempede.report.compare.sides import Side, number_of
from stempede.report.folder import RunFolder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    return [
        write_run(folder / "a", long_share=0.3, seed=1),
        write_run(folder / "b", long_share=0.7, seed=2),
    ]


@pytest.fixture(scope="module")
def by_batch(runs):
    return compare(runs[:1], ["batch"])


def test_groups_of_two_runs_are_found_together(runs):
    found = compare(runs)
    assert any("jointly over all runs" in s for s in found.said)
    assert len(found.groups) == 2
    shares = [
        next(d.shares[g].value for d in found.described if d.side.name.endswith(name))
        for name, g in ((str(runs[0]), 0), (str(runs[1]), 0))
    ]
    assert abs(shares[0] - shares[1]) == pytest.approx(0.4, abs=0.12)
    row = next(c for c in found.contrasts if c.quantity == "share of group 0")
    assert row.p_holm < 0.01
    assert abs(row.effect) > 0.5


def test_labels_tell_the_truth_apart(by_batch):
    """Batch B is drawn 1.25 times as large; shapes are alike."""
    assert [d.side.name for d in by_batch.described] == ["A", "B"]
    rows = {c.quantity: c for c in by_batch.contrasts}
    mean = rows["mean size"]
    assert mean.values[1] / mean.values[0] == pytest.approx(1.25, abs=0.08)
    assert mean.low < mean.difference < mean.high
    assert mean.p_holm < 0.001
    assert rows["share of group 0"].p > 0.01
    assert "Groups are those of the run" in told(by_batch)


def test_means_are_those_of_all_particles_of_the_label(runs, by_batch):
    run = RunFolder.open(runs[0])
    particles = run.columns("particles")
    keep = particles.flags("accepted") & (particles["frame"] < 6)
    mean = np.average(particles["major_axis_nm"][keep], weights=particles["weight"][keep])
    assert by_batch.described[0].mean.value == pytest.approx(mean)


def test_page_and_files_of_a_trajectory(runs, tmp_path):
    found = compare(runs[:1], ["reaction_time"])
    assert [d.side.name for d in found.described] == ["1 min", "5 min", "20 min"]
    page = write_comparison(found, tmp_path / "out")
    text = page.read_text()
    assert "Trajectory" in text
    figures = {p.stem for p in (tmp_path / "out" / "figures").glob("*.svg")}
    assert {"compare-sizes", "compare-groups", "trajectory-size", "trajectory-groups"} <= figures
    drawn = (tmp_path / "out" / "figures" / "trajectory-size.svg").read_text()
    assert "reaction time, min" in drawn
    assert "mean major axis, nm" in drawn
    with (tmp_path / "out" / "sides.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(r["n_frames"]) for r in rows] == [4, 4, 4]
    assert float(rows[0]["mean"]) == pytest.approx(found.described[0].mean.value)
    # four frames are too few for an interval
    assert rows[0]["mean_ci_low"] == "nan"
    assert "fewer than 5 frames" in text


def test_the_command_line_says_what_it_wants(runs):
    call = CliRunner().invoke
    assert isinstance(call(app, ["compare", str(runs[0])]).exception, InputError)
    shown = call(app, ["compare", str(runs[0]), "--by", "batch"])
    assert shown.exit_code == 0
    assert "mean size" in shown.output
    wrong = call(app, ["compare", str(runs[0]), "--by", "colour"])
    assert "'colour' is none of them" in str(wrong.exception)
    assert "batch, reaction_time" in str(wrong.exception)
    one = call(app, ["compare", str(runs[0]), "--by", "sample"])
    assert "two values or more" in str(one.exception)


def side(name: str, rng: np.random.Generator, n_frames: int = 12, shift: float = 0.0) -> Side:
    """Thirty particles a frame with an effect of the frame."""
    from stempede.particles.scopes import Scope

    frame = np.repeat(np.arange(n_frames), 30)
    size = 10 + shift + rng.normal(0, 0.5, n_frames)[frame] + rng.normal(0, 1, len(frame))
    scope = Scope("session", "", np.arange(n_frames), np.arange(n_frames), "frame")
    group = (rng.random(len(frame)) < 0.3).astype(np.int64)
    return Side(name, {}, scope, frame, size, np.ones(len(frame)), group, "major_axis", "nm")


def test_frames_are_the_units_of_the_tests():
    """Frames that differ by half a particle's spread: a naive test would reject half the time."""
    rng = np.random.default_rng(4)
    found = [contrasts([describe(side(k, rng), [0, 1]) for k in ("a", "b")]) for _ in range(60)]
    p = np.array([[c.p for c in rows] for rows in found])
    assert (p[:, 0] < 0.05).mean() <= 0.14
    assert (p[:, 2] < 0.05).mean() <= 0.14
    assert all(c.p_holm >= c.p for rows in found for c in rows)


def test_swapping_sides_turns_the_signs():
    rng = np.random.default_rng(0)
    one, other = (describe(side(k, rng, shift=s), [0]) for k, s in (("a", 0.0), ("b", 2.0)))
    there, back = contrasts([one, other]), contrasts([other, one])
    assert there[0].difference == pytest.approx(-back[0].difference)
    assert there[0].effect == pytest.approx(-back[0].effect)
    assert there[1].difference == pytest.approx(1 / back[1].difference)
    assert there[0].p == pytest.approx(back[0].p)
    assert isinstance(one.mean, Estimate)


def test_centroids_are_apart_in_their_own_spread():
    first = {0: {"circularity": (0.9, 0.02)}, 1: {"circularity": (0.6, 0.02)}}
    other = {5: {"circularity": (0.61, 0.02)}, 6: {"solidity": (0.9, 0.1)}}
    distance = _distances(first, other)
    assert distance[1, 0] == pytest.approx(0.5)
    assert distance[0, 0] == pytest.approx(14.5)
    assert distance[0, 1] > 1000


@pytest.mark.parametrize(
    ("text", "value"),
    [("30 min", 30.0), ("5s", 5.0), ("1e3", 1000.0), ("B2", None), ("", None), ("0.5", 0.5)],
)
def test_numbers_of_labels(text, value):
    assert number_of(text) == value
