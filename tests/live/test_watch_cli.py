"""``watch``, ``replay`` and ``resume`` by the command line, and frames sent over HTTP."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from living import events, put

import tiny
from stempede.cli import main
from stempede.errors import InputError
from stempede.io.results import Results
from stempede.live import is_watched
from stempede.live.push import Receiver, send

QUICK = ("--workers", "1", "--quiet-for", "0.1", "--no-page", "--quiet")


def stempede(*arguments) -> int:
    """Run a command; return its exit status."""
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    return int(left.value.code or 0)


@pytest.fixture
def recipe(tmp_path) -> Path:
    """Return the file of the tiny recipe."""
    shutil.copy(tiny.FILES / "tiny_stages.py", tmp_path)
    path = tmp_path / "tiny.toml"
    path.write_text(tiny.RECIPE)
    return path


def when(condition, act) -> threading.Thread:
    """Begin to wait for a condition, and act then; the thread is to be joined."""

    def wait() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if condition():
                act()
                return
            time.sleep(0.02)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def assert_same_run(a: Path, b: Path) -> None:
    one, other = Results(a), Results(b)
    assert one.run["state"] == other.run["state"] == "done"
    assert set(one.tables()) == set(other.tables())
    for name in one.tables():
        tiny.assert_same(one.read(name), other.read(name))


def test_a_replayed_session_is_watched_to_its_end_and_settled(tmp_path, recipe, capsys) -> None:
    session, into, run = tmp_path / "session", tmp_path / "in", tmp_path / "run"
    put(session, *range(7))
    assert stempede("replay", session, "--rate", 50, "--into", into, "--trouble", "all") == 0
    assert "7 frames in" in capsys.readouterr().out
    told = tmp_path / "told.jsonl"
    ends = ("--idle", "0.5", "--events", told, "--stop-when", "mean_size=50%")
    options = ("--recipe", recipe, "--out", run, *QUICK)
    assert stempede("watch", into, *options, *ends) == 0
    assert told.read_bytes() == (run / "live" / "events.jsonl").read_bytes()
    assert len(events(run, "measured")) == 7
    assert not is_watched(run)
    offline = ("--recipe", recipe, "--out", tmp_path / "offline", "--workers", 1, "--quiet")
    assert stempede("run", into, *offline) == 0
    assert_same_run(run, tmp_path / "offline")


def test_a_watch_that_is_interrupted_is_settled_by_resume(tmp_path, recipe, capsys) -> None:
    into, run = tmp_path / "in", tmp_path / "run"
    put(into, *range(5))
    stop = when(
        lambda: len(events(run, "measured")) == 5, lambda: os.kill(os.getpid(), signal.SIGINT)
    )
    assert stempede("watch", into, "--recipe", recipe, "--out", run, *QUICK) == 130
    stop.join()
    assert f"settle it with 'stempede resume {run}'" in capsys.readouterr().err
    assert is_watched(run)
    assert stempede("resume", run, "--quiet") == 0
    offline = ("--recipe", recipe, "--out", tmp_path / "offline", "--workers", 1, "--quiet")
    assert stempede("run", into, *offline) == 0
    assert_same_run(run, tmp_path / "offline")


def test_frames_that_are_sent_are_measured(tmp_path, recipe) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    session, run, said = tiny.session(5), tmp_path / "run", []

    def push() -> None:
        images = ((f"{r.frame}.tif", session.reader(r)) for r in session.records)
        said.extend(send(address, image, name, pixel_size_nm=0.5) for name, image in images)

    sending = when(lambda: (run / "run.json").is_file(), push)
    options = ("--recipe", recipe, "--out", run, "--end-after", 5, *QUICK)
    assert stempede("watch", address, *options) == 0
    sending.join()
    assert said == [201] * 5
    frames = Results(run).read("frames")
    # numbered as they were first seen, which what came before the watch began need not be first
    assert sorted(Path(s).name for s in frames["source"]) == [f"{k}.tif" for k in range(5)]
    np.testing.assert_allclose(frames["pixel_size_nm"], 0.5)
    assert (tmp_path / "run.inbox" / "4.tif").is_file()


def test_an_address_without_a_port_is_refused(tmp_path, recipe, capsys) -> None:
    options = ("--recipe", recipe, "--out", tmp_path / "run", *QUICK)
    assert stempede("watch", "http://127.0.0.1", *options) == 2
    assert "http://127.0.0.1:8900 wanted" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_inbox_takes_a_file_whole_once_and_from_who_may(tmp_path) -> None:
    inbox, image = tmp_path / "in", np.arange(35, dtype=np.uint16).reshape(5, 7)
    with pytest.raises(InputError, match="give --token"):
        Receiver(inbox, "0.0.0.0", 0)
    with Receiver(inbox, "127.0.0.1", 0, "sesame") as receiver:

        def put_image(image, name="a.tif", token="sesame") -> int:
            return send(receiver.address, image, name, token=token)

        assert [put_image(image), put_image(image)] == [201, 200]
        with pytest.raises(InputError, match="409"):
            put_image(image + 1)
        with pytest.raises(InputError, match="401"):
            put_image(image, "b.tif", token="wrong")
        for name in ("../b.tif", ".hidden.tif", "x/y.tif"):
            with pytest.raises(InputError, match="400"):
                put_image(image, name)
        link = http.client.HTTPConnection("127.0.0.1", int(receiver.address.rpartition(":")[2]))
        link.putrequest("PUT", "/frames/half.tif")
        link.putheader("Authorization", "Bearer sesame")
        link.putheader("Content-Length", "1000")
        link.endheaders(b"0" * 400)
        link.sock.shutdown(socket.SHUT_WR)
        assert link.getresponse().status == 400
        link.close()
        assert [p.name for p in inbox.iterdir()] == ["a.tif"]
    with pytest.raises(InputError, match="nobody takes frames"):
        send(receiver.address, image, "c.tif")
