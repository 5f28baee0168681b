"""Ctrl-C, kill -9 and dying workers: nothing that was measured is lost, nothing is half there."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tiny
from stempede.io.results import Results
from stempede.session import RunOptions, Session

N = 16
HERE = RunOptions(workers=1)
SCRIPT = """
import signal, sys, tiny
# a shell that starts jobs in the background has Ctrl-C ignored in all its children
signal.signal(signal.SIGINT, signal.default_int_handler)
from stempede.session import RunOptions, Session
workers, out, sleep = int(sys.argv[1]), sys.argv[2], sys.argv[3]
frames = tiny.session({n}, sleep_s=0.02)
options = RunOptions(device="cpu", workers=workers)
Session(tiny.recipe("find.sleep_s=" + sleep), frames, out, options).run()
"""


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Results:
    return measured(tmp_path_factory.mktemp("reference") / "run", "find.sleep_s=0.02")


def measured(out: Path, *assignments: str, workers: int = 1, n: int = N) -> Results:
    options = RunOptions(device="cpu", workers=workers)
    return Session(tiny.recipe(*assignments), tiny.session(n), out, options).run()


def started(out: Path, workers: int, sleep_s: float = 0.02) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT.format(n=N), str(workers), str(out), str(sleep_s)]
    return subprocess.Popen(
        command, env=tiny.environment(), stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(pattern: str, out: Path, n: int = 1) -> None:
    deadline = time.monotonic() + 30
    while len(list(out.glob(pattern))) < n:
        assert time.monotonic() < deadline, f"{pattern} did not appear"
        time.sleep(0.005)


def assert_same_tables(a: Results, b: Results) -> None:
    for name in ("frames", "particles", "problems", "sizes"):
        tiny.assert_same(a.read(name), b.read(name))


@pytest.mark.parametrize(("seed", "workers"), [(0, 1), (1, 1), (2, 2)])
def test_kill_9_at_any_moment_then_resume(seed: int, workers: int, reference, tmp_path) -> None:
    out = tmp_path / "run"
    process = started(out, workers)
    wait_for("run.json" if workers == 1 else "particles", out)
    time.sleep(random.Random(seed).uniform(0, 0.6))
    process.kill()
    # until the workers are gone too, who hold the other end of the pipe
    process.communicate(timeout=30)
    run = Results(out).run
    assert run["state"] in ("running", "done")
    frames = tiny.session(N)
    for chunk in Results(out).done_chunks():
        assert (out / "particles" / f"part-{chunk:05d}.parquet").is_file()
    results = Session.resume(out, frames=frames, options=HERE).run()
    assert results.run["state"] == "done"
    assert_same_tables(reference, results)
    assert not list(out.rglob(".*"))


def test_kill_9_before_the_run_began_is_no_obstacle(tmp_path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / ".lock").write_text("pid 1 on nowhere")
    (out / "frames.json").write_text("{}")
    (out / ".run.json-ab").write_text("{")
    assert measured(out, n=3).run["state"] == "done"


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_says_how_to_resume(workers: int, reference, tmp_path) -> None:
    out = tmp_path / "run"
    process = started(out, workers, sleep_s=0.1)
    wait_for("frames/part-*.parquet", out)
    # as a terminal does: to the whole process group
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert f"continue with 'stempede resume {out}'" in said
    run = json.loads((out / "run.json").read_text())
    assert (run["state"], run["reduced"]) == ("interrupted", False)
    assert 0 < run["counts"]["frames"] < N
    assert not (out / ".lock").exists()
    assert_same_tables(reference, Session.resume(out, frames=tiny.session(N), options=HERE).run())


def test_a_frame_that_kills_its_worker_is_a_row_and_the_rest_goes_on(tmp_path) -> None:
    whole = measured(tmp_path / "whole", n=9)
    results = measured(tmp_path / "run", "find.kill_on=[4]", workers=2, n=9)
    problems = results.read("problems")
    assert (problems["frame"].tolist(), problems["stage"].tolist()) == ([4], ["worker"])
    assert "died 2 times on it" in problems["reason"][0]
    states = results.read("frames")["state"]
    assert np.flatnonzero(states == "problem").tolist() == [4]
    particles = whole.read("particles")
    tiny.assert_same(particles.take(particles["frame"] != 4), results.read("particles"))
    assert not list(results.path.glob(".chunk-*"))


def test_a_script_without_a_main_guard_starts_once(tmp_path) -> None:
    path = tmp_path / "script.py"
    path.write_text("print('once')\n" + SCRIPT.format(n=4))
    command = [sys.executable, str(path), "2", str(tmp_path / "run"), "0"]
    done = subprocess.run(
        command, env=tiny.environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "once\n"
    assert done.stderr == ""
    assert Results(tmp_path / "run").run["state"] == "done"


def test_signal_of_a_terminal_reaches_no_worker() -> None:
    from stempede.schedule import dask_setup

    before = signal.getsignal(signal.SIGINT)
    try:
        dask_setup(None)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
