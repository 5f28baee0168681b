"""How a watch begins: rehearsed, and with the first frame where the recipe allows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from living import Running, assert_as_offline, events, offline, put, watched

import tiny
from stempede.chunk import Measuring
from stempede.io.results import Results
from stempede.live import is_watched
from stempede.live.provisional import quicker
from stempede.live.rehearsal import drawn, rehearse
from stempede.live.replay import as_tiff
from stempede.recipe import Recipe

COARSE = Recipe.loads(tiny.RECIPE.replace(":Level", ":Coarse"), folder=tiny.FILES)


def order_of(out) -> list[tuple[str, int]]:
    """Return what was measured and when the Prepares were settled."""
    said = [e for e in events(out) if e["event"] in ("measured", "prepared")]
    return [(e["event"], e.get("frame", -1)) for e in said]


def test_the_first_frame_is_measured_alone_where_results_agree(tmp_path) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    put(source, 0)
    with Running(watched(source, run, recipe=COARSE, idle_s=None)) as running:
        running.measured(1)
        assert Results(run).run["prepared"] == {}
        put(source, 1, 2, 4)
        running.measured(4)
    found = order_of(run)
    assert found[0] == ("measured", 0)
    # nothing is measured twice
    assert sorted(found) == [*(("measured", n) for n in range(4)), ("prepared", -1)]
    assert_as_offline(run, offline(source, tmp_path / "offline", recipe=COARSE))


def test_frames_are_measured_again_where_the_first_one_misled(tmp_path) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    put(source, 0)
    record = tiny.session(12).records[0]
    bright = tiny.session(12).reader(record) + np.uint16(600)
    (source / "frame_00000.tif").write_bytes(as_tiff(bright, record))
    with Running(watched(source, run, recipe=COARSE, idle_s=None)) as running:
        running.measured(1)
        put(source, 1, 2)
        running.until(lambda: order_of(run).count(("measured", 0)) == 2)
        running.measured(3)
    assert order_of(run).index(("prepared", -1)) == 1
    assert_as_offline(run, offline(source, tmp_path / "offline", recipe=COARSE))


@pytest.mark.parametrize("watched_again", [False, True])
def test_what_the_first_frame_gave_is_not_kept_when_the_watch_ends(tmp_path, watched_again) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    put(source, 0, 1)
    watched(source, run, recipe=COARSE).run()
    assert is_watched(run)
    assert len(events(run, "measured")) == 2
    if watched_again:
        put(source, 2, 4)
        watched(source, run, recipe=COARSE).run()
        assert sorted(e["frame"] for e in events(run, "measured")) == [0, 0, 1, 1, 2, 3]
    assert_as_offline(run, offline(source, tmp_path / "offline", recipe=COARSE))


def test_a_rehearsal_measures_and_leaves_nothing(tmp_path) -> None:
    seen = []

    class Watched(Measuring):
        def compute(self, chunk, loaded):
            seen.append((super().compute(chunk, loaded), self.run))
            return seen[-1][0]

    work = Watched(str(tmp_path / "run"), tiny.recipe().specs("stage"), {}, "cpu", ("labels",))
    rehearse(work)
    ((summary, folder),) = seen
    assert summary["measured"] == 1
    assert summary["problems"] == 0
    assert not list(tmp_path.iterdir())
    assert not Path(folder).exists()


def test_provisional_groups_are_not_compared_with_others() -> None:
    reductions = {r.name: r for r in Recipe.load("particles").of_kind("reduce")}
    quick = quicker(reductions["particles.groups"])
    assert not quick.compare
    assert quick.bootstraps == 0
    assert quicker(reductions["particles.drift"]) == reductions["particles.drift"]


def test_the_drawn_frame_has_particles() -> None:
    image = drawn()
    assert image.dtype == np.uint16
    assert 0.1 < (image > 1300).mean() < 0.5
