"""Facets: the tilt of a crystal's four sides, and whether they differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stempede.columns.forms import Form

SIDES = {"a_low": (-1, 0), "a_high": (1, 0), "b_low": (0, -1), "b_high": (0, 1)}
"""Where a side's sites lack a neighbour, in (i, j)."""

LEAST_SITES = 2


@dataclass(frozen=True)
class Facets:
    """Staggered tilt of the sides.

    Parameters
    ----------
    mean, se : dict of str to float
        By side; NaN where fewer than two sites have a tilt.
    anisotropy : float
        Root mean square of the sides' differences over their errors: about 1 where all sides
        are alike, NaN with fewer than two sides.
    """

    mean: dict[str, float]
    se: dict[str, float]
    anisotropy: float


def facets(form: Form, i: np.ndarray, j: np.ndarray, layer: np.ndarray) -> Facets:
    """Average the outermost sites side by side; sites at corners belong to no side.

    Parameters
    ----------
    form : Form
        Staggered tilt.
    i, j : (m,) int array
    layer : (m,) int64 array
    """
    there = set(zip(i.tolist(), j.tolist(), strict=True))
    lacks = np.array(
        [
            [(u + di, v + dj) not in there for di, dj in SIDES.values()]
            for u, v in zip(i.tolist(), j.tolist(), strict=True)
        ]
    ).reshape(-1, 4)
    usable = np.isfinite(form.value) & (layer == 0) & (lacks.sum(axis=1) == 1)
    weights, names = [], []
    mean = dict.fromkeys(SIDES, np.nan)
    se = dict.fromkeys(SIDES, np.nan)
    for k, side in enumerate(SIDES):
        where = usable & lacks[:, k]
        if where.sum() >= LEAST_SITES:
            weights.append(where / where.sum())
            names.append(side)
    if not names:
        return Facets(mean, se, np.nan)
    rows = np.array(weights)
    values = rows @ np.nan_to_num(form.value)
    covariance = form.covariance(rows)
    mean |= dict(zip(names, values.tolist(), strict=True))
    se |= dict(zip(names, np.sqrt(np.diag(covariance)).tolist(), strict=True))
    return Facets(mean, se, _anisotropy(values, covariance))


def _anisotropy(values: np.ndarray, covariance: np.ndarray) -> float:
    if len(values) < 2:
        return np.nan
    inverse = np.linalg.pinv(covariance)
    common = (inverse @ values).sum() / inverse.sum()
    rest = values - common
    return float(np.sqrt(max(0.0, rest @ inverse @ rest) / (len(values) - 1)))
