from __future__ import annotations

import pytest
from living import assert_as_offline, events, feed, offline, watched

import tiny
from stempede.live import is_watched
from stempede.live.queue import Queue
from stempede.live.replay import TROUBLES
from stempede.live.sources import Sight
from stempede.live.turn import Turn
from stempede.pipeline import Pipeline


def test_a_watched_folder_gives_the_offline_tables(tmp_path) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    feeding = feed(source, 12)
    watched(source, run).run()
    feeding.join()
    assert is_watched(run)
    assert sorted(e["frame"] for e in events(run, "measured")) == list(range(12))
    assert_as_offline(run, offline(source, tmp_path / "offline"))
    assert not is_watched(run)


@pytest.mark.parametrize("policy", ["all", "latest-first"])
def test_all_troubles_of_a_microscope_at_once(tmp_path, policy) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    feeding = feed(source, 24, TROUBLES, rate=40, seed=3)
    watched(source, run, policy=policy, idle_s=0.8).run()
    feeding.join()
    seen = [e["frame"] for e in events(run, "measured")]
    assert sorted(set(seen)) == list(range(24))
    assert_as_offline(run, offline(source, tmp_path / "offline"))


@pytest.mark.parametrize(("policy", "first"), [("all", [0]), ("latest-first", [3])])
def test_the_policy_says_which_frame_of_those_that_wait_is_next(tmp_path, policy, first) -> None:
    queue = Queue(tmp_path)
    for record in tiny.session(4, odd=False).records:
        queue.take(Sight(record.source, None, 0.0), [record])
    turn = Turn(queue, Pipeline(tiny.recipe().of_kind("stage")), 2, policy)
    assert turn.next(lambda _: True) == first
    # one that cannot be read yet holds up nothing
    assert turn.next(lambda n: n != first[0]) == ([1] if policy == "all" else [2])
