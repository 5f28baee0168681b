"""TOML values to text and back; the standard library reads TOML but does not write it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any


def parse(text: str) -> Any:
    """Return a TOML value; what is not TOML (a bare word) is a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def write(value: Any) -> str:
    """Return a number, text, list or table as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(write(v) for v in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)} = {write(v)}" for k, v in value.items()) + "}"
    return repr(value)
