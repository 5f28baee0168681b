"""The services of docker/compose.yml, started as processes on loopback and driven once."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from stempede import Session
from stempede.session import RunOptions

COMPOSE = Path(__file__).parents[2] / "docker" / "compose.yml"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def argv(service: str, port: int) -> list[str]:
    """Return what the service's container would run, at home on this machine."""
    written = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"][service]
    words = [str(word) for word in (*written["entrypoint"], *written["command"])]
    assert words[0] == "dask"
    local = {
        "8786": str(port),
        ":8787": "127.0.0.1:0",
        "tcp://scheduler:8786": f"tcp://127.0.0.1:{port}",
    }
    return [sys.executable, "-m", *(local.get(word, word) for word in words)]


def wait_for(port: int, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"nothing listens on port {port} after {seconds} s")


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    processes = [subprocess.Popen(argv("scheduler", port), env=environment, **quiet)]
    try:
        wait_for(port)
        processes.append(subprocess.Popen(argv("worker", port), env=environment, **quiet))
        yield f"tcp://127.0.0.1:{port}"
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(30)


def test_scheduler_and_worker_measure_a_session(scheduler: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    y, x = np.mgrid[:140, :150]
    for k in range(3):
        disc = np.hypot(y - 60 - k, x - 70) < 20
        image = rng.poisson(np.where(disc, 300, 500)).astype(np.uint16)
        tifffile.imwrite(tmp_path / "images" / f"{k}.tif", image)
    options = RunOptions(scheduler=scheduler)
    session = Session.open(
        tmp_path / "images", recipe="particles", out=tmp_path / "run", options=options
    )
    session.run()
    particles = session.table("particles")
    assert particles["frame"][particles["accepted"]].tolist() == [0, 1, 2]
