"""Columns runs side by side: layers and contrasts of their dots, the dot as the unit."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stempede.columns.samples import compare_samples
from stempede.io.results import Results
from stempede.report.html import number, span

HEADS = ("quantity", "view", "layer", "n", "mean", "difference", "95 % CI", "p", "p (Holm)")


def compare_dots(runs: Sequence[Path]) -> str:
    """Return plain tables of what differs between columns runs, two by two.

    Each dot gives one number per layer; only dots of one view are compared (METHODS 1.5).

    Parameters
    ----------
    runs : sequence of Path
        Folders of columns runs.
    """
    layers = {run: Results(run).read("layers") for run in runs}
    parts = []
    for one, other in itertools.combinations(runs, 2):
        names = (one.resolve().name, other.resolve().name)
        table = compare_samples(layers[one], layers[other], names=names)
        parts.append(f"{names[1]} less {names[0]}")
        rows = [{n: table[n][k] for n in table.schema.names} for k in range(len(table))]
        parts.append(_plain([HEADS, *(_line(row) for row in rows)]) if rows else NOTHING)
    return "\n".join(parts)


NOTHING = "no dots of one view in both: nothing is compared"


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    layer = int(row["layer"])
    return (
        str(row["quantity"]),
        str(row["view"]),
        "whole dot" if layer < 0 else str(layer),
        f"{int(row['n_1'])}, {int(row['n_2'])}",
        f"{number(float(row['mean_1']), 4)}, {number(float(row['mean_2']), 4)}",
        number(float(row["difference"])),
        span(float(row["ci_low"]), float(row["ci_high"])),
        _p(float(row["p"])),
        _p(float(row["p_holm"])),
    )


def _p(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _plain(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    text = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(t.rstrip() for t in text)
