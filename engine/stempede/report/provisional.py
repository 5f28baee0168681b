"""Sizes of a run that is not finished: its reductions over what has been measured so far."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stempede.errors import StempedeError
from stempede.io.results import Results
from stempede.recipe import Recipe
from stempede.tables import Table


def reduced_so_far(run: Path, document: Mapping[str, Any]) -> dict[str, Table]:
    """Return the tables that the reductions of a run would write now; nothing is written.

    Rows of chunks that were cut off half-way are left out. A run that has measured nothing,
    or whose recipe cannot be had any more, gives no tables.

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
        recipe = Recipe.loads(document["recipe"], folder=Path(document["recipe_folder"]))
        frames = results.read("frames")
        for reduction in recipe.of_kind("reduce"):
            tables = {name: made.get(name) or results.read(name) for name in reduction.reads}
            made |= reduction({name: _finished(t, frames) for name, t in tables.items()})
    except (StempedeError, KeyError):
        return made
    return made


def _finished(table: Table, frames: Table) -> Table:
    """Return the rows whose frame is done: its row of ``frames`` is written last."""
    if "frame" not in table.schema.names:
        return table
    return table.take(np.isin(table["frame"], frames["frame"]))
