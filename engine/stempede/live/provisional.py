"""Provisional results: the reductions over the frames so far, in a process of its own.

They are made again whenever there are a quarter more frames, and no sooner than the last ones
took several times over, so that they hold up no frame. They lie in ``RUN/live/provisional`` and
nowhere else: the tables of the run are those of the final pass.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from stempede.errors import StempedeError
from stempede.live.queue import FOLDER
from stempede.recipe import Recipe
from stempede.stage import door
from stempede.tables import Table

log = logging.getLogger("stempede")

NAME = "provisional"
GROWTH = 1.25
LEAST_S = 5.0
REST = 4.0
"""Pause after them, in times of what they took."""
FIRST = 8
NICENESS = 19
QUICKER = {"compare": False, "bootstraps": 0}
"""Parameters of reductions that cost much and change nothing that the page shows."""


class Provisional:
    """Keeps the provisional results of a run no older than they need be.

    Parameters
    ----------
    run : Path
        Run folder.
    """

    def __init__(self, run: Path) -> None:
        self._run, self._said = run, run / FOLDER / f"{NAME}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._next_frames, self._not_before, self._began = float(FIRST), 0.0, 0.0
        self.frames, self.failure = 0, ""
        self._cached: dict[str, Table] = {}

    def update(self, n_frames: int, allowed: bool) -> bool:  # noqa: FBT001
        """Begin anew where there are enough more frames; whether new results are there.

        ``failure`` is why there are none after all, until the next call.
        """
        self.failure = ""
        if self._process is not None:
            if self._process.poll() is None:
                return False
            self.failure = _last_line(self._said) if self._process.returncode else ""
            self._process = None
            now_s = time.monotonic()
            self._not_before = now_s + max(LEAST_S, REST * (now_s - self._began))
            if self.failure:
                return False
            self._cached = {}
            self.frames = _frames_of(self._run)
            return True
        if allowed and n_frames >= self._next_frames and time.monotonic() >= self._not_before:
            self._next_frames = max(n_frames * GROWTH, n_frames + 1)
            self._began = time.monotonic()
            self._begin()
        return False

    def _begin(self) -> None:
        code = "from stempede.live.provisional import main; main()"
        command = [sys.executable, "-c", code, str(self._run)]
        try:
            with self._said.open("wb") as said:
                self._process = subprocess.Popen(command, env=_environment(), stderr=said)
        except OSError as error:
            self.failure = str(error)

    def tables(self) -> dict[str, Table]:
        """Return what the reductions said last."""
        if not self._cached:
            self._cached = read_provisional(self._run)
        return self._cached

    def stop(self) -> None:
        """End what is being made."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=5)


def _environment() -> dict[str, str]:
    path = os.pathsep.join(p for p in sys.path if p)
    few = dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**os.environ, **few, "PYTHONPATH": path}


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else "ended without a word"


def _frames_of(run: Path) -> int:
    try:
        return int(door("results")(run / FOLDER / NAME).run.get("n_frames", 0))
    except StempedeError:
        return 0


def read_provisional(run: Path) -> dict[str, Table]:
    """Return the provisional tables of a run, none where there are none yet."""
    try:
        results = door("results")(run / FOLDER / NAME)
        return {name: results.read(name) for name in results.tables()}
    except StempedeError:
        return {}


def reduce_so_far(run: Path) -> int:
    """Run the reductions of a run over what is measured; returns the number of frames.

    A reduction that fails on so little is named in the log and left out.
    """
    results = door("results")(run)
    document = results.run
    recipe = Recipe.loads(
        document["recipe"],
        folder=Path(document["recipe_folder"]),
        origin=document["recipe_origin"],
    )
    frames = results.read("frames")
    made: dict[str, Table] = {}
    for reduction in map(quicker, recipe.of_kind("reduce")):
        try:
            tables = {name: made.get(name) or results.read(name) for name in reduction.reads}
            made |= reduction({n: _finished(t, frames) for n, t in tables.items()})
        except (StempedeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            log.info("%s: nothing yet (%s)", reduction.name, error)
    folder = _folder(run)
    for name, table in made.items():
        folder.write_table(name, table)
    folder.update(n_frames=len(frames))
    return len(frames)


def quicker(reduction: Any) -> Any:
    """Return a reduction without what only the final pass is to say."""
    if not is_dataclass(reduction) or isinstance(reduction, type):
        return reduction
    there = {f.name for f in fields(reduction)}
    return replace(reduction, **{k: v for k, v in QUICKER.items() if k in there})


def _folder(run: Path) -> Any:
    path = run / FOLDER / NAME
    if (path / "run.json").is_file():
        return door("results")(path)
    path.mkdir(parents=True, exist_ok=True)
    folder = door("results").create(path, {"state": "provisional", "n_frames": 0})
    folder.lock.release()
    return folder


def _finished(table: Table, frames: Table) -> Table:
    """Return the rows whose frame is done: its row of ``frames`` is written last."""
    import numpy as np

    if "frame" not in table.schema.names:
        return table
    return table.take(np.isin(table["frame"], frames["frame"]))


def main() -> None:
    """Reduce the run of the command line, behind everything else that wants the machine."""
    os.nice(NICENESS)
    reduce_so_far(Path(sys.argv[1]))
