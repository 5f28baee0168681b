"""Pooling: many dots' layers put together, the dot as the unit, dots of one view only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stempede.columns.tables import LAYERS
from stempede.tables import MISSING, Table

POOLED_AS = {
    "oriented_tilt_deg": "staggered_tilt_deg",
    "oriented_core_minus_shell_deg": "core_minus_shell_deg",
}
"""What stands in the pooled rows for values that each dot's core has oriented."""

_BY_PARITY = ("staggered_tilt_deg",)
"""Values whose sign is arbitrary: pooled oriented, and as squares, never as they are."""

_NOT_POOLED = ("abs_tilt_deg", "offcentre_nm", "offcentre_px")
"""Sizes that are cut off at zero: their means over noisy dots would be too large."""

SQUARE = "squared_tilt_deg2"
_ITERATIONS = 100


@dataclass(frozen=True)
class Pooled:
    """Mean over dots; ``spread`` is the standard deviation between them beyond their errors."""

    mean: float
    se: float
    spread: float
    n: int


def random_effects(value: np.ndarray, se: np.ndarray) -> Pooled:
    """Return the mean over dots that differ by more than their errors.

    The variance between dots is the one at which the weighted squares equal their expectation
    (Paule and Mandel 1982); weights are one over the sum of both variances.

    Parameters
    ----------
    value, se : (n,) float64 array
        NaN is left out.
    """
    known = np.isfinite(value) & np.isfinite(se)
    x, error = value[known], np.maximum(se[known], 1e-12) ** 2
    n = len(x)
    if n == 0:
        return Pooled(np.nan, np.nan, np.nan, 0)
    between = _between(x, error) if n > 1 else 0.0
    weight = 1.0 / (error + between)
    mean = float((weight * x).sum() / weight.sum())
    return Pooled(mean, float(weight.sum() ** -0.5), float(np.sqrt(between)), n)


def _between(x: np.ndarray, error: np.ndarray) -> float:
    def excess(between: float) -> float:
        weight = 1.0 / (error + between)
        mean = (weight * x).sum() / weight.sum()
        return float((weight * (x - mean) ** 2).sum()) - (len(x) - 1)

    if excess(0.0) <= 0:
        return 0.0
    low, high = 0.0, float(np.var(x, ddof=1)) + float(error.max())
    while excess(high) > 0:
        high *= 2.0
    for _ in range(_ITERATIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


def unit_values(
    layers: Table, unit: dict[tuple[int, int], Any]
) -> dict[tuple[str, str, int, str], dict[Any, tuple[float, float, int]]]:
    """Gather rows of single crystals by (sample, view, layer, quantity) and dot.

    Parameters
    ----------
    layers : Table
        Rows pooled over crystals are left out.
    unit : dict
        Dot of each (frame, crystal): repeats of one dot share it and are averaged first.

    Returns
    -------
    dict of dict
        Value, its standard error and the number of sites, by dot.
    """
    found: dict[tuple[str, str, int, str], dict[Any, list[tuple[float, float, int]]]] = {}
    names = ("frame", "crystal", "sample", "view", "layer", "quantity", "mean", "se", "n_sites")
    single = np.flatnonzero(layers["frame"] != MISSING)
    for row in zip(*(layers[n][single].tolist() for n in names), strict=True):
        frame, crystal, sample, view, layer, quantity, mean, se, n_sites = row
        key = (sample, view, layer, quantity)
        dot = unit.get((frame, crystal), (frame, crystal))
        found.setdefault(key, {}).setdefault(dot, []).append((mean, se, n_sites))
    return {
        key: {dot: _averaged(rows) for dot, rows in dots.items()} for key, dots in found.items()
    }


def _averaged(rows: list[tuple[float, float, int]]) -> tuple[float, float, int]:
    mean, se, n_sites = np.array(rows).T
    n = len(rows)
    return float(mean.mean()), float(np.sqrt((se**2).sum()) / n), round(float(n_sites.mean()))


def pool(layers: Table, unit: dict[tuple[int, int], Any] | None = None) -> Table:
    """Return rows pooled over the dots of each sample and view.

    ``staggered_tilt_deg`` and ``core_minus_shell_deg`` are means of dots oriented by their own
    core; dots whose core is not known to three standard errors are left out there and count in
    ``squared_tilt_deg2``, the mean square with the noise variance taken off.

    Parameters
    ----------
    layers : Table
        Rows of single crystals.
    unit : dict, optional
        Dot of each (frame, crystal), where some are repeats.

    Returns
    -------
    Table
        ``layers`` rows without frame and crystal.
    """
    rows: list[dict[str, Any]] = []
    for (sample, view, layer, quantity), dots in sorted(unit_values(layers, unit or {}).items()):
        if quantity in _NOT_POOLED:
            continue
        value, se, n_sites = np.array(list(dots.values())).T
        if quantity in _BY_PARITY:
            named = {SQUARE: (value**2 - se**2, np.sqrt(4 * value**2 * se**2 + 2 * se**4))}
        else:
            named = {POOLED_AS.get(quantity, quantity): (value, se)}
        for name, (x, error) in named.items():
            pooled = _plain(x, error) if name == SQUARE else random_effects(x, error)
            row = {"sample": sample, "view": view, "quantity": name, "n_sites": int(n_sites.sum())}
            row |= {"n_crystals": pooled.n, "mean": pooled.mean, "se": pooled.se}
            rows.append(row if layer == MISSING else {**row, "layer": layer})
    return Table.from_rows(LAYERS, rows)


def _plain(value: np.ndarray, se: np.ndarray) -> Pooled:
    """Return the unweighted mean: a square's own error follows its value, weights would bias."""
    known = np.isfinite(value) & np.isfinite(se)
    x, error = value[known], se[known]
    n = len(x)
    if n == 0:
        return Pooled(np.nan, np.nan, np.nan, 0)
    own = float(np.sqrt((error**2).sum()) / n)
    seen = float(x.std(ddof=1) / np.sqrt(n)) if n > 2 else 0.0
    return Pooled(float(x.mean()), max(own, seen), np.nan, n)


def repeats(frames: Table, crystals: Table) -> dict[tuple[int, int], Any]:
    """Return the dot of each (frame, crystal): frames of one series show the same dots."""
    if not len(frames):
        return {}
    series = dict(zip(frames["frame"].tolist(), frames["series"].tolist(), strict=True))
    pairs: Iterable[tuple[int, int]] = zip(
        crystals["frame"].tolist(), crystals["crystal"].tolist(), strict=True
    )
    return {(f, c): (series[f], c) for f, c in pairs if series.get(f)}
