"""Write the JSON of a study beside the others, and run a study from the command line."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"


def write(name: str, result: dict[str, Any]) -> Path:
    """Write a study's result, numbers cut to six digits, with what it was run on."""
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(_short({**result, "versions": versions}), indent=1) + "\n")
    return path


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _short(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_short(v) for v in value]
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(f"{value:.6g}")
    return value


def command_line(name: str, study: Callable[[float], dict[str, Any]]) -> None:
    """Run a study at ``--scale`` and print it; the whole study is written to the results."""
    parser = argparse.ArgumentParser(description=f"run the {name} study")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the study; 1 writes")
    scale = parser.parse_args().scale
    result = study(scale)
    print(json.dumps(_short(result), indent=1))
    if scale >= 1:
        print(write(name, result))
