"""Run options change no number: chunk of 1 = 7 = 64, one worker = two, resumed = uninterrupted.

Compared bit by bit: every table of a run and every kept map. Not compared: ``run.json``, whose
timings and chunk plan differ by nature, and the bytes of the Parquet parts, whose rows are
grouped by chunk.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tiny
from stempede.io.results import Results
from stempede.session import RunOptions, Session

TABLES = ("frames", "particles", "problems", "sizes")
N = 23


def measured(out: Path, workers: int = 1, broken: tuple[int, ...] = (5,)) -> Results:
    options = RunOptions(device="cpu", workers=workers)
    recipe = tiny.recipe("find.raise_on=[11]")
    return Session(recipe, tiny.session(N, broken=broken), out, options).run()


def assert_same_run(a: Results, b: Results) -> None:
    for name in TABLES:
        tiny.assert_same(a.read(name), b.read(name))
    assert a.maps.frames("labels") == b.maps.frames("labels")
    for frame in a.maps.frames("labels"):
        np.testing.assert_array_equal(a.maps.read("labels", frame), b.maps.read("labels", frame))


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Results:
    return measured(tmp_path_factory.mktemp("reference") / "run")


@pytest.mark.parametrize("size", [1, 7, 64])
def test_chunk_size(size: int, reference, tmp_path, monkeypatch) -> None:
    tiny.plan_chunks_of(size, monkeypatch)
    results = measured(tmp_path / "run")
    assert max(len(c) for c in results.run["chunks"]) == min(size, 18)
    assert_same_run(reference, results)


def test_two_workers(reference, tmp_path) -> None:
    assert_same_run(reference, measured(tmp_path / "run", workers=2))


def test_resumed(reference, tmp_path) -> None:
    class StopError(Exception):
        pass

    def stop(done: int, *_: object) -> None:
        if done > 9:
            raise StopError

    options = RunOptions(device="cpu", workers=1)
    frames = tiny.session(N, broken=(5,))
    session = Session(tiny.recipe("find.raise_on=[11]"), frames, tmp_path / "run", options)
    with pytest.raises(StopError):
        session.run(progress=stop)
    run = Results(tmp_path / "run").run
    assert (run["state"], run["reduced"]) == ("interrupted", False)
    assert 9 < run["counts"]["frames"] < N
    assert_same_run(reference, Session.resume(tmp_path / "run", frames=frames).run())
