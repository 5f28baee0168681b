"""Sizes of a run that is not finished: its reductions over what has been measured so far."""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stempede.errors import StempedeError
from stempede.io.results import Results
from stempede.stage import Reduce, find
from stempede.tables import Table

log = logging.getLogger("stempede")

_FAILURES = (StempedeError, ArithmeticError, LookupError, TypeError, ValueError)
"""What a reduction raises on too little, and a recipe that cannot be had any more."""


def reduced_so_far(run: Path, document: Mapping[str, Any]) -> dict[str, Table]:
    """Return the tables that the reductions of a run would write now; nothing is written.

    Rows of chunks that were cut off half-way are left out. A run that has measured nothing
    gives no tables; a reduction that fails is named in the log and left out.

    Parameters
    ----------
    run : Path
        Run folder.
    document : mapping
        Its run.json.
    """
    made: dict[str, Table] = {}
    try:
        results = Results(run)
        frames = results.read("frames")
        for reduction in _reductions(document):
            tables = {name: made.get(name) or results.read(name) for name in reduction.reads}
            made |= reduction({name: _finished(t, frames) for name, t in tables.items()})
    except _FAILURES as error:
        log.info("no sizes of this unfinished run: %s", error)
    return made


def _reductions(document: Mapping[str, Any]) -> Iterator[Reduce]:
    """Make the reductions of the recipe; its stages need not be there."""
    folder = Path(document.get("recipe_folder", "."))
    for entry in tomllib.loads(document.get("recipe", "")).get("reduce", []):
        use = entry.pop("use")
        parameters = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
        yield find("reduce", use, folder)(**parameters)


def _finished(table: Table, frames: Table) -> Table:
    """Return the rows whose frame is done: its row of ``frames`` is written last."""
    if "frame" not in table.schema.names:
        return table
    return table.take(np.isin(table["frame"], frames["frame"]))
