"""A session from compressed chunks to tables by the command line, against a script of its kind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stempede_bench.contract import Case, Contender, DisagreementError

FRAMES = 40
# the command line where it may not be installed
STEMPEDE = (sys.executable, "-c", "from stempede.cli import main; main()")
_SAMPLE_S = 0.25


class Session(Case):
    """2048 x 2048 bright field, 16 bits, all default stages and reductions on every core.

    The peer has no accept rules, intervals, sensitivity, shapes or groups: its table ends at
    the features. ``STEMPEDE_BENCH_FRAMES`` sets the number of frames.
    """

    name = "session"
    unit = "frames"
    workers = os.cpu_count() or 1

    def items(self) -> int:
        """Return the frames of the session."""
        return int(os.environ.get("STEMPEDE_BENCH_FRAMES", FRAMES))

    @cached_property
    def folder(self) -> Path:
        """The simulated session and what is made of it; ends with the case."""
        folder = Path(tempfile.mkdtemp(prefix="stempede-bench-"))
        weakref.finalize(self, shutil.rmtree, folder)
        scene = ("--frames", str(self.items()), "--size", "2048", "--quiet")
        command = (*STEMPEDE, "simulate", "particles", "--out", str(folder))
        subprocess.run((*command, *scene), check=True)
        return folder

    def contenders(self) -> tuple[Contender, ...]:
        """Return ``stempede run`` and the script, each with one worker per core."""
        return (
            Contender("stempede run", self._ours),
            Contender("scikit-image and dask script", self._script),
        )

    def agree(self, outputs: Mapping[str, Any]) -> dict[str, float]:
        """Compare the numbers of particles with the truth; tell the peak memory of both."""
        import pyarrow.parquet as pq

        truth = pq.read_table(self.folder / "truth").num_rows
        told = {
            f"{fact} of {name}": value
            for name, facts in outputs.items()
            for fact, value in facts.items()
        }
        for name, facts in outputs.items():
            if abs(facts["particles"] / truth - 1) > 0.15:
                raise DisagreementError(f"{name} found {facts['particles']} of {truth} particles")
        return told

    def stages(self) -> dict[str, float]:
        """Return the seconds of each stage, summed over workers."""
        run = json.loads((self.folder / "run" / "run.json").read_text("utf-8"))
        return dict(run["timings"])

    def _ours(self) -> dict[str, float]:
        out = self.folder / "run"
        shutil.rmtree(out, ignore_errors=True)
        command = (*STEMPEDE, "run", str(self.folder / "session.zarr"))
        peak = peak_memory((*command, "--out", str(out), "--workers", str(self.workers), "--quiet"))
        run = json.loads((out / "run.json").read_text("utf-8"))
        return {"particles": run["counts"]["particles"], "peak GiB": peak}

    def _script(self) -> dict[str, float]:
        import pyarrow.parquet as pq

        program = Path(__file__).parents[1] / "foreign" / "session_chain.py"
        out = self.folder / "chain.parquet"
        session = str(self.folder / "session.zarr")
        peak = peak_memory((sys.executable, str(program), session, str(out), str(self.workers)))
        return {"particles": pq.read_metadata(out).num_rows, "peak GiB": peak}


def peak_memory(command: Sequence[str]) -> float:
    """Run a command; return the largest sum of resident memory of its processes, in GiB."""
    import psutil

    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    peaks = [0.0]
    watching = threading.Thread(target=_watch, args=(process, peaks))
    watching.start()
    status = process.wait()
    watching.join()
    if status != 0:
        raise RuntimeError(f"{' '.join(command)} ended with status {status}")
    return peaks[0] / 2**30


def _watch(process: Any, peaks: list[float]) -> None:
    import psutil

    while process.poll() is None:
        resident = []
        for one in (process, *process.children(recursive=True)):
            try:
                resident.append(one.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
        peaks[0] = max(peaks[0], float(np.sum(resident)))
        time.sleep(_SAMPLE_S)
