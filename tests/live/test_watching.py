from __future__ import annotations

import pytest
from living import Running, assert_as_offline, events, feed, offline, put, watched

import tiny
from stempede.io.journal import Journal
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


def test_the_newest_frame_passes_all_that_wait(tmp_path) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    slow = "tiny.find.sleep_s=0.05"
    put(source, *range(8))
    with Running(watched(source, run, slow, policy="latest-first", idle_s=None)) as running:
        for k, frame in enumerate((8, 9, 10, 11)):
            running.measured(2 + k)
            put(source, frame)
        running.measured(12)
    waiting, passed = set(), 0
    for entry in Journal(run / "live" / "queue.jsonl").read():
        if "took" in entry:
            waiting |= {record["frame"] for record in entry["frames"]}
        elif "chunk" in entry:
            # one frame at a time, the newest of those that are there
            assert entry["frames"] == [max(waiting)]
            waiting -= {max(waiting)}
            passed += bool(waiting)
    assert not waiting
    assert passed > 4
    assert_as_offline(run, offline(source, tmp_path / "offline", slow))


def test_what_is_read_ahead_holds_up_no_newer_frame(tmp_path) -> None:
    queue, pipeline = Queue(tmp_path), Pipeline(tiny.recipe().of_kind("stage"))
    every, newest = (Turn(queue, pipeline, 2, p) for p in ("all", "latest-first"))
    assert [every.room(n) for n in (1, 4, 5, 100)] == [2, 2, 4, 4]
    assert newest.room(100) == 2


@pytest.mark.parametrize(("policy", "first"), [("all", [0]), ("latest-first", [3])])
def test_the_policy_says_which_frame_of_those_that_wait_is_next(tmp_path, policy, first) -> None:
    queue = Queue(tmp_path)
    for record in tiny.session(4, odd=False).records:
        queue.take(Sight(record.source, None, 0.0), [record])
    turn = Turn(queue, Pipeline(tiny.recipe().of_kind("stage")), 2, policy)
    assert turn.next(lambda _: True) == first
    # one that cannot be read yet holds up nothing
    assert turn.next(lambda n: n != first[0]) == ([1] if policy == "all" else [2])
