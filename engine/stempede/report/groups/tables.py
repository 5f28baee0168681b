"""Tables of grouping and classification as the page reads them; absent ones give None."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stempede.report.folder import Columns, RunFolder
from stempede.report.sizes import Interval


@dataclass(frozen=True)
class Confusion:
    """A square count of labels against what a classifier said.

    Parameters
    ----------
    key : tuple of str
        origin, judged against, features, split.
    actual, predicted : tuple of str
    counts : (actual, predicted) int64 array
    """

    key: tuple[str, str, str, str]
    actual: tuple[str, ...]
    predicted: tuple[str, ...]
    counts: np.ndarray


_KEY = ("origin", "judged_against", "features", "split")


def confusions(run: RunFolder) -> list[Confusion]:
    """Return every confusion matrix of a run, in the order of its table."""
    table = run.columns("confusion")
    if not len(table):
        return []
    keys = list(zip(*(table.text(k) for k in _KEY), strict=True))
    actual, predicted = (np.asarray(table.text(k), object) for k in ("actual", "predicted"))
    found = []
    for key in dict.fromkeys(keys):
        rows = np.array([k == key for k in keys])
        names = natural([*actual[rows], *predicted[rows]])
        counts = np.zeros((len(names), len(names)), np.int64)
        at = {name: k for k, name in enumerate(names)}
        for a, p, n in zip(actual[rows], predicted[rows], table["n"][rows], strict=True):
            counts[at[a], at[p]] += int(n)
        labelled = counts.sum(axis=1) > 0
        kept = tuple(n for n, there in zip(names, labelled, strict=True) if there)
        found.append(Confusion(key, kept, tuple(names), counts[labelled]))
    return found


def natural(names: Sequence[str]) -> list[str]:
    """Return distinct names, numbers in order of value and before words."""
    return sorted(set(names), key=lambda n: (0, int(n), n) if n.isdigit() else (1, 0, n))


def interval(row: dict[str, object], value: str = "value") -> Interval:
    """Return a value of a row with its bounds."""
    return Interval(*(_number(row.get(k)) for k in (value, "ci_low", "ci_high")))


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")


def linkage(run: RunFolder) -> tuple[np.ndarray, Columns] | None:
    """Return the tree as SciPy has it, (n - 1, 4) float64, and its table; None without one."""
    table = run.columns("group_tree")
    names = ("left", "right", "height", "count")
    if len(table) < 2 or any(n not in table for n in names):
        return None
    return np.stack([np.asarray(table[n], float) for n in names], axis=1), table


def text(table: Columns, name: str, row: int = 0) -> str:
    """Return one cell as text, empty where there is none."""
    cells = table.text(name)
    return cells[row] if len(cells) > row else ""
