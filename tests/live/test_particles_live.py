"""The particles recipe over a session that comes in disorder: as offline, field by field."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from living import assert_as_offline, events, offline, watched

from stempede.cli import main
from stempede.io.results import Results
from stempede.live.queue import Queue
from stempede.live.replay import replay, steps
from stempede.recipe import Recipe
from stempede.stage import door

N = 9
"""One more than Prepare takes."""


def test_watched_particles_are_those_of_a_run(tmp_path) -> None:
    session, source, run = tmp_path / "session", tmp_path / "in", tmp_path / "run"
    options = ["--frames", N, "--size", 256, "--seed", 4, "--set", "mean_size_nm=6", "--quiet"]
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in ["simulate", "particles", "--out", session, *options]])
    assert not left.value.code
    opened = door("open_frames")(str(session / "session.zarr"))
    recipe = Recipe.load("particles").set(
        "particles.sensitivity.most_frames=2",
        "particles.groups.compare=false",
        "particles.groups.bootstraps=0",
        "particles.groups.largest_k=4",
    )
    # frames change places across the eight that Prepare takes
    plan = steps(N, 40, ("disorder", "duplicates", "partial"), seed=5)
    feeding = threading.Thread(target=replay, args=(opened, source, plan))
    source.mkdir()
    feeding.start()
    watched(source, run, recipe=recipe, frames=3, idle_s=None).run()
    watched(source, run, recipe=recipe, idle_s=1.0).run()
    feeding.join()
    assert {e["frame"] for e in events(run, "measured")} == set(range(N))
    assert len(Queue(run)) == N
    other = offline(source, tmp_path / "offline", recipe=recipe)
    assert_as_offline(run, other)
    assert np.isfinite(Results(run).read("particles")["p"]).sum() > 50
