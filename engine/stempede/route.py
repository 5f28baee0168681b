"""Route: whether each stage of a list finds what it reads, and what the list makes and keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stempede.errors import RecipeError, StempedeError
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
            writer = _writer(item)
            todo = f"add '{writer}' before it" if writer else "no known stage does"
            mistakes.append(
                f"{kind} '{stage.name}' reads '{item}', but no earlier stage writes it; {todo}"
            )
        there |= set(stage.writes)
    return mistakes


def tables_of(stages: Iterable[Any], keep: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the tables that a list of stages makes, ``frames`` and ``problems`` included.

    Internal ones are among them only where ``keep`` names them.
    """
    written = {w for stage in stages for w in stage.writes if w in SCHEMAS}
    shown = {name for name in written if name in keep or not SCHEMAS[name].internal}
    return tuple(sorted(shown.union(ALWAYS)))


def maps_of(stages: Iterable[Any]) -> tuple[str, ...]:
    """Return the maps that a list of stages makes and that a run can keep."""
    written = {w for stage in stages for w in stage.writes if w not in SCHEMAS}
    return tuple(sorted(written.union({"images", "valid"})))


def kept(
    asked: Sequence[str] | None, stages: Sequence[Any], reduces: Sequence[Any] = ()
) -> tuple[str, ...]:
    """Return the maps and internal tables that a run writes.

    Parameters
    ----------
    asked : sequence of str, optional
        What a user wants kept; None is ``labels``, where a stage makes them.
    stages, reduces
        Those of the recipe. An internal table that a reduction reads is always kept.

    Raises
    ------
    RecipeError
        No stage makes what is asked for.
    """
    internal = tuple(sorted(_internal(stages)))
    known = (*maps_of(stages), *internal)
    unknown = [name for name in asked or () if name not in known]
    if unknown:
        raise RecipeError(
            f"--keep names {', '.join(unknown)}, but no stage of the recipe makes it; "
            f"known are {', '.join(known)}"
        )
    wanted = ("labels",) if asked is None else asked
    read = {name for reduce in reduces for name in reduce.reads}
    names = [*wanted, *(name for name in internal if name in read)]
    return tuple(dict.fromkeys(name for name in names if name in known))


def _internal(stages: Iterable[Any]) -> set[str]:
    written = {w for stage in stages for w in stage.writes}
    return {w for w in written if w in SCHEMAS and SCHEMAS[w].internal}


def _writer(item: str) -> str | None:
    """Return the known stage that makes a map or table; one that reads it too does not."""
    for use in STAGES:
        try:
            stage: Any = find("stage", use)
        except (ImportError, AttributeError, StempedeError):
            continue
        if item in stage.writes and item not in stage.reads:
            return use
    return None
