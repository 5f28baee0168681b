"""Chunks onto workers, here and in a cluster; what a chunk computes is no matter."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from stempede import schedule
from stempede.errors import InputError
from stempede.schedule import Standing, run_chunks


@dataclass(frozen=True)
class Task:
    number: int
    tries: int = 0


@dataclass(frozen=True)
class Square:
    """Squares numbers; dies on some of them, the first few times."""

    dies_on: tuple[int, ...] = ()
    survives_after: int = 1
    fails_on: tuple[int, ...] = ()
    read_s: float = 0.0

    def read(self, task: Task) -> int:
        time.sleep(self.read_s)
        return task.number

    def compute(self, task: Task, loaded: int) -> dict[str, Any]:
        if task.number in self.dies_on and task.tries < self.survives_after:
            os.kill(os.getpid(), signal.SIGKILL)
        if task.number in self.fails_on:
            raise ValueError(f"no square of {task.number}")
        time.sleep(self.read_s)
        return {
            "number": loaded,
            "square": loaded**2,
            "tries": task.tries,
            "pid": os.getpid(),
            "threads": os.environ.get("NUMBA_NUM_THREADS", ""),
        }

    def again(self, task: Task) -> Task:
        return replace(task, tries=task.tries + 1)


def squares(work: Square, n: int = 8, **kwargs: Any) -> list[dict[str, Any]]:
    found = list(run_chunks([Task(k) for k in range(n)], work, **kwargs))
    return sorted(found, key=lambda s: s["number"])


def test_one_worker_stays_in_this_process() -> None:
    found = squares(Square(), workers=1)
    assert [s["square"] for s in found] == [k**2 for k in range(8)]
    assert {s["pid"] for s in found} == {os.getpid()}
    assert squares(Square(), n=0, workers=1) == []


def test_the_next_chunk_is_read_while_one_computes() -> None:
    started = time.perf_counter()
    squares(Square(read_s=0.05), n=6, workers=1)
    # one after the other: 6 x 0.1 s
    assert time.perf_counter() - started < 0.5


def test_closing_ends_the_reader() -> None:
    summaries = run_chunks([Task(k) for k in range(9)], Square(read_s=0.01), workers=1)
    next(summaries)
    summaries.close()
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline and any(
        t.name.startswith("stempede-read") for t in threading.enumerate()
    ):
        time.sleep(0.01)
    assert not any(t.name.startswith("stempede-read") for t in threading.enumerate())


def test_a_cluster_survives_a_worker_that_is_killed() -> None:
    found = squares(Square(dies_on=(3,)), workers=2, threads=1)
    assert [s["square"] for s in found] == [k**2 for k in range(8)]
    assert found[3]["tries"] >= 1
    assert os.getpid() not in {s["pid"] for s in found}
    assert {s["threads"] for s in found} == {"1"}


def test_an_error_of_the_work_comes_through() -> None:
    with pytest.raises(ValueError, match="no square of 2"):
        squares(Square(fails_on=(2,)), n=3, workers=1)


def test_a_scheduler_that_is_there_already() -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        protocol="tcp://",
    ) as cluster:
        found = squares(Square(), workers=1, scheduler=cluster.scheduler_address)
    assert [s["square"] for s in found] == [k**2 for k in range(8)]


def test_a_scheduler_that_is_not_there(monkeypatch) -> None:
    monkeypatch.setattr(schedule, "CONNECT_S", 0.5)
    with pytest.raises(InputError, match=r"wanted a Dask scheduler at tcp://127\.0\.0\.1:1, found"):
        squares(Square(), workers=2, scheduler="tcp://127.0.0.1:1")


@dataclass(frozen=True)
class Noted(Square):
    """Says when it computes."""

    notes: list[str] = field(default_factory=list)

    def compute(self, task: Task, loaded: int) -> dict[str, Any]:
        self.notes.append(f"task {task.number}")
        return {}


def test_a_worker_is_warmed_before_its_first_task_whatever_comes_of_it() -> None:
    work, standing = Noted(), Standing[Task](1)

    def warm() -> None:
        work.notes.append("warm")
        raise ValueError("nothing that a task would meet")

    standing.warm(warm)
    standing.submit(Task(3), work)
    assert finished(standing) == [(3, {})]
    standing.close()
    assert work.notes == ["warm", "task 3"]


def finished(standing: Standing[Task]) -> list[tuple[int, Any]]:
    """Wait for all tasks; return their numbers and what came of them."""
    found: list[tuple[int, Any]] = []
    while len(standing):
        found += [(task.number, outcome) for task, outcome in standing.finished()]
        time.sleep(0.01)
    return found


def warmed() -> None:
    """Leave a mark in the process that called it."""
    os.environ["NUMBA_NUM_THREADS"] = "warmed"


def test_every_worker_of_a_cluster_is_warmed() -> None:
    standing = Standing[Task](2)
    standing.warm(warmed)
    for k in range(8):
        standing.submit(Task(k), Square(read_s=0.02))
    summaries = [summary for _, summary in finished(standing)]
    standing.close()
    assert {s["threads"] for s in summaries} == {"warmed"}
    assert len({s["pid"] for s in summaries}) == 2
