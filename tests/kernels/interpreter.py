"""Run a file of tests with Triton's interpreter in place of a device."""

import os
import subprocess
import sys
from pathlib import Path


def passed_interpreted(name: str, passed: int) -> None:
    """Hold that all tests of a file pass, and that they are so many.

    They run in a process of their own: the interpreter must be chosen before kernels are
    imported.
    """
    file = Path(__file__).with_name(name)
    paths = os.pathsep.join([*sys.path, str(file.parent)])
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-o", "addopts=", str(file)],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout
    assert f"{passed} passed" in answer.stdout
