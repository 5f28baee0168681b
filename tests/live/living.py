"""What the tests of watched runs share: a small session that is fed into a folder."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np

import tiny
from stempede.live import Watch, Watching, resume
from stempede.live.replay import as_tiff, replay, steps
from stempede.recipe import Recipe
from stempede.session import RunOptions, Session
from stempede.tables import MISSING

ONE = RunOptions(device="cpu", workers=1)


def feed(into: Path, n: int, troubles=(), *, rate: float = 60.0, seed: int = 0) -> threading.Thread:
    """Begin to feed n frames into a folder; returns the thread, to be joined."""
    into.mkdir(parents=True, exist_ok=True)
    plan = steps(n, rate, troubles, seed)
    thread = threading.Thread(target=replay, args=(tiny.session(n), into, plan))
    thread.start()
    return thread


def put(into: Path, *frames: int, n: int = 12) -> None:
    """Write some frames of a session of n, whole."""
    into.mkdir(parents=True, exist_ok=True)
    session = tiny.session(n)
    for k in frames:
        record = session.records[k]
        (into / f"frame_{k:05d}.tif").write_bytes(as_tiff(session.reader(record), record))


def watched(
    source: Path, out: Path, *assignments: str, recipe: Recipe | None = None, **how
) -> Watch:
    """Return a quick watch, with the tiny recipe unless another is given."""
    settings = {"quiet_s": 0.08, "poll_s": 0.1, "idle_s": 0.5, "give_up_s": 0.6, **how}
    recipe = recipe or tiny.recipe(*assignments)
    return Watch(str(source), recipe, out, ONE, Watching(**settings))


def offline(source: Path, out: Path, *assignments: str, recipe: Recipe | None = None) -> Session:
    """Return the finished run of a folder."""
    session = Session.open(str(source), recipe or tiny.recipe(*assignments), out, ONE)
    session.run()
    return session


def events(out: Path, kind: str = "") -> list[dict]:
    """Return the events of a run."""
    path = out / "live" / "events.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    found = [json.loads(line) for line in lines]
    return [e for e in found if not kind or e["event"] == kind]


def assert_as_offline(live: Path, other: Session) -> None:
    """Hold a settled run equal to an offline one, rows joined on source and page."""
    results = resume(live)
    assert results.run["state"] == "done"
    assert results.run["prepared"] == other.results.run["prepared"]
    assert set(results.tables()) == set(other.results.tables())
    keys = {}
    for name, run in (("live", results), ("offline", other.results)):
        frames = run.read("frames")
        keys[name] = {
            (s, p): n for s, p, n in zip(frames["source"], frames["page"], frames["frame"].tolist())
        }
    assert set(keys["live"]) == set(keys["offline"])
    number = {n: keys["offline"][key] for key, n in keys["live"].items()} | {MISSING: MISSING}
    for name in results.tables():
        a, b = results.read(name), other.results.read(name)
        if "frame" in a.schema.names:
            renumbered = np.array([number[n] for n in a["frame"].tolist()], np.int64)
            a = a.with_columns({"frame": renumbered})
            if len(list((live / name).glob("part-*"))) > 1:
                # what is written chunk by chunk is read by number
                a = a.take(np.argsort(renumbered, kind="stable"))
        tiny.assert_same(a, b)


class Running:
    """A watch that runs in a thread while the block lasts."""

    def __init__(self, watch: Watch) -> None:
        self.watch, self.stop, self.error = watch, threading.Event(), None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.watch.run(self.stop)
        except Exception as error:  # noqa: BLE001 - told to the test that waits
            self.error = error

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    def until(self, condition, timeout_s: float = 60.0):
        """Return the first true value of a condition."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            assert self.error is None, self.error
            if found := condition():
                return found
            time.sleep(0.02)
        raise AssertionError(f"waited {timeout_s} s; events: {events(self.watch.out)[-12:]}")

    def measured(self, n: int) -> list[int]:
        """Wait until n frames are measured; returns their numbers as they came."""

        def enough() -> list[int]:
            found = [e["frame"] for e in events(self.watch.out, "measured")]
            return found if len(set(found)) >= n else []

        return self.until(enough)

    def event(self, kind: str) -> dict:
        """Wait for an event."""
        return self.until(lambda: events(self.watch.out, kind))[0]
