"""Tables of a comparison: rows for the terminal, the page and CSV files alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from stempede.particles.clusters import Estimate
from stempede.report.compare.contrasts import Contrast, Described
from stempede.report.html import number, span

DESCRIBED = (
    "images",
    "crystals",
    "min",
    "crystals/min",
    "size ± sd",
    "95 % CI of the mean",
    "σ/d, %",
    "95 % CI, %",
    "groups",
)
"""Columns of the batch-to-batch table."""

TESTED = (
    "quantity",
    "first",
    "second",
    "value, first",
    "value, second",
    "difference or ratio",
    "95 % CI",
    "effect size",
    "p",
    "p (Holm)",
)


def described_row(one: Described) -> list[Any]:
    """Return one side as cells under ``DESCRIBED``, its name first."""
    side = one.side
    unit = side.unit
    n = len(side.size)
    shares = [f"{g}: {100 * s.value:.0f} %" for g, s in one.shares.items() if s.value > 0]
    return [
        side.name,
        len(side.scope.frames),
        n,
        side.minutes,
        n / side.minutes if side.minutes > 0 else math.nan,
        f"{number(one.mean.value, 3)} ± {number(one.sd.value, 2)} {unit}",
        span(one.mean.ci_low, one.mean.ci_high, unit),
        100 * one.rel_sd.value,
        span(one.rel_sd.ci_low, one.rel_sd.ci_high, "", 100),
        ", ".join(shares),
    ]


def tested_row(row: Contrast) -> list[str]:
    """Return one test as cells under ``TESTED``."""
    percent = row.quantity != "mean size"
    scale = 100.0 if percent else 1.0
    unit = " %" if percent else ""
    if row.quantity == "σ/d":
        change = f"× {number(row.difference, 3)}"
        bounds = span(row.low, row.high)
    else:
        points = " points" if percent else ""
        change = f"{_signed(scale * row.difference)}{points}"
        bounds = span(row.low, row.high, "", scale)
    return [
        row.quantity,
        row.first,
        row.second,
        *(f"{number(scale * v, 3)}{unit}" for v in row.values),
        change if math.isfinite(row.difference) else "–",
        bounds,
        f"{row.effect_name} {number(row.effect, 2)}" if math.isfinite(row.effect) else "–",
        probability(row.p),
        probability(row.p_holm),
    ]


def _signed(value: float) -> str:
    return ("+" if value >= 0 else "") + number(value, 3)


def probability(value: float) -> str:
    """Return a p-value as readers want it."""
    if not math.isfinite(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def plain(lines: Sequence[Sequence[Any]]) -> str:
    """Return rows as aligned columns of text."""
    cells = [[_cell(c) for c in line] for line in lines]
    widths = [max(len(line[k]) for line in cells) for k in range(len(cells[0]))]
    text = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in cells]
    return "\n".join(t.rstrip() for t in text)


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return number(value, 3) if isinstance(value, float) else str(value)


def described_record(one: Described) -> dict[str, Any]:
    """Return one side in full digits, for a CSV file."""
    side = one.side
    row: dict[str, Any] = {
        "side": side.name,
        **side.labels,
        "n_frames": len(side.scope.frames),
        "n_units": side.scope.n_units,
        "unit_kind": side.scope.unit_kind,
        "n_particles": len(side.size),
        "size": side.measure,
        "unit": side.unit,
    }
    estimates = {"mean": one.mean, "sd": one.sd, "relative_sd": one.rel_sd}
    estimates |= {f"share_group_{g}": s for g, s in one.shares.items()}
    for name, e in estimates.items():
        row |= _fields(name, e)
    return {**row, "rel_u_cal": side.u_cal}


def _fields(name: str, e: Estimate) -> dict[str, float]:
    ends = {f"{name}_ci_low": e.ci_low, f"{name}_ci_high": e.ci_high}
    return {name: e.value, f"{name}_se": e.se, **ends}


def tested_record(row: Contrast) -> dict[str, Any]:
    """Return one test in full digits, for a CSV file."""
    return {
        "quantity": row.quantity,
        "first": row.first,
        "second": row.second,
        "value_first": row.values[0],
        "value_second": row.values[1],
        "difference_or_ratio": row.difference,
        "ci_low": row.low,
        "ci_high": row.high,
        "effect_size": row.effect,
        "effect_name": row.effect_name,
        "p": row.p,
        "p_holm": row.p_holm,
    }
