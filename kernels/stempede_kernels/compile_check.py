"""Compile the GPU kernels to machine code without a device, and say what each takes.

Every kernel folder with a ``gpu.py`` lists its kernels there as ``COMPILE_CASES``: tuples of
(kernel, signature, constexprs, warps), with a dict of further options at the end where a
launch has any. ``python -m stempede_kernels.compile_check`` prints one
JSON row per kernel and architecture and ends with status 1 if any spills registers.
"""

import importlib
import importlib.util
import json
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import stempede_kernels

ARCHITECTURES = (80, 90)

Row = dict[str, str | int]


def folders_with_gpu() -> list[str]:
    """List the kernel folders that have a GPU version."""
    package = stempede_kernels.__name__
    names = [m.name for m in pkgutil.iter_modules(stempede_kernels.__path__) if m.ispkg]
    return [n for n in names if importlib.util.find_spec(f"{package}.{n}.gpu") is not None]


def check(
    folders: Sequence[str] | None = None, architectures: Sequence[int] = ARCHITECTURES
) -> list[Row]:
    """Compile kernels and read their resources from the machine code.

    Parameters
    ----------
    folders : sequence of str, optional
        Kernel folders, such as ``["label"]``; all that have a GPU version by default.
    architectures : sequence of int
        Compute capabilities without the point.

    Returns
    -------
    list of dict
        Rows with ``folder kernel constexprs architecture triton warps registers stack_bytes
        local_bytes shared_bytes``. Spilled registers show as a stack or local memory.

    Raises
    ------
    RuntimeError
        If Triton's interpreter is switched on, which leaves nothing to compile.
    """
    if os.environ.get("TRITON_INTERPRET", "0") not in ("", "0"):
        raise RuntimeError(
            "compiling needs Triton's compiler, found TRITON_INTERPRET set; unset it and restart"
        )
    rows: list[Row] = []
    for folder in folders if folders is not None else folders_with_gpu():
        module = importlib.import_module(f"{stempede_kernels.__name__}.{folder}.gpu")
        for kernel, signature, constexprs, warps, *more in module.COMPILE_CASES:
            for architecture in architectures:
                options = {"num_warps": warps, **(more[0] if more else {})}
                usage = _measure(kernel, signature, constexprs, options, architecture)
                rows.append({"folder": folder, **usage})
    return rows


def spilling(rows: Sequence[Row]) -> list[Row]:
    """Select the rows whose kernel keeps registers in memory."""
    return [row for row in rows if row["stack_bytes"] or row["local_bytes"]]


def _measure(
    kernel: Any,
    signature: dict[str, str],
    constexprs: dict[str, Any],
    options: dict[str, Any],
    architecture: int,
) -> Row:
    """Compile one kernel for one architecture."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    full = {name: signature.get(name, "constexpr") for name in kernel.arg_names}
    source = ASTSource(fn=kernel, signature=full, constexprs=constexprs)
    # fusion is the default of launches, which newer versions of Triton want said
    target = GPUTarget("cuda", architecture, 32)
    options = {"enable_fp_fusion": True, **options}
    compiled = triton.compile(source, target=target, options=options)
    usage = _read_usage(compiled.asm["cubin"])
    return {
        "kernel": kernel.__name__,
        "constexprs": json.dumps(constexprs),
        "architecture": architecture,
        "triton": triton.__version__,
        "warps": options["num_warps"],
        "registers": usage["REG"],
        "stack_bytes": usage["STACK"],
        "local_bytes": usage["LOCAL"],
        "shared_bytes": int(compiled.metadata.shared),
    }


def _read_usage(cubin: bytes) -> dict[str, int]:
    """Ask cuobjdump, which ships with Triton, what a kernel takes."""
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        answer = subprocess.run(
            [str(tool), "-res-usage", file.name], capture_output=True, text=True, check=True
        )
    usage = {name: int(n) for name, n in re.findall(r"(REG|STACK|LOCAL):(\d+)", answer.stdout)}
    if usage.keys() != {"REG", "STACK", "LOCAL"}:
        raise RuntimeError(f"cuobjdump should name REG, STACK and LOCAL, found: {answer.stdout!r}")
    return usage


if __name__ == "__main__":
    measured = check()
    for measured_row in measured:
        sys.stdout.write(json.dumps(measured_row) + "\n")
    sys.exit(1 if spilling(measured) else 0)
