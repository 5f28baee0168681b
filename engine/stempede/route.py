"""Route: whether each stage of a list finds what it reads, and which tables the list makes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stempede.errors import StempedeError
from stempede.stage import STAGES, find
from stempede.tables import SCHEMAS

START = ("images", "valid", "frames")
"""What every batch has before the first stage."""

ALWAYS = ("frames", "problems")
"""Tables of every run, whatever the stages write."""


ITEMS = ("particles", "columns")
"""Tables whose rows a route counts and accepts, the first that it makes."""


def items_of(tables: Iterable[str]) -> str:
    """Return what a route counts, by the names of its tables; ``particles`` where nothing."""
    there = set(tables)
    return next((name for name in ITEMS if name in there), ITEMS[0])


def unwritten(route: Sequence[tuple[str, Any]]) -> list[str]:
    """Return in words where a stage or reduce reads what nothing before it writes.

    Parameters
    ----------
    route : sequence of (kind, stage)
        Kind is ``stage`` or ``reduce`` (others are passed over); classes or instances.
    """
    there = {*START, *ALWAYS}
    mistakes = []
    for kind, stage in route:
        if kind not in ("stage", "reduce"):
            continue
        for item in [r for r in stage.reads if r not in there]:
            writers = [n for n in STAGES if item in _writes(n)] if kind == "stage" else []
            todo = f"add '{writers[0]}' before it" if writers else "no known stage does"
            mistakes.append(
                f"{kind} '{stage.name}' reads '{item}', but no earlier stage writes it; {todo}"
            )
        there |= set(stage.writes)
    return mistakes


def tables_of(stages: Iterable[Any]) -> tuple[str, ...]:
    """Return the tables that a list of stages makes, ``frames`` and ``problems`` included."""
    written = {w for stage in stages for w in stage.writes if w in SCHEMAS}
    return tuple(sorted(written.union(ALWAYS)))


def maps_of(stages: Iterable[Any]) -> tuple[str, ...]:
    """Return the maps that a list of stages makes and that a run can keep."""
    written = {w for stage in stages for w in stage.writes if w not in SCHEMAS}
    return tuple(sorted(written.union({"images", "valid"})))


def _writes(use: str) -> tuple[str, ...]:
    try:
        return tuple(getattr(find("stage", use), "writes", ()))
    except (ImportError, AttributeError, StempedeError):
        return ()
