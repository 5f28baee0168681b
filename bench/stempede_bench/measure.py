"""Times contenders in turn and keeps the machine's story with the numbers."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import numpy as np

from stempede_bench.contract import Case, Contender, Result, Timing

PACKAGES = ("numpy", "scipy", "scikit-image", "numba", "zarr", "dask", "torch", "triton", "cupy")


def run_case(case: Case, repeats: int, warmup: int = 1) -> Result:
    """Check that the contenders agree, then time them in turn."""
    contenders = case.contenders()
    outputs = {c.name: c.call() for c in contenders}
    agreement = case.agree(outputs)
    del outputs
    seconds = _interleaved(contenders, repeats, warmup)
    ours = seconds[0]
    ratios = {}
    for contender, theirs in zip(contenders[1:], seconds[1:], strict=True):
        q1, median, q3 = np.percentile(theirs / ours, (25, 50, 75))
        ratios[contender.name] = (float(q1), float(median), float(q3))
    timings = tuple(_timing(c.name, s) for c, s in zip(contenders, seconds, strict=True))
    return Result(case.name, case.items(), case.unit, timings, ratios, agreement, case.goal)


def _interleaved(contenders: Sequence[Contender], repeats: int, warmup: int) -> np.ndarray:
    for _ in range(warmup):
        for contender in contenders:
            contender.call()
    seconds = np.zeros((len(contenders), repeats))
    for r in range(repeats):
        for k, contender in enumerate(contenders):
            start = time.perf_counter()
            contender.call()
            _synchronise()
            seconds[k, r] = time.perf_counter() - start
    return seconds


def _timing(name: str, seconds: np.ndarray) -> Timing:
    q1, median, q3 = np.percentile(seconds, (25, 50, 75))
    return Timing(name, float(median), float(q1), float(q3), len(seconds))


def _synchronise() -> None:
    # only where torch is already loaded: a CPU case must not import it
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()


def machine() -> dict[str, Any]:
    """Return processor, cores, memory, versions, commit and date of a measurement."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("NUMBA_NUM_THREADS", "all"),
        "memory_GiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "device": _device(),
        "python": platform.python_version(),
        "versions": {p: v for p in PACKAGES if (v := _version(p))},
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _device() -> str | None:
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
