from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from living import ONE, Running, assert_as_offline, events, offline, put, watched

import tiny
from stempede.errors import InputError, ResultsError
from stempede.io import arriving, journal, tiff
from stempede.io.results import Results
from stempede.live import Watch, Watching, resume
from stempede.live.queue import Queue
from stempede.live.replay import as_tiff
from stempede.live.sources import FolderSource
from stempede.session import Session

KILLED = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from living import watched
watched(Path(sys.argv[1]), Path(sys.argv[2]), "tiny.find.sleep_s=0.1", idle_s=None).run()
"""


def half(source, k: int) -> bytes:
    record = tiny.session(12).records[k]
    content = as_tiff(tiny.session(12).reader(record), record)
    (source / f"frame_{k:05d}.tif").write_bytes(content[: len(content) // 2])
    return content


def test_a_watcher_that_is_killed_goes_on_where_it_was(tmp_path) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    put(source, *range(9))
    script = KILLED.format(path=[p for p in sys.path if p])
    child = subprocess.Popen([sys.executable, "-c", script, str(source), str(run)])
    deadline = time.monotonic() + 120
    try:
        while len(events(run, "measured")) < 2:
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    put(source, 9, 10)
    written = {p: p.stat().st_mtime_ns for p in (run / "frames").glob("part-*")}
    watched(source, run, "tiny.find.sleep_s=0.1").run()
    # what was whole on disk was not touched again
    assert {p: p.stat().st_mtime_ns for p in written} == written
    assert Results(run).read("frames")["frame"].tolist() == list(range(11))
    assert_as_offline(run, offline(source, tmp_path / "offline", "tiny.find.sleep_s=0.1"))


def test_a_file_that_never_completes_is_a_problem_until_it_does(tmp_path) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    put(source, 0, 1, 2)
    content = half(source, 3)
    watched(source, run, idle_s=1.0).run()
    states = dict(zip(*(Results(run).read("frames")[n].tolist() for n in ("frame", "state"))))
    assert states == {0: "measured", 1: "measured", 2: "measured", 3: "problem"}
    (source / "frame_00003.tif").write_bytes(content)
    assert_as_offline(run, offline(source, tmp_path / "offline"))


def test_a_file_is_whole_when_its_writer_closes_it(tmp_path) -> None:
    path = tmp_path / "frame_00000.tif"
    folder = FolderSource(str(tmp_path), {}, quiet_s=1000.0, poll_s=0.0, listen=False)
    content = half(tmp_path, 0)
    folder._hear(str(path), closed=False)
    assert folder.look(()) == []
    with path.open("ab") as file:
        file.write(content[len(content) // 2 :])
        file.flush()
        folder._hear(str(path), closed=False)
        assert folder.look(()) == []
    folder._hear(str(path), closed=True)
    assert [s.key for s in folder.look(())] == [str(path)]


def test_a_file_that_was_closed_empty_is_waited_for(tmp_path) -> None:
    path = tmp_path / "frame_00000.tif"
    folder = FolderSource(str(tmp_path), {}, quiet_s=1000.0, poll_s=0.0, listen=False)
    path.touch()
    folder._hear(str(path), closed=True)
    assert folder.look(()) == []
    half(tmp_path, 0)
    assert folder.look(()) == []


def test_a_file_that_is_gone_before_it_is_read(tmp_path) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    put(source, 0, 1, 2, 5)
    half(source, 4)
    with Running(watched(source, run, idle_s=None, give_up_s=30)) as running:
        running.measured(4)
        (source / "frame_00004.tif").unlink()
        running.until(lambda: events(run, "gone") or events(run, "given up"))
        put(source, 6)
        running.until(lambda: any("00006" in e["source"] for e in events(run, "measured")))
    results = resume(run)
    good = results.read("frames")
    good = good.take(np.asarray(good["state"] == "measured"))
    assert sorted(s[-9:-4] for s in good["source"]) == ["00000", "00001", "00002", "00005", "00006"]


def test_a_file_deleted_in_the_queue_is_a_problem_and_holds_up_nothing(tmp_path) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    # two are taken, and the Prepare waits for a third: nothing has read their pixels for good
    put(source, 0, 1)
    with Running(watched(source, run, idle_s=None, give_up_s=30)) as running:
        running.until(lambda: len(Queue(run)) == 2)
        (source / "frame_00000.tif").unlink()
        put(source, 2, 4, 5)
        running.measured(5)
    (said,) = events(run, "given up")
    assert said["source"].endswith("frame_00000.tif")
    assert said["reason"] == "was deleted before it could be read"
    frames = Results(run).read("frames")
    states = {s[-9:-4]: t for s, t in zip(frames["source"].tolist(), frames["state"].tolist())}
    assert states.pop("00000") == "problem"
    assert set(states) == {"00001", "00002", "00004", "00005"}
    assert set(states.values()) == {"measured"}


def test_a_file_that_may_not_be_read_for_a_while(tmp_path, monkeypatch) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    put(source, 0, 1, 2, 4)
    barred = str(source / "frame_00001.tif")
    read = tiff._open

    def refuse(path):
        if path == barred:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return read(path)

    monkeypatch.setattr(tiff, "_open", refuse)
    with Running(watched(source, run, idle_s=None, give_up_s=300)) as running:
        running.measured(3)
        monkeypatch.undo()
        running.measured(4)
    assert not events(run, "given up")
    assert_as_offline(run, offline(source, tmp_path / "offline"))


def test_a_renamed_file_is_one_frame(tmp_path) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    put(source, 0, 1, 2, 3)
    with Running(watched(source, run, idle_s=None)) as running:
        running.measured(4)
        (source / "frame_00002.tif").rename(source / "other.tif")
        running.event("renamed")
        running.until(lambda: len(events(run, "measured")) == 5)
    assert len(Queue(run)) == 4
    assert_as_offline(run, offline(source, tmp_path / "offline"))


def test_a_rewritten_file_is_measured_again(tmp_path) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    put(source, 0, 1, 2, 3)
    with Running(watched(source, run, idle_s=None)) as running:
        running.measured(4)
        other = tiny.session(12)
        image = other.reader(other.records[8])
        (source / "frame_00001.tif").write_bytes(as_tiff(image, other.records[8]))
        running.event("rewritten")
        running.until(lambda: len(events(run, "measured")) == 5)
    assert_as_offline(run, offline(source, tmp_path / "offline"))


def test_a_folder_that_cannot_be_read_for_a_while(tmp_path, monkeypatch) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    put(source, 0, 1, 2)
    real, lost = os.scandir, [True]

    def scandir(path):
        if lost[0] and str(path) == str(source):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path)

    monkeypatch.setattr(arriving.os, "scandir", scandir)
    with Running(watched(source, run, idle_s=None)) as running:
        assert running.event("unreadable")["reason"] == "Permission denied"
        lost[0] = False
        running.measured(3)
    assert len(events(run, "unreadable")) == 1


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    put(source, 0, 1, 2, 3)
    write, sync, full = Results.write_chunk, os.fsync, {"chunk": 1, "journal": 1}

    def write_chunk(self, *arguments):
        full["chunk"] -= 1
        if full["chunk"] == 0:
            raise ResultsError("cannot write it: the disk is full; free some space")
        write(self, *arguments)

    def fsync(file):
        full["journal"] -= 1
        if full["journal"] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(file)

    monkeypatch.setattr(Results, "write_chunk", write_chunk)
    monkeypatch.setattr(journal.os, "fsync", fsync)
    full["journal"] = 8
    with Running(watched(source, run, idle_s=None)) as running:
        running.measured(4)
    assert any("full" in e["reason"] for e in events(run, "problem"))
    monkeypatch.undo()
    assert_as_offline(run, offline(source, tmp_path / "offline"))


def test_clocks_that_jump_change_nothing(tmp_path, monkeypatch) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    put(source, 0, 1, 2, 3)
    for k, when in enumerate((0, 4e9, 1, 2e9)):
        os.utime(source / f"frame_{k:05d}.tif", (when, when))
    real = time.time
    jumps = iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: real() + (-1) ** next(jumps) * 86_400)
    with Running(watched(source, run, idle_s=None)) as running:
        assert sorted(running.measured(4)) == [0, 1, 2, 3]
    monkeypatch.undo()
    assert_as_offline(run, offline(source, tmp_path / "offline"))


def fill(source) -> None:
    """Put 10,000 files into a folder."""
    put(source, 0)
    first = source / "frame_00000.tif"
    for k in range(1, 10_000):
        os.link(first, source / f"frame_{k:05d}.tif")


def test_results_come_while_ten_thousand_files_are_queued(tmp_path) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    fill(source)
    watched(source, run, frames=3, idle_s=None).run()
    measured = Results(run).read("frames")["frame"].tolist()
    assert measured[:3] == [0, 1, 2]
    # the first were measured before the last were opened
    assert len(Queue(run)) < 10_000


def test_ten_thousand_files_are_listed_once(tmp_path) -> None:
    source = tmp_path / "in"
    fill(source)
    folder = FolderSource(str(source), {}, quiet_s=0.0, poll_s=0.0, listen=False)
    started = time.process_time()
    sights = folder.look(())
    spent = time.process_time() - started
    assert [s.key[-9:-4] for s in sights] == [f"{k:05d}" for k in range(10_000)]
    known = {s.key for s in sights}
    folder._next_poll = 0.0
    started = time.process_time()
    assert folder.look(known) == []
    # what is known costs a directory read
    assert time.process_time() - started < 0.2 * spent


def test_a_journal_cut_off_half_way_is_read_to_there(tmp_path) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    put(source, 0, 1, 2)
    watched(source, run).run()
    path = run / "live" / "queue.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"took": "/half')
    assert len(Queue(run)) == 3
    put(source, 3)
    watched(source, run).run()
    assert len(Queue(run)) == 4
    path.write_bytes(b"damaged\n" + whole)
    with pytest.raises(ResultsError, match="is damaged at byte 0"):
        Queue(run)


def test_what_cannot_be_watched_is_said_and_leaves_nothing(tmp_path) -> None:
    with pytest.raises(InputError, match="make the folder first"):
        Watch(str(tmp_path / "none"), tiny.recipe(), tmp_path / "run", ONE)
    source = tmp_path / "in"
    put(source, 0)
    with pytest.raises(InputError, match="--policy is one of"):
        Watching(policy="random")
    Session.open(str(source), tiny.recipe(), tmp_path / "run", ONE).run()
    with pytest.raises(ResultsError, match="found another"):
        watched(source, tmp_path / "run").run()
    assert Results(tmp_path / "run").run["state"] == "done"


def test_a_watched_run_wants_settling_and_one_watcher(tmp_path) -> None:
    source, run = tmp_path / "in", tmp_path / "run"
    put(source, 0, 1, 2)
    with Running(watched(source, run, idle_s=None)) as running:
        running.measured(3)
        with pytest.raises(ResultsError, match="another process"):
            watched(source, run).run()
        with pytest.raises(ResultsError, match="another process"):
            resume(run)
    with pytest.raises(ResultsError, match="is not settled"):
        Session.resume(run)
    resume(run)
    # more may come after it was settled
    put(source, 3)
    watched(source, run).run()
    assert_as_offline(run, offline(source, tmp_path / "offline"))
