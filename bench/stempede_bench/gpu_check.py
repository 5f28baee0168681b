"""Checks the GPU side on whatever machine this is: ``python -m stempede_bench.gpu_check``.

With a CUDA device: the tests marked ``gpu``, every image kernel against the host on a frame of
4096 x 4096 with its time and its floor, parity of the particles route between CPU and GPU on
frames in memory, the transfer ledger, and the route's speed; one JSON under
``bench/stempede_bench/results`` and a short table. Without one: the Triton kernels in the
interpreter and their compilation for sm_80 and sm_90, and exit status 0 when those pass.

Nothing is installed. Wheels in ``.wheels`` (see ``gpu_wheels``) are unpacked beside it and put
on the path.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from stempede_bench.device_kernels import table

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).parent / "results"
MEASURED = {
    "kernels": ("stempede_bench.device_kernels", "check"),
    "parity": ("stempede_bench.parity", "compare"),
    "speed": ("stempede_bench.parity", "speed"),
}
"""What a device adds to the tests, each imported when its turn has come."""

SOURCES = [str(ROOT / part) for part in ("engine", "kernels", "bench")]


def main() -> int:
    """Run what this machine can run; the exit status is 1 where a check failed."""
    path = [*SOURCES, *_unpacked(ROOT / ".wheels")]
    sys.path[:0] = [p for p in path if p not in sys.path]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    device = find_device()
    if device is None:
        print("no CUDA device: running the interpreter and compile checks only")
        return without_device()
    print(f"device: {device}")
    return with_device(device)


def _unpacked(folder: Path) -> list[str]:
    """Unpack wheels made for this Python; return the folder they lie in."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    wheels = [w for w in folder.glob("*.whl") if f"-{tag}-" in w.name or "-none-any" in w.name]
    if not wheels:
        return []
    site = folder / "site" / tag
    for wheel in wheels:
        stamp = site / f".{wheel.name}"
        if not stamp.exists():
            site.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(site)
            stamp.touch()
    return [str(site)]


def find_device() -> str | None:
    """Return the name of the first CUDA device, or None without one."""
    try:
        import torch
    except ImportError:
        return None
    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else None


def without_device() -> int:
    """Run the kernels in Triton's interpreter and compile them for two architectures."""
    return _report({"interpreter": _pytest("interpreter"), "compile": _compile()})


def with_device(device: str) -> int:
    """Run everything, write the JSON, print the table."""
    from stempede_bench.measure import machine

    checks: dict[str, dict[str, Any]] = {"tests": _pytest("gpu"), "compile": _compile()}
    for name, (module, function) in MEASURED.items():
        try:
            checks[name] = getattr(importlib.import_module(module), function)()
        except Exception as error:  # noqa: BLE001
            # one failing check must not lose the others' results on a borrowed machine
            checks[name] = {"passed": False, "reason": f"{type(error).__name__}: {error}"}
    if rows := checks["kernels"].get("kernels"):
        print(table(rows))
    file = RESULTS / f"gpu-{device.lower().replace(' ', '-')}-{time.strftime('%Y%m%d')}.json"
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine(), "device": device, "checks": checks}, indent=1)
    file.write_text(text + "\n")
    print(f"written: {file}")
    return _report(checks)


def _pytest(expression: str) -> dict[str, Any]:
    """Run the tests marked ``gpu``, or those whose name says ``interpreter``."""
    select = ["-m", "gpu"] if expression == "gpu" else ["-k", "interpreter or compile"]
    # other files may need packages that a borrowed machine has not
    word = "mark.gpu" if expression == "gpu" else "compile_check"
    found = sorted((ROOT / "tests").rglob("test_*.py"))
    files = [str(file) for file in found if word in file.read_text(encoding="utf-8")]
    command = [sys.executable, "-m", "pytest", *files, *select, "--no-header", "-rs"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    lines = (done.stdout + done.stderr).strip().splitlines()
    # pytest leaves with 5 where nothing was collected: nothing ran, so nothing passed
    return {"passed": done.returncode == 0, "summary": lines[-1] if lines else "no output"}


def _compile() -> dict[str, Any]:
    """Compile every Triton kernel without a device, in a process of its own."""
    command = [sys.executable, "-m", "stempede_kernels.compile_check"]
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        return {"passed": False, "summary": lines[-1] if lines else "failed"}
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    summary = f"{len(rows)} kernels compiled for sm_80 and sm_90, none spills"
    return {"passed": True, "summary": summary, "kernels": rows}


def _report(checks: dict[str, dict[str, Any]]) -> int:
    for name, outcome in checks.items():
        state = "ok  " if outcome["passed"] else "FAIL"
        print(f"{state} {name:<12} {outcome.get('summary') or outcome.get('reason', '')}")
    return int(not all(outcome["passed"] for outcome in checks.values()))


if __name__ == "__main__":
    raise SystemExit(main())
