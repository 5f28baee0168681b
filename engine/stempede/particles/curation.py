"""Curation: set measured particles aside by hand, with an audit trail.

Nothing is measured anew: rows of an exclusion list change ``accepted`` and
``reject_reason`` of the particles they name, and the reductions are run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from stempede.errors import InputError
from stempede.tables import MISSING, Field, Schema, Table, declare

EXCLUDED = "excluded: "
"""How the reject reason of a particle begins that was set aside by hand."""

EXCLUSIONS = declare(
    Schema(
        "exclusions",
        (
            Field("row", "int64", doc="0-based row of the exclusion list"),
            Field("frame", "int64"),
            Field("particle", "int64", doc="null where a region was named", nullable=True),
            Field("y0_px", "float64", "px", "region, null where a particle was named"),
            Field("x0_px", "float64", "px"),
            Field("y1_px", "float64", "px"),
            Field("x1_px", "float64", "px"),
            Field("reason", "string"),
            Field("n_matched", "int64", doc="particles the row names"),
            Field("n_excluded", "int64", doc="of these, accepted before this row"),
        ),
    )
)
"""What each row of an exclusion list did."""

_REGION = ("y0", "x0", "y1", "x1")


def apply_exclusions(particles: Table, rows: Iterable[Mapping[str, Any]]) -> tuple[Table, Table]:
    """Set particles aside that a list names, and take back what an earlier list did.

    Parameters
    ----------
    particles : Table
        ``particles`` of a run.
    rows : iterable of mapping
        Rows of ``exclude.csv``: ``frame``, then ``particle`` or a region ``y0 x0 y1 x1`` (px,
        particles whose centroid lies in it; with neither, the whole frame), and ``reason``.
        Values may be strings; empty ones are absent.

    Returns
    -------
    particles : Table
        ``accepted`` False and ``reject_reason`` ``excluded: <reason>`` where an accepted particle
        is named; one that was rejected already keeps its own reason.
    audit : Table
        ``exclusions``, one row per row of the list.

    Raises
    ------
    InputError
        Lists every row that cannot be read or names a particle that does not exist.
    """
    before = restored(particles)
    accepted, reason = before["accepted"].copy(), before["reject_reason"].copy()
    audit, mistakes = [], []
    for k, row in enumerate(rows):
        entry, mistake = _parse(k, row)
        if mistake:
            mistakes.append(mistake)
            continue
        named = _named(before, entry)
        if entry["particle"] != MISSING and not named.any():
            mistakes.append(
                f"row {k + 1}: frame {entry['frame']} has no particle {entry['particle']}"
            )
        fresh = named & accepted
        accepted &= ~named
        reason[fresh] = EXCLUDED + entry["reason"]
        audit.append({**entry, "n_matched": named.sum(), "n_excluded": fresh.sum()})
    if mistakes:
        raise InputError(
            "the exclusion list wants frame, particle or y0,x0,y1,x1, reason; found "
            + "; ".join(mistakes)
            + "; correct these rows"
        )
    curated = before.with_columns({"accepted": accepted, "reject_reason": reason})
    return curated, Table.from_rows(EXCLUSIONS, audit)


def excluded_by_hand(particles: Table) -> np.ndarray:
    """Return which (n,) particles were accepted until a list named them."""
    return np.strings.startswith(particles["reject_reason"], EXCLUDED)


def restored(particles: Table) -> Table:
    """Return the particles as they were before any exclusion list."""
    by_hand = excluded_by_hand(particles)
    reason = particles["reject_reason"].copy()
    reason[by_hand] = ""
    return particles.with_columns(
        {"accepted": particles["accepted"] | by_hand, "reject_reason": reason}
    )


def _parse(k: int, row: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Read one row; returns the entry and what is wrong with it."""
    given = {
        str(key).strip().removesuffix("_px"): value
        for key, value in row.items()
        if value is not None and str(value).strip() not in ("", "nan")
    }
    entry: dict[str, Any] = {"row": k, "particle": MISSING, "reason": "by hand"}
    try:
        entry["frame"] = int(float(given["frame"]))
        if "particle" in given:
            entry["particle"] = int(float(given["particle"]))
        region = [float(given[name]) for name in _REGION if name in given]
    except KeyError:
        return entry, f"row {k + 1}: no frame"
    except ValueError as error:
        return entry, f"row {k + 1}: {error}"
    if region and (len(region) < 4 or "particle" in given):
        return entry, f"row {k + 1}: a region is y0, x0, y1 and x1, without a particle"
    entry.update(zip((f"{name}_px" for name in _REGION), region, strict=False))
    entry["reason"] = str(given.get("reason", entry["reason"])).strip()
    return entry, ""


def _named(particles: Table, entry: Mapping[str, Any]) -> np.ndarray:
    """Return which (n,) particles a parsed row names."""
    named: np.ndarray = particles["frame"] == entry["frame"]
    if entry["particle"] != MISSING:
        return named & (particles["particle"] == entry["particle"])
    if "y0_px" in entry:
        y, x = particles["y_px"], particles["x_px"]
        named = named & (y >= entry["y0_px"]) & (y <= entry["y1_px"])
        named = named & (x >= entry["x0_px"]) & (x <= entry["x1_px"])
    return named
