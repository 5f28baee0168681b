"""Statistics of a comparison: each side's own, and tests of two at a time.

Frames (or areas) are the sampling units throughout: errors are those of the delete-one jackknife
over units, tests are Welch's t with the degrees of freedom that these units leave.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from stempede.columns.samples import holm
from stempede.particles.clusters import Estimate, degrees_of_freedom, fraction, moments
from stempede.report.compare.sides import Side

MOST_PAIRED = 6


@dataclass(frozen=True)
class Described:
    """One side in numbers.

    Parameters
    ----------
    side : Side
    mean, sd, rel_sd : Estimate
        Edge-weighted.
    shares : mapping of int to Estimate
        Edge-weighted share of each group among the grouped particles.
    """

    side: Side
    mean: Estimate
    sd: Estimate
    rel_sd: Estimate
    shares: dict[int, Estimate]


@dataclass(frozen=True)
class Contrast:
    """One quantity of two sides against each other.

    Parameters
    ----------
    quantity : str
        ``mean size``, ``σ/d`` or ``share of group k``.
    first, second : str
        Names of the sides.
    values : (float, float)
    difference, low, high : float
        Second less first, with its 95 % interval; of σ/d the ratio of second to first.
    effect, effect_name : float, str
        Hedges' g on particles, the ratio itself, or Cohen's h.
    p, p_holm : float
        NaN where a side has too few units.
    """

    quantity: str
    first: str
    second: str
    values: tuple[float, float]
    difference: float
    low: float
    high: float
    effect: float
    effect_name: str
    p: float
    p_holm: float = float("nan")


def describe(side: Side, groups: Sequence[int]) -> Described:
    """Return the statistics of a side.

    Parameters
    ----------
    side : Side
    groups : sequence of int
        Groups that any side has; empty where particles are not grouped.
    """
    found = moments(side.sample())
    grouped = side.group >= 0
    shares = {g: fraction(side.sample(grouped), (side.group == g)[grouped]) for g in groups}
    return Described(side, found["mean"], found["sd"], found["relative_sd"], shares)


def contrasts(described: Sequence[Described]) -> list[Contrast]:
    """Compare sides two by two, p corrected for all of it by Holm's step-down.

    Up to six sides are compared each with each, more of them each with the first.
    """
    pairs = list(itertools.combinations(described, 2))
    if len(described) > MOST_PAIRED:
        pairs = [(described[0], other) for other in described[1:]]
    rows = [row for one, other in pairs for row in _pair(one, other)]
    corrected = holm(np.array([r.p for r in rows], float))
    return [
        Contrast(**{**r.__dict__, "p_holm": float(p)}) for r, p in zip(rows, corrected, strict=True)
    ]


def _pair(one: Described, other: Described) -> list[Contrast]:
    rows = [] if one.side.axis != other.side.axis else [_mean(one, other), _spread(one, other)]
    rows.extend(_share(one, other, group) for group in one.shares)
    return rows


def _mean(one: Described, other: Described) -> Contrast:
    difference = other.mean.value - one.mean.value
    n = len(one.side.size), len(other.side.size)
    squares = (n[0] - 1) * one.sd.value**2 + (n[1] - 1) * other.sd.value**2
    freedom = n[0] + n[1] - 2
    g = float("nan")
    if freedom > 1 and squares > 0:
        # Hedges' correction of the small-sample bias
        g = (1 - 3 / (4 * freedom - 1)) * difference / np.sqrt(squares / freedom)
    low, high, p = _welch(difference, one, other, (one.mean.se, other.mean.se))
    names = one.side.name, other.side.name
    values = one.mean.value, other.mean.value
    return Contrast("mean size", *names, values, difference, low, high, float(g), "Hedges' g", p)


def _spread(one: Described, other: Described) -> Contrast:
    """Compare σ/d by its ratio: the test is on the logarithm."""
    values = one.rel_sd.value, other.rel_sd.value
    names = one.side.name, other.side.name
    if not (values[0] > 0 and values[1] > 0):
        gone = float("nan")
        return Contrast("σ/d", *names, values, gone, gone, gone, gone, "ratio", gone)
    log_ratio = float(np.log(values[1] / values[0]))
    errors = one.rel_sd.se / values[0], other.rel_sd.se / values[1]
    low, high, p = _welch(log_ratio, one, other, errors)
    ratio = float(np.exp(log_ratio))
    bounds = float(np.exp(low)), float(np.exp(high))
    return Contrast("σ/d", *names, values, ratio, *bounds, ratio, "ratio", p)


def _share(one: Described, other: Described, group: int) -> Contrast:
    a, b = one.shares[group], other.shares[group]
    difference = b.value - a.value
    h = 2 * np.arcsin(np.sqrt(_unit(b.value))) - 2 * np.arcsin(np.sqrt(_unit(a.value)))
    low, high, p = _welch(difference, one, other, (a.se, b.se))
    names, values = (one.side.name, other.side.name), (a.value, b.value)
    what = f"share of group {group}"
    return Contrast(what, *names, values, difference, low, high, float(h), "Cohen's h", p)


def _unit(value: float) -> float:
    return float(np.clip(value, 0.0, 1.0))


def _welch(
    difference: float, one: Described, other: Described, errors: tuple[float, float]
) -> tuple[float, float, float]:
    """Return the 95 % interval of a difference and its p, with units' degrees of freedom."""
    parts = np.square(errors)
    total = float(parts.sum())
    if not (np.isfinite(total) and total > 0):
        return (float("nan"),) * 3
    freedom = np.array([degrees_of_freedom(d.side.sample()) for d in (one, other)])
    df = total**2 / float((parts**2 / freedom).sum())
    se = np.sqrt(total)
    reach = float(stats.t.ppf(0.975, df)) * se
    p = float(2 * stats.t.sf(abs(difference) / se, df))
    return float(difference - reach), float(difference + reach), p
