"""Samples: two samples of dots compared, the dot as the unit (METHODS 1.4)."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from stempede.columns.pooling import POOLED_AS, unit_values
from stempede.tables import MISSING, Field, Schema, Table, declare


def _f(name: str, unit: str = "", doc: str = "") -> Field:
    return Field(name, "float64", unit, doc)


COMPARISON = declare(
    Schema(
        "column_comparison",
        (
            Field("view", "string", "", "only dots of one view are compared"),
            Field("layer", "int64", "", "0 is outermost; null where of a whole dot", nullable=True),
            Field("quantity", "string", "", "staggered_tilt_deg and core_minus_shell_deg oriented"),
            Field("sample_1", "string"),
            Field("sample_2", "string"),
            Field("n_1", "int64", "", "dots"),
            Field("n_2", "int64"),
            _f("mean_1"),
            _f("mean_2"),
            _f("difference", "", "second less first"),
            _f("se", "", "from the spread between dots; null below two dots of either"),
            _f("ci_low", "", "95 %"),
            _f("ci_high", "", "95 %"),
            _f("effect_size", "", "Hedges' g"),
            _f("p", "", "Welch's t test on dots"),
            _f("p_holm", "", "corrected over the rows of this table"),
        ),
    )
)

_ORIENTED = tuple(POOLED_AS)
_COMPARED = (*_ORIENTED, "a_nm", "b_nm", "a_px", "b_px", "gamma_deg", "offcentre_outward_nm")


def compare_samples(
    first: Table,
    second: Table,
    *,
    names: tuple[str, str] = ("1", "2"),
    units: tuple[dict[tuple[int, int], Any] | None, dict[tuple[int, int], Any] | None] = (
        None,
        None,
    ),
) -> Table:
    """Compare the layers of two samples.

    Each dot gives one number per layer and quantity. Dots of different views are never put
    together; tilts are those oriented by the dot's own core, so that dots without a clear core
    are left out.

    Parameters
    ----------
    first, second : Table
        ``layers`` tables (rows of single crystals are used), of one sample each.
    names : (str, str)
        What the samples are called.
    units : pair of dict, optional
        Dot of each (frame, crystal), where some rows are repeats of one dot.

    Returns
    -------
    Table
        ``column_comparison``, a row per view, layer and quantity that both samples have.
    """
    sides = [_by_key(table, unit or {}) for table, unit in zip((first, second), units, strict=True)]
    rows = []
    for key in sorted(sides[0].keys() & sides[1].keys()):
        view, layer, quantity = key
        row = {"view": view, "quantity": POOLED_AS.get(quantity, quantity)}
        row |= {"sample_1": names[0], "sample_2": names[1]}
        row |= _welch(sides[0][key], sides[1][key])
        rows.append(row if layer == MISSING else {**row, "layer": layer})
    table = Table.from_rows(COMPARISON, rows)
    return table.with_columns({"p_holm": holm(table["p"])})


def _by_key(layers: Table, unit: dict[tuple[int, int], Any]) -> dict[Any, np.ndarray]:
    found: dict[Any, list[float]] = {}
    for (_, view, layer, quantity), dots in unit_values(layers, unit).items():
        if quantity in _COMPARED:
            values = [value for value, _, _ in dots.values() if np.isfinite(value)]
            found.setdefault((view, layer, quantity), []).extend(values)
    return {key: np.array(values) for key, values in found.items() if values}


def _welch(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    n = len(first), len(second)
    row: dict[str, float] = {"n_1": n[0], "n_2": n[1]}
    row |= {"mean_1": float(first.mean()), "mean_2": float(second.mean())}
    row["difference"] = row["mean_2"] - row["mean_1"]
    if min(n) < 2:
        return row
    variance = first.var(ddof=1), second.var(ddof=1)
    parts = variance[0] / n[0], variance[1] / n[1]
    se = float(np.sqrt(sum(parts)))
    if se == 0:
        return row
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (n[0] - 1) + parts[1] ** 2 / (n[1] - 1))
    reach = float(stats.t.ppf(0.975, freedom)) * se
    pooled = np.sqrt(((n[0] - 1) * variance[0] + (n[1] - 1) * variance[1]) / (sum(n) - 2))
    # Hedges' correction of the small-sample bias
    shrink = 1.0 - 3.0 / (4.0 * (sum(n) - 2) - 1.0)
    return row | {
        "se": se,
        "ci_low": row["difference"] - reach,
        "ci_high": row["difference"] + reach,
        "effect_size": float(shrink * row["difference"] / pooled),
        "p": float(2 * stats.t.sf(abs(row["difference"]) / se, freedom)),
    }


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values corrected for their number by Holm's step-down; NaN stays and is not counted.

    Parameters
    ----------
    p : (n,) float64 array
    """
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected = np.full(len(p), np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected
