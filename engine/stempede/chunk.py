"""One chunk of frames: read, measured, written by the process that works on it.

Only a small summary travels back. It is also kept in the part that marks the chunk done,
so that a resumed run still knows what its first half took.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from stempede.backend import Backend, Ledger, one_order_of_sums
from stempede.frames import Batch, Frames, Problem
from stempede.pipeline import Outcome, Pipeline, Spec, merged
from stempede.route import items_of
from stempede.series import units
from stempede.stage import door

DEATHS = 2
"""A frame that its worker did not survive this often, alone, is a problem row."""


@dataclass(frozen=True)
class Chunk:
    """A run of frames that is measured and written as one.

    Parameters
    ----------
    number : int
        Number of its parts.
    frames : Frames
        Its records, with the reader.
    careful : bool
        Measure frame by frame, leaving a trace of each: set after a worker died.
    lost : tuple of int
        Frames that are not tried again.
    """

    number: int
    frames: Frames
    careful: bool = False
    lost: tuple[int, ...] = ()


@dataclass(frozen=True)
class Measuring:
    """What a worker does with chunks; small, picklable, the same for every chunk of a run.

    Parameters
    ----------
    run : str
        Run folder.
    specs : tuple
        Stages as (use, folder, parameters).
    prepared : mapping
        Numbers by the name of the Prepare that found them.
    device : str
        ``cpu`` or ``gpu``.
    keep : tuple of str
        Maps and internal tables to write.
    """

    run: str
    specs: tuple[Spec, ...]
    prepared: Mapping[str, Mapping[str, Any]]
    device: str
    keep: tuple[str, ...] = ()

    def read(self, chunk: Chunk) -> tuple[Batch | None, float]:
        """Read a chunk, ahead of its turn; a careful chunk is read when it is measured."""
        if chunk.careful:
            return None, 0.0
        started = time.perf_counter()
        return self._batch(chunk), time.perf_counter() - started

    def compute(self, chunk: Chunk, loaded: tuple[Batch | None, float]) -> dict[str, Any]:
        """Measure a chunk, write its parts, return its summary."""
        batch, seconds = loaded
        with one_order_of_sums():
            if batch is None:
                outcome, ledger = self._carefully(chunk)
            else:
                outcome = self._pipeline.measure(chunk.frames, batch, self.keep)
                ledger = batch.backend.ledger
        results = door("results")(self.run)
        started = time.perf_counter()
        for name, maps in outcome.maps.items():
            results.maps.write(name, outcome.frames.tolist(), maps, outcome.pixel_size_nm)
        spent = {"read": seconds, **outcome.timings_s, "maps": time.perf_counter() - started}
        summary = {**_summary(chunk, outcome, ledger), "timings": spent}
        results.write_chunk(chunk.number, outcome.tables, summary)
        self._trace(chunk).unlink(missing_ok=True)
        return summary

    def again(self, chunk: Chunk) -> Chunk:
        """Return what to try after the worker of a chunk died: its frames one by one.

        The frame (or series) that was being measured alone when that happened is counted;
        it is given up after ``DEATHS``.
        """
        trace = self._trace(chunk)
        if not trace.is_file():
            return replace(chunk, careful=True)
        deaths = json.loads(trace.read_text(encoding="utf-8"))
        lost = tuple(int(k) for k, n in deaths.items() if n >= DEATHS)
        return replace(chunk, careful=True, lost=tuple(dict.fromkeys(chunk.lost + lost)))

    @property
    def _pipeline(self) -> Pipeline:
        return _pipeline(json.dumps(self.specs))

    def _batch(self, chunk: Chunk) -> Batch:
        backend = replace(_backend(self.device), ledger=Ledger())
        numbers = [r.frame for r in chunk.frames.records]
        return replace(chunk.frames.read(numbers, backend), prepared=self.prepared)

    def _trace(self, chunk: Chunk) -> Path:
        return Path(self.run) / f".chunk-{chunk.number:05d}.json"

    def _carefully(self, chunk: Chunk) -> tuple[Outcome, Ledger]:
        """Read and measure frame by frame; a trace on disk says at which one a process died.

        Series that are kept whole take the place of frames, traced by their first.
        """
        trace = self._trace(chunk)
        deaths = json.loads(trace.read_text(encoding="utf-8")) if trace.is_file() else {}
        outcomes, ledger = [], Ledger()
        for together in units(chunk.frames.records, whole=self._pipeline.whole_series):
            frame, one = together[0], chunk.frames.select(sorted(together))
            if frame in chunk.lost:
                outcomes.append(self._given_up(one))
                continue
            # counted before it is tried: a process that dies has no time to write
            attempt = {**deaths, str(frame): deaths.get(str(frame), 0) + 1}
            trace.write_text(json.dumps(attempt), encoding="utf-8")
            batch = self._batch(replace(chunk, frames=one))
            outcomes.append(self._pipeline.measure(one, batch, self.keep))
            ledger.merge(batch.backend.ledger.as_dict())
        return merged(outcomes), ledger

    def _given_up(self, one: Frames) -> Outcome:
        reason = f"its worker process died {DEATHS} times on it (killed, or crashed in a library)"
        batch = replace(
            one[:0].read([], _backend(self.device)),
            problems=tuple(Problem(r.frame, "worker", reason) for r in one.records),
        )
        return self._pipeline.measure(one, batch, self.keep)


def _summary(chunk: Chunk, outcome: Outcome, ledger: Ledger) -> dict[str, Any]:
    """Return what travels back: a few numbers and words."""
    tables = outcome.tables
    states = tables["frames"]["state"]
    name = items_of(tables)
    items = tables.get(name)
    moved = ledger.as_dict()
    stages = dict.fromkeys([*moved["up"], *moved["down"]])
    return {
        "chunk": chunk.number,
        "frames": len(chunk.frames),
        "measured": int((states == "measured").sum()),
        "problems": len(tables["problems"]),
        name: 0 if items is None else len(items),
        "accepted": 0 if items is None else int(items["accepted"].sum()),
        "ledger": {
            s: {"up": moved["up"].get(s, 0), "down": moved["down"].get(s, 0)} for s in stages
        },
        "notes": list(outcome.notes),
    }


@lru_cache(maxsize=4)
def _pipeline(specs: str) -> Pipeline:
    """Build the stages once per process."""
    return Pipeline.from_specs(json.loads(specs))


@lru_cache(maxsize=2)
def _backend(device: str) -> Backend:
    """Choose the device once per process."""
    return Backend.choose(device)
