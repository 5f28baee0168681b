"""Peers that live in environments of their own, driven as processes.

A program here is run by the peer's own interpreter, named by an environment variable, and
imports nothing of ours. It is given the paths of its input and output (``.npz``), says
``ready`` once it has loaded the one and written the other, then works once for every line it
is sent and says ``done``.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np


class Foreign:
    """A program of this folder in the environment that a variable names.

    Parameters
    ----------
    program : str
        File name without ``.py``.
    variable : str
        Environment variable with the path of the interpreter.
    inputs : mapping of str to array
        What the program is given.
    """

    def __init__(self, program: str, variable: str, **inputs: Any) -> None:
        self.program = program
        self.python = os.environ.get(variable)
        self.inputs = inputs

    @property
    def available(self) -> bool:
        """Say whether the variable is set."""
        return self.python is not None

    def call(self) -> dict[str, np.ndarray]:
        """Let the program work once; return its output, which is the same each time."""
        process, output = self._started
        if process.stdin is None or process.stdout is None:
            raise RuntimeError(f"{self.program} has no pipes")
        process.stdin.write("go\n")
        process.stdin.flush()
        _expect(process.stdout.readline(), "done", self.program)
        return output

    @cached_property
    def _started(self) -> tuple[subprocess.Popen[str], dict[str, np.ndarray]]:
        folder = Path(tempfile.mkdtemp(prefix="stempede-bench-"))
        np.savez(folder / "input.npz", **self.inputs)
        program = Path(__file__).with_name(f"{self.program}.py")
        command = [str(self.python), str(program), f"{folder}/input.npz", f"{folder}/output.npz"]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        atexit.register(process.kill)
        if process.stdout is None:
            raise RuntimeError(f"{self.program} has no pipes")
        _expect(process.stdout.readline(), "ready", self.program)
        return process, dict(np.load(folder / "output.npz"))


def _expect(line: str, word: str, program: str) -> None:
    if line.strip() != word:
        raise RuntimeError(f"{program} should say {word!r}, said {line.strip()!r}")
