"""Times contenders in turn and keeps the machine's story with the numbers."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Container, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from stempede_bench.contract import Case, Contender, Result, Timing
from stempede_bench.rates import rates

PACKAGES = (
    *(
        "numpy",
        "scipy",
        "scikit-image",
        "numba",
        "zarr",
        "dask",
        "tifffile",
        "opencv-python-headless",
    ),
    *("torch", "triton", "cupy-cuda13x", "cucim-cu13"),
)


def run_case(
    case: Case, repeats: int, *, peers: Container[str] | None = None, device: str = "cpu"
) -> Result:
    """Check that the contenders agree, then time them in turn after a warm-up.

    Parameters
    ----------
    case : Case
    repeats : int
    peers : container of str, optional
        Packages that may compete; all that are installed by default.
    device : {"cpu", "gpu"}
        Whose measured rates the floor is computed from.
    """
    ours, *others = case.contenders()
    contenders = (ours, *(c for c in others if peers is None or c.package in peers))
    # the first call of each is its warm-up
    agreement = case.agree({c.name: c.call() for c in contenders})
    seconds = _interleaved(contenders, repeats)
    ratios = {}
    for contender, theirs in zip(contenders[1:], seconds[1:], strict=True):
        q1, median, q3 = np.percentile(theirs / seconds[0], (25, 50, 75))
        ratios[contender.name] = (float(q1), float(median), float(q3))
    work = case.work()
    return Result(
        case=case.name,
        scene=str(case.scene) if case.varies else "",
        items=case.items(),
        unit=case.unit,
        timings=tuple(_timing(c.name, s) for c, s in zip(contenders, seconds, strict=True)),
        ratios=ratios,
        agreement=agreement,
        goal=case.goal,
        floor_s=None if work is None else rates(device).floor_s(work),
        stages_s=case.stages(),
    )


def _interleaved(contenders: Sequence[Contender], repeats: int) -> np.ndarray:
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
    kept = tuple(float(f"{s:.6g}") for s in seconds)
    return Timing(name, kept, float(median), float(q1), float(q3))


def _synchronise() -> None:
    # only where torch is already loaded: a CPU case must not import it
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()


def machine() -> dict[str, Any]:
    """Return what a measurement was made on: hardware, versions, rates, commit and date.

    ``fingerprint`` is the same for two measurements of the same code's speed on the same
    hardware with the same libraries, whatever the commit.
    """
    told: dict[str, Any] = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("NUMBA_NUM_THREADS", "all"),
        "memory_GiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "device": _device(),
        "python": platform.python_version(),
        "versions": {p: v for p in PACKAGES if (v := _version(p))},
    }
    mark = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
    measured = rates("gpu" if told["device"] else "cpu")
    return {
        **told,
        "fingerprint": mark,
        "copy_GB_per_s": round(measured.copy_bytes_per_s / 1e9, 2),
        "GFLOP_per_s": round(measured.flops_per_s / 1e9, 1),
        "load_average": round(os.getloadavg()[0], 2),
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
