"""Curate: apply an exclusion list to a run that is measured; nothing is measured anew."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stempede.errors import InputError
from stempede.stage import door
from stempede.tables import MISSING


def read_exclusions(source: str | Path | Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of ``exclude.csv``, or rows that are given, as text.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    if not isinstance(source, (str, Path)):
        return [{str(k): str(v) for k, v in row.items() if v is not None} for row in source]
    try:
        text = Path(source).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"wanted a CSV of exclusions, cannot read {source} ({error}); check --exclude"
        ) from error
    rows = csv.DictReader(text.splitlines(), skipinitialspace=True)
    return [{k: v for k, v in row.items() if k and isinstance(v, str)} for row in rows]


def curate(
    results: Any, rows: Sequence[Mapping[str, Any]], chunks: Sequence[Sequence[int]]
) -> None:
    """Set particles of a run aside and write the audit; safe to repeat after a kill.

    Raises
    ------
    InputError
        A row of the list cannot be used; the run stays as it was.
    """
    particles, audit = door("curate")(results.read("particles"), rows)
    # from here on the run says that its reductions are not those of its tables
    results.update(reduced=False, exclusions=[dict(row) for row in rows])
    frames = results.read("frames")
    numbers, per_frame = np.unique(particles["frame"][particles["accepted"]], return_counts=True)
    known = dict(zip(numbers.tolist(), per_frame.tolist()))
    counts = np.array([known.get(k, 0) for k in frames["frame"].tolist()], dtype=np.int64)
    counts = np.where(frames["n_accepted"] == MISSING, MISSING, counts)
    results.write_table("particles", particles, chunks)
    results.write_table("frames", frames.with_columns({"n_accepted": counts}), chunks)
    results.write_table("exclusions", audit)
