"""The shipped columns route gives the same tables however its frames are grouped.

Compared bit by bit: all tables of the run, reductions included. Not compared: timings.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import tiny
from stempede import open_frames
from stempede.cli import main
from stempede.io.results import Results
from stempede.session import RunOptions, Session

N = 5


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Dots of tilted octahedra, seen at a dose at which the grouping could matter."""
    folder = tmp_path_factory.mktemp("dots")
    options = ["--frames", str(N), "--size", "250", "--dose", "1200", "--seed", "7", "--quiet"]
    changes = [x for given in ("tilt_deg=7", "n_a=4", "n_b=3") for x in ("--set", given)]
    with pytest.raises(SystemExit) as left:
        main(["simulate", "columns", "--out", str(folder), *options, *changes])
    assert not left.value.code
    return open_frames(folder / "session.zarr")


def measured(frames, out: Path, size: int, monkeypatch, workers: int = 1) -> Results:
    tiny.plan_chunks_of(size, monkeypatch, workers)
    return Session("columns", frames, out, RunOptions(device="cpu", workers=workers)).run()


@pytest.fixture(scope="module")
def reference(frames, tmp_path_factory) -> Results:
    with pytest.MonkeyPatch.context() as patch:
        return measured(frames, tmp_path_factory.mktemp("reference") / "run", 64, patch)


def test_the_route_finds_octahedra(reference) -> None:
    assert reference.run["counts"]["measured"] == N
    assert len(reference.read("octahedra")) > 40
    assert len(reference.read("crystals")) == N
    assert not len(reference.read("problems"))


@pytest.mark.parametrize(("size", "workers"), [(1, 1), (2, 2)])
def test_grouping_changes_no_number(
    size, workers, frames, reference, tmp_path, monkeypatch
) -> None:
    results = measured(frames, tmp_path / "run", size, monkeypatch, workers)
    assert results.tables() == reference.tables()
    for name in reference.tables():
        tiny.assert_same(reference.read(name), results.read(name))
