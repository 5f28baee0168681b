"""Settle: turn a watched run into the run that ``stempede run`` makes of the whole source.

The source is listed once more, as offline. What came in another order keeps its numbers; what
was never seen, was written to since, or is told differently now is measured (again); and where
the first frames that came are not the first frames of the source, what was prepared on them is
found anew. Then the reductions run.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stempede.backend import Backend
from stempede.errors import InputError
from stempede.frames import FrameRecord, Frames
from stempede.live.queue import Queue
from stempede.live.sources import stamp_of
from stempede.plan import make_plan
from stempede.prepare import FirstUsable
from stempede.provenance import hash_of
from stempede.recipe import Recipe
from stempede.series import units, wants_series
from stempede.session import Progress, RunOptions, Session
from stempede.stage import door

log = logging.getLogger("stempede")


def resume(
    out: str | Path, progress: Progress | None = None, options: RunOptions | None = None
) -> Any:
    """Settle a watched run and finish it; returns its results.

    Parameters
    ----------
    out : path
        Run folder.
    progress : callable, optional
    options : RunOptions, optional
        Workers and scheduler of the rest.
    """
    settle(out)
    return Session.resume(out, options=options).run(progress)


def is_watched(out: str | Path) -> bool:
    """Whether a run was watched and has not been settled since."""
    return bool(door("results")(out).run.get("watching"))


def settle(out: str | Path) -> None:
    """Bring the chunks and records of a watched run to what its whole source asks for.

    Raises
    ------
    ResultsError
        It is being watched right now, or its folder is damaged.
    """
    results = door("results")(out)
    results.lock.acquire()
    try:
        results.sweep()
        run = results.run
        queue = Queue(results.path)
        recipe = Recipe.loads(
            run["recipe"], folder=Path(run["recipe_folder"]), origin=run["recipe_origin"]
        )
        backend = Backend.choose(run["device"].partition(" ")[0])
        listed = _listed(run, queue)
        frames, changed = _matched(listed, queue, run, backend)
        chunks = _chunks(frames, queue, run, recipe, backend)
        if frames.records:
            _check_prepared(results, recipe, frames, queue, backend)
        done = results.done_chunks()
        for number, numbers in enumerate(chunks):
            stale = changed & set(numbers) or list(numbers) != _written(results, number, frames)
            if number in done and stale:
                results.undo(number)
        queue.adopt(frames.records, chunks)
        results.write_frames(frames)
        results.update(
            chunks=chunks,
            n_frames=len(frames),
            notes=list(frames.notes),
            reduced=False,
            watching=False,
            state="interrupted",
        )
    finally:
        results.lock.release()


def _listed(run: Mapping[str, Any], queue: Queue) -> Frames:
    """Return the source as it is now; what was seen there, where it is empty or gone."""
    source = run["live"]["source"]
    try:
        found: Frames = door("open_frames")(source, **run["source_options"])
    except InputError as error:
        log.warning("%s; the frames seen there are kept", error)
        reader = door("reader")(run["source_options"].get("signal"))
        labels = dict.fromkeys(n for r in queue.records.values() for n in r.labels)
        return Frames(tuple(queue.records.values()), reader, source, (), tuple(labels))
    return found


def _matched(
    listed: Frames, queue: Queue, run: Mapping[str, Any], backend: Backend
) -> tuple[Frames, set[int]]:
    """Return the frames with the numbers of their first sight, and those that have changed."""
    numbers = {(r.source, r.page): r.frame for r in queue.records.values()}
    after = 1 + max(queue.records, default=-1)
    records: list[FrameRecord] = []
    for record in listed.records:
        number = numbers.pop((record.source, record.page), None)
        if number is None:
            number, after = after, after + 1
        records.append(replace(record, frame=number))
    gone = [queue.records[n] for n in numbers.values()]
    if gone:
        log.warning("%d frames are gone from the source; what was measured is kept", len(gone))
    frames = replace(listed, records=(*records, *gone))
    if frames.records:
        budget = run["options"]["memory_bytes"]
        plan = make_plan(frames, backend, workers=run["workers"], memory_bytes=budget)
        frames = plan.frames
    stale = _rewritten(queue) | {
        r.frame for r in frames.records if queue.records.get(r.frame) not in (None, r)
    }
    return frames, stale - {r.frame for r in gone}


def _rewritten(queue: Queue) -> set[int]:
    """Return the frames of files that were written to after they were taken."""
    return {
        n
        for key, (stamp, frames) in queue.taken.items()
        if stamp is not None and stamp_of(key) not in (stamp, None)
        for n in frames
    }


def _chunks(
    frames: Frames, queue: Queue, run: Mapping[str, Any], recipe: Recipe, backend: Backend
) -> list[list[int]]:
    """Return the chunks that were measured, series made whole, and those of what is new."""
    known = {r.frame for r in frames.records}
    chunks = [[n for n in numbers if n in known] for numbers in queue.chunks]
    whole = wants_series(recipe.of_kind("stage"))
    if whole:
        chunks = _with_whole_series(frames, chunks)
    placed = {n for numbers in chunks for n in numbers}
    rest = replace(frames, records=tuple(r for r in frames.records if r.frame not in placed))
    if rest.records:
        plan = make_plan(
            rest,
            backend,
            workers=run["workers"],
            memory_bytes=run["options"]["memory_bytes"],
            whole_series=whole,
        )
        chunks += [list(c) for c in plan.chunks]
    return [sorted(c) for c in chunks]


def _with_whole_series(frames: Frames, chunks: list[list[int]]) -> list[list[int]]:
    """Move the frames of each series into the first chunk that has any of it."""
    home = {n: k for k, numbers in enumerate(chunks) for n in numbers}
    for together in units(frames.readable, whole=True):
        places = {home[n] for n in together if n in home}
        if not places:
            continue
        for n in together:
            home[n] = min(places)
    found: list[list[int]] = [[] for _ in chunks]
    for n, k in home.items():
        found[k].append(n)
    return found


def _check_prepared(
    results: Any, recipe: Recipe, frames: Frames, queue: Queue, backend: Backend
) -> None:
    """Find the session-wide numbers anew where offline they come from other frames."""
    run, prepares = results.run, recipe.of_kind("prepare")
    if not prepares:
        return
    if not run["prepared"]:
        # measured with what the first frame gave, while there were too few
        _undo_all(results)
        return
    first = FirstUsable(frames, recipe.prepare_frames, backend)
    if first.numbers == queue.prepared_on:
        return
    prepared = first.find_all(prepares)
    hashes = {name: hash_of(numbers) for name, numbers in prepared.items()}
    for name, numbers in prepared.items():
        results.write_prepared(name, numbers)
    results.update(prepared=hashes)
    if hashes != run["prepared"]:
        log.info("the first frames that came are not the first of the source: measured again")
        _undo_all(results)


def _undo_all(results: Any) -> None:
    for number in results.done_chunks():
        results.undo(number)


def _written(results: Any, number: int, frames: Frames) -> list[int] | None:
    """Return the frames in the part of a chunk, None where it lacks a label of the session."""
    part = results.read_part("frames", number)
    if part is None or set(frames.label_names) - set(part.schema.names):
        return None
    return sorted(part["frame"].tolist())
