"""The shipped particles route gives the same tables however its frames are grouped.

Compared bit by bit: all tables of the run, reductions included, and the label maps. Not
compared: timings. Frames of two shapes alternate, so that no grouping is in frame order.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tiny
from simulated import micrographs
from stempede.io.results import Results
from stempede.session import RunOptions, Session

N = 9


def measured(out: Path, size: int, monkeypatch, workers: int = 1) -> Results:
    tiny.plan_chunks_of(size, monkeypatch, workers)
    options = RunOptions(device="cpu", workers=workers)
    return Session("particles", micrographs(N), out, options).run()


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Results:
    with pytest.MonkeyPatch.context() as patch:
        return measured(tmp_path_factory.mktemp("reference") / "run", 64, patch)


def test_the_route_finds_particles(reference) -> None:
    run = reference.run
    assert run["counts"]["measured"] == N
    assert run["counts"]["accepted"] > 40
    assert len(reference.read("ensemble")) > 0
    assert not len(reference.read("problems"))


@pytest.mark.parametrize(("size", "workers"), [(1, 1), (2, 1), (7, 2)])
def test_grouping_changes_no_number(size, workers, reference, tmp_path, monkeypatch) -> None:
    results = measured(tmp_path / "run", size, monkeypatch, workers)
    assert results.tables() == reference.tables()
    for name in reference.tables():
        tiny.assert_same(reference.read(name), results.read(name))
    for frame in range(N):
        np.testing.assert_array_equal(
            reference.maps.read("labels", frame), results.maps.read("labels", frame)
        )
