"""Limits on the code's own shape: length of files and functions, names that say nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST_LINES = 400
MOST_LINES_OF_A_BODY = {"engine": 60, "kernels": 100, "bench": 60, "tests": 60}
EMPTY_NAMES = {"util", "utils", "common", "helper", "helpers", "misc", "manager", "handler"}


def files(room: str) -> list[Path]:
    found = sorted((ROOT / room).rglob("*.py"))
    assert found
    return found


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a body, its docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("room", MOST_LINES_OF_A_BODY)
def test_files_and_functions_stay_short(room):
    too_long = []
    for path in files(room):
        text = path.read_text(encoding="utf-8")
        lines = len(text.splitlines())
        if lines > MOST_LINES:
            too_long.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = body_lines(node)
                if lines > MOST_LINES_OF_A_BODY[room]:
                    too_long.append(f"{path.relative_to(ROOT)}: {node.name} has {lines} lines")
    assert not too_long, "\n".join(too_long)


@pytest.mark.parametrize("room", MOST_LINES_OF_A_BODY)
def test_files_and_folders_have_names_that_say_something(room):
    parts = {p for path in files(room) for p in path.relative_to(ROOT).with_suffix("").parts}
    words = {word for part in parts for word in part.split("_")}
    assert not words & EMPTY_NAMES


def test_names_of_tests_are_unique():
    names = [path.name for path in files("tests") if path.name.startswith("test_")]
    assert len(set(names)) == len(names)
