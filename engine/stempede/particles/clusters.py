"""Estimates with intervals that know that particles of one frame are alike.

The sampling unit is the frame (or the specimen area): particles of one unit share
its thickness, tilt and neighbourhood. Every statistic here is a function of sums
over units; its variance comes from leaving out one unit at a time (delete-one
jackknife, for a mean the cluster-robust CR3 estimator), its interval from
Student's t with degrees of freedom that fall where few units hold most of the
particles. Quantiles are bounded by inverting the interval of the distribution
function (Woodruff, J. Am. Stat. Assoc. 47 (1952) 635).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

LEAST_FRAMES = 5
LEAST_AREAS = 3
LEVEL = 0.95

QUANTILES = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)


@dataclass(frozen=True)
class Estimate:
    """A number, its standard error and its 95 % interval; NaN where there are too few units."""

    value: float
    se: float = np.nan
    ci_low: float = np.nan
    ci_high: float = np.nan


@dataclass(frozen=True)
class Sample:
    """Sizes with their weights and sampling units.

    Parameters
    ----------
    x : (n,) float64 array
        Sizes, positive.
    w : (n,) float64 array
        Weights, positive.
    unit : (n,) int64 array
        Sampling unit of each, 0 to ``n_units - 1``.
    n_units : int
        Units that were looked at, with or without particles.
    enough : bool
        Whether there are enough units for an interval.
    """

    x: np.ndarray
    w: np.ndarray
    unit: np.ndarray
    n_units: int
    enough: bool = True

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the weighted sum of values over each unit, (n_units,)."""
        return np.bincount(self.unit, self.w * values, minlength=self.n_units)

    @property
    def counts(self) -> np.ndarray:
        """Particles per unit, (n_units,)."""
        return np.bincount(self.unit, minlength=self.n_units)


MOMENTS = (
    "mean",
    "sd",
    "relative_sd",
    "volume_mean",
    "geometric_mean",
    "geometric_sd",
)
"""Statistics that ``moments`` gives, in order."""

# their errors are multiplicative: the interval is symmetric in the logarithm
_ON_LOG_SCALE = np.array([False, True, True, True, True, True])


def moments(sample: Sample) -> dict[str, Estimate]:
    """Estimate the statistics of ``MOMENTS`` with intervals.

    ``volume_mean`` is the volume-weighted (De Brouckere) mean, the ratio of the fourth to the
    third moment; ``geometric_sd`` is the exponential of the standard deviation of the logarithm.

    Parameters
    ----------
    sample : Sample
        May be empty: every estimate is NaN then.

    Returns
    -------
    dict of str to Estimate
        By name.
    """
    n = len(sample.x)
    if n < 2:
        mean = float(sample.x[0]) if n else np.nan
        return {name: Estimate(mean if name == "mean" else np.nan) for name in MOMENTS}
    log_x = np.log(sample.x)
    # about a centre, so that squares keep their digits
    centre, log_centre = float(sample.x.mean()), float(log_x.mean())
    powers = (
        np.ones(n),
        sample.x - centre,
        (sample.x - centre) ** 2,
        sample.x**3,
        sample.x**4,
        log_x - log_centre,
        (log_x - log_centre) ** 2,
    )
    per_unit = np.stack([sample.sums(p) for p in powers], axis=1)  # (units, powers)
    counts = sample.counts
    whole = _statistics(per_unit.sum(axis=0)[None], np.array([n]), centre, log_centre)[0]
    left_out = per_unit.sum(axis=0) - per_unit
    replicates = _statistics(left_out, n - counts, centre, log_centre)
    return dict(zip(MOMENTS, _intervals(whole, replicates, sample), strict=True))


def _statistics(sums: np.ndarray, n: np.ndarray, centre: float, log_centre: float) -> np.ndarray:
    """Turn (m, 7) weighted sums into (m, 6) statistics."""
    with np.errstate(divide="ignore", invalid="ignore"):
        total = sums[:, 0]
        shift = sums[:, 1] / total
        unbiased = n / (n - 1)
        sd = np.sqrt(np.maximum(sums[:, 2] / total - shift**2, 0.0) * unbiased)
        mean = centre + shift
        log_shift = sums[:, 5] / total
        log_sd = np.sqrt(np.maximum(sums[:, 6] / total - log_shift**2, 0.0) * unbiased)
        return np.stack(
            [
                mean,
                sd,
                sd / mean,
                sums[:, 4] / sums[:, 3],
                np.exp(log_centre + log_shift),
                np.exp(log_sd),
            ],
            axis=1,
        )


def _intervals(whole: np.ndarray, replicates: np.ndarray, sample: Sample) -> list[Estimate]:
    """Jackknife error and Student interval of each statistic."""
    units = sample.n_units
    if not sample.enough or not np.isfinite(replicates).all():
        return [Estimate(float(v)) for v in whole]
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(_ON_LOG_SCALE, np.maximum(whole, 1e-300), 1.0)
        deviations = np.where(_ON_LOG_SCALE, np.log(replicates / scale), replicates - whole)
        se = np.sqrt((units - 1) / units * (deviations**2).sum(axis=0))
        half = float(stats.t.ppf(0.5 + LEVEL / 2, degrees_of_freedom(sample))) * se
        low = np.where(_ON_LOG_SCALE, whole * np.exp(-half), whole - half)
        high = np.where(_ON_LOG_SCALE, whole * np.exp(half), whole + half)
    columns = (whole, se * scale, low, high)
    return [Estimate(*row) for row in np.stack(columns, axis=1).tolist()]


def mean_and_sd(sample: Sample) -> tuple[Estimate, float]:
    """Estimate the mean of any real quantity, and its standard deviation without an interval.

    Parameters
    ----------
    sample : Sample
        Values of any sign; may be empty.

    Returns
    -------
    Estimate, float
        NaN where there is nothing to tell.
    """
    n = len(sample.x)
    if not n:
        return Estimate(np.nan), float("nan")
    total, part = sample.sums(np.ones(n)), sample.sums(sample.x)
    value = part.sum() / total.sum()
    variance = np.average((sample.x - value) ** 2, weights=sample.w) * n / max(n - 1, 1)
    mean = _ratio(part, total, sample)
    return mean, float(np.sqrt(variance)) if n > 1 else float("nan")


def _ratio(part: np.ndarray, total: np.ndarray, sample: Sample) -> Estimate:
    """Ratio of two sums over units, with the jackknife interval."""
    value = float(part.sum() / total.sum())
    others = total.sum() - total
    if not sample.enough or not (others > 0).all():
        return Estimate(value)
    replicates = (part.sum() - part) / others
    units = sample.n_units
    se = float(np.sqrt((units - 1) / units * ((replicates - value) ** 2).sum()))
    half = float(stats.t.ppf(0.5 + LEVEL / 2, degrees_of_freedom(sample))) * se
    return Estimate(value, se, value - half, value + half)


def degrees_of_freedom(sample: Sample) -> float:
    """Return the effective number of units less one.

    With units of equal counts this is ``n_units - 1``; where a few units hold most of the
    particles it is less, in the manner of Satterthwaite.
    """
    counts = sample.counts.astype(np.float64)
    # where it cannot be told it does no harm: one particle per unit
    correlation = max(np.nan_to_num(icc(sample)), 0.0)
    variance = counts * (1.0 + np.maximum(counts - 1.0, 0.0) * correlation)
    total = float(variance.sum())
    return max(total**2 / float((variance**2).sum()) - 1.0, 1.0) if total else 1.0


def quantiles(sample: Sample, levels: tuple[float, ...] = QUANTILES) -> list[Estimate]:
    """Estimate quantiles with Woodruff intervals.

    Parameters
    ----------
    sample : Sample
        May be empty: every estimate is NaN then.
    levels : tuple of float
        Probabilities.

    Returns
    -------
    list of Estimate
        One per level; ``se`` is the interval's half width over Student's t.
    """
    if not len(sample.x):
        return [Estimate(np.nan) for _ in levels]
    order = np.argsort(sample.x, kind="stable")
    x, w = sample.x[order], sample.w[order]
    # the middle of each particle's own step: a plain median for equal weights
    position = (np.cumsum(w) - 0.5 * w) / w.sum()
    values = np.interp(levels, position, x)
    if not sample.enough:
        return [Estimate(float(v)) for v in values]
    t = float(stats.t.ppf(0.5 + LEVEL / 2, degrees_of_freedom(sample)))
    result = []
    for level, value in zip(levels, values, strict=True):
        below = 0.5 * ((sample.x < value).astype(float) + (sample.x <= value))
        half = t * fraction(sample, below).se
        low, high = np.interp([level - half, level + half], position, x)
        result.append(Estimate(float(value), (high - low) / (2 * t), float(low), float(high)))
    return result


def fraction(sample: Sample, member: np.ndarray) -> Estimate:
    """Estimate the weighted share of the particles that belong to something.

    Parameters
    ----------
    sample : Sample
        Its sizes are not used.
    member : (n,) array
        1 or True where a particle belongs, 0 elsewhere.

    Returns
    -------
    Estimate
        The interval is clipped to 0 ... 1.
    """
    total, part = sample.sums(np.ones(len(sample.x))), sample.sums(np.asarray(member, float))
    if not total.sum():
        return Estimate(np.nan)
    share = _ratio(part, total, sample)
    low, high = np.clip([share.ci_low, share.ci_high], 0.0, 1.0).tolist()
    return Estimate(share.value, share.se, low, high)


def icc(sample: Sample) -> float:
    """Return the intra-unit correlation of size, by analysis of variance.

    Source: Donner, Int. Stat. Rev. 54 (1986) 67. Unbiased, so that it may fall a little
    below 0 where there is none; NaN with fewer than two occupied units or one particle each.
    """
    counts = sample.counts
    occupied = counts > 0
    k, n = int(occupied.sum()), len(sample.x)
    if k < 2 or n <= k:
        return float("nan")
    n_i = counts[occupied]
    sums = np.bincount(sample.unit, sample.x, minlength=sample.n_units)[occupied]
    means = sums / n_i
    grand = sample.x.mean()
    between = float((n_i * (means - grand) ** 2).sum()) / (k - 1)
    total = float(((sample.x - grand) ** 2).sum())
    within = (total - between * (k - 1)) / (n - k)
    usual = (n - float((n_i**2).sum()) / n) / (k - 1)
    denominator = between + (usual - 1) * within
    return (between - within) / denominator if denominator > 0 else float("nan")


def design_effect(sample: Sample, mean: Estimate, sd: float) -> float:
    """Return the variance of the mean over that of as many independent particles."""
    if not len(sample.x) or not sd > 0:
        return float("nan")
    naive = sd**2 * float((sample.w**2).sum()) / float(sample.w.sum()) ** 2
    return float(mean.se**2 / naive)
