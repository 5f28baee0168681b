"""Samples against groups: which share of each sample belongs to which group, or class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from stempede.particles.classify.examples import known_labels
from stempede.particles.classify.tables import SAMPLE_GROUPS, text
from stempede.particles.clusters import LEVEL, fraction
from stempede.particles.scopes import Scope, scopes
from stempede.tables import Table

_SHUFFLES = 999


@dataclass(frozen=True)
class _Sorting:
    """Accepted particles that have a name, and what their units hold of each name."""

    kind: str
    names: tuple[str, ...]
    code: np.ndarray
    frame: np.ndarray
    weight: np.ndarray


def sample_groups(frames: Table, particles: Table, seed: int = 0) -> Table:
    """Return the shares of groups, and of classes where there are any, in each sample.

    Shares carry Miles-Lantuejoul weights; intervals take the frame, or the area, as the
    unit. A sample is compared with all others together: difference of shares with its
    interval, Cohen's h, and a p-value from dealing whole units to samples at random,
    corrected after Holm over all samples and names of one kind.

    Parameters
    ----------
    frames, particles : Table
        Of a run; ``group`` below 0 and an empty ``class_name`` are no member of anything.
    seed : int
        Of the random deals.
    """
    rows: list[dict[str, Any]] = []
    for sorting in _sortings(particles):
        found = scopes(frames)
        mine = [row for scope in found for row in _of_scope(scope, sorting)]
        _compare(mine, found, sorting, seed)
        rows += mine
    return Table.from_rows(SAMPLE_GROUPS, rows)


def _sortings(particles: Table) -> list[_Sorting]:
    accepted = np.asarray(particles["accepted"])
    labels = {"group": known_labels(particles, particles, "group")}
    if "class_name" in particles.schema.names:
        labels["class"] = text(particles["class_name"])
    weight = np.nan_to_num(particles["weight"], nan=1.0)
    made = []
    for kind, label in labels.items():
        rows = np.flatnonzero(accepted & (label != ""))
        if len(rows):
            names, code = np.unique(label[rows], return_inverse=True)
            frame = np.asarray(particles["frame"])[rows]
            made.append(_Sorting(kind, tuple(names.tolist()), code, frame, weight[rows]))
    return made


def _of_scope(scope: Scope, sorting: _Sorting) -> list[dict[str, Any]]:
    """Return a row per name: its share in the session or in one sample."""
    inside = np.isin(sorting.frame, scope.frames)
    code, weight = sorting.code[inside], sorting.weight[inside]
    sample = scope.sample_of(sorting.frame[inside], np.ones(len(code)), weight)
    rows = []
    for k, name in enumerate(sorting.names):
        share = fraction(sample, code == k)
        rows.append(
            {
                "kind": sorting.kind,
                "sample": scope.sample,
                "name": name,
                "n": int((code == k).sum()),
                "n_sample": len(code),
                "n_frames": len(scope.frames),
                "n_units": scope.n_units,
                "fraction": share.value,
                "ci_low": share.ci_low,
                "ci_high": share.ci_high,
                "note": scope.shortage,
            }
        )
    return rows


def _compare(rows: list[dict[str, Any]], found: list[Scope], sorting: _Sorting, seed: int) -> None:
    """Add to the rows of samples how they differ from all other samples together."""
    samples = [scope for scope in found if scope.name == "sample"]
    if len(samples) < 2:
        return
    held, owner, enough = _units(samples, sorting)
    total = held.sum(axis=1)
    rng = np.random.default_rng(seed)
    dealt = np.stack([rng.permutation(owner) for _ in range(_SHUFFLES)])
    by_key = {(r["sample"], r["name"]): r for r in rows}
    compared = []
    for s, scope in enumerate(samples):
        if not (total[owner == s].sum() and total[owner != s].sum()):
            continue
        measured = _difference(held, total, (owner == s)[None])[0]
        null = _difference(held, total, dealt == s)
        low, high = _interval(held, total, owner == s, measured)
        for k, name in enumerate(sorting.names):
            row = by_key[scope.sample, name]
            share = row["fraction"]
            other = share - measured[k]
            row["difference"] = measured[k]
            row["cohens_h"] = _angle(share) - _angle(other)
            if enough:
                row["difference_low"], row["difference_high"] = low[k], high[k]
                beyond = np.abs(null[:, k]) >= abs(measured[k]) - 1e-12
                row["p"] = (1 + int(beyond.sum())) / (1 + _SHUFFLES)
                compared.append(row)
    _holm(compared)


def _units(samples: list[Scope], sorting: _Sorting) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return (units, names) weights held, (units,) the sample of each, and whether they do."""
    held, owner = [], []
    for s, scope in enumerate(samples):
        inside = np.isin(sorting.frame, scope.frames)
        unit = scope.unit[np.searchsorted(scope.frames, sorting.frame[inside])]
        cell = unit * len(sorting.names) + sorting.code[inside]
        size = scope.n_units * len(sorting.names)
        counts = np.bincount(cell, sorting.weight[inside], minlength=size)
        held.append(counts.reshape(scope.n_units, len(sorting.names)))
        owner.append(np.full(scope.n_units, s))
    enough = all(not scope.shortage for scope in samples)
    return np.concatenate(held), np.concatenate(owner), enough


def _difference(held: np.ndarray, total: np.ndarray, mine: np.ndarray) -> np.ndarray:
    """Return (m, names) share in the units of ``mine`` (m, units) minus that in the others."""
    inside = mine.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        here = inside @ held / (inside @ total)[:, None]
        there = (1 - inside) @ held / ((1 - inside) @ total)[:, None]
    return np.nan_to_num(here - there)


def _interval(
    held: np.ndarray, total: np.ndarray, mine: np.ndarray, measured: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % interval of a difference: both sides jackknifed over their units."""
    variance = np.zeros(held.shape[1])
    degrees = np.inf
    for side in (mine, ~mine):
        inside, n = held[side], int(side.sum())
        if n < 2:
            return np.full(len(measured), np.nan), np.full(len(measured), np.nan)
        rest = total[side].sum() - total[side]
        with np.errstate(divide="ignore", invalid="ignore"):
            left_out = (inside.sum(axis=0) - inside) / rest[:, None]
            whole = inside.sum(axis=0) / total[side].sum()
        variance += (n - 1) / n * ((left_out - whole) ** 2).sum(axis=0)
        degrees = min(degrees, n - 1)
    half = stats.t.ppf(0.5 + LEVEL / 2, degrees) * np.sqrt(variance)
    return np.maximum(measured - half, -1.0), np.minimum(measured + half, 1.0)


def _angle(share: float) -> float:
    return float(2 * np.arcsin(np.sqrt(np.clip(share, 0.0, 1.0))))


def _holm(rows: list[dict[str, Any]]) -> None:
    """Fill ``p_holm``: step-down, never below the one before."""
    least = 0.0
    for rank, row in enumerate(sorted(rows, key=lambda r: r["p"])):
        least = max(least, min(1.0, (len(rows) - rank) * row["p"]))
        row["p_holm"] = least
