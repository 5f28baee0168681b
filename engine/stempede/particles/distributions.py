"""Size laws by weighted maximum likelihood: normal, log-normal, mixture of two log-normals."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import special, stats

LAWS = ("normal", "lognormal", "lognormal mixture")

QQ_POINTS = 99
_MOST_STEPS = 500
_MOST_POINTS = 4096
_TOLERANCE = 1e-8
# a component narrower than this (relative) has collapsed onto a few equal values
_LEAST_SPREAD = 0.005


@dataclass(frozen=True)
class SizeFit:
    """A size law fitted to a sample.

    Parameters
    ----------
    law : str
        One of ``LAWS``.
    shares, locations, scales : tuple of float
        Per component: share; mean and standard deviation (normal) or median and standard
        deviation of the logarithm (log-normal).
    log_likelihood : float
        At the maximum, with weights scaled to add to the number of particles.
    aic : float
        ``2 k - 2 log_likelihood``, k parameters; the least wins.
    converged : bool
        Whether the mixture settled before its last step.
    """

    law: str
    shares: tuple[float, ...]
    locations: tuple[float, ...]
    scales: tuple[float, ...]
    log_likelihood: float
    aic: float
    converged: bool = True

    @property
    def mean(self) -> float:
        """Mean of the law."""
        if self.law == "normal":
            return self.locations[0]
        components = zip(self.shares, self.locations, self.scales, strict=True)
        return float(sum(a * m * np.exp(0.5 * s * s) for a, m, s in components))

    @property
    def sd(self) -> float:
        """Standard deviation of the law."""
        if self.law == "normal":
            return self.scales[0]
        components = zip(self.shares, self.locations, self.scales, strict=True)
        square = sum(a * m * m * np.exp(2 * s * s) for a, m, s in components)
        return float(np.sqrt(max(square - self.mean**2, 0.0)))

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Return the distribution function at sizes x."""
        if self.law == "normal":
            result: np.ndarray = special.ndtr((x - self.locations[0]) / self.scales[0])
            return result
        log_x = np.log(np.maximum(x, 1e-300))
        components = zip(self.shares, self.locations, self.scales, strict=True)
        parts = [a * special.ndtr((log_x - np.log(m)) / s) for a, m, s in components]
        total: np.ndarray = np.sum(parts, axis=0)
        return total

    def quantile(self, probability: np.ndarray) -> np.ndarray:
        """Return the sizes at which the distribution function reaches the probabilities."""
        probability = np.asarray(probability, dtype=np.float64)
        z = special.ndtri(probability)
        if self.law == "normal":
            result: np.ndarray = self.locations[0] + self.scales[0] * z
            return result
        each = [m * np.exp(s * z) for m, s in zip(self.locations, self.scales, strict=True)]
        low, high = np.minimum.reduce(each), np.maximum.reduce(each)
        # the mixture's quantile lies between those of its components
        for _ in range(60):
            middle = 0.5 * (low + high)
            above = self.cdf(middle) > probability
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return 0.5 * (low + high)


def fit_sizes(x: np.ndarray, w: np.ndarray | None = None) -> list[SizeFit]:
    """Fit the laws of ``LAWS`` to sizes.

    Parameters
    ----------
    x : (n,) float64 array
        Sizes, positive.
    w : (n,) float64 array, optional
        Weights against edge bias; scaled to add to n.

    Returns
    -------
    list of SizeFit
        By rising AIC. Empty for fewer than 10 sizes or sizes that are all equal; without the
        mixture below 50 sizes or where a component collapses.
    """
    x = np.asarray(x, dtype=np.float64)
    if len(x) < 10 or not np.ptp(x) > 0:
        return []
    w = np.ones(len(x)) if w is None else np.asarray(w, dtype=np.float64)
    w = w * (len(w) / w.sum())
    log_x = np.log(x)
    fits = [_normal(x, w), _lognormal(log_x, w)]
    if len(x) >= 50:
        mixture = _mixture(log_x, w)
        fits += [mixture] if mixture else []
    return sorted(fits, key=lambda f: f.aic)


def qq_points(fit: SizeFit, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return a quantile-quantile plot of sizes against a law.

    Parameters
    ----------
    fit : SizeFit
    x, w : (n,) float64 array
        Sizes and weights.

    Returns
    -------
    probability, theory, sample : (99,) float64 array
        Per cent points and the law's and the sample's quantiles at them.
    """
    order = np.argsort(x)
    weights = w[order]
    position = (np.cumsum(weights) - 0.5 * weights) / weights.sum()
    probability = np.arange(1, QQ_POINTS + 1) / (QQ_POINTS + 1)
    return probability, fit.quantile(probability), np.interp(probability, position, x[order])


def _normal(x: np.ndarray, w: np.ndarray) -> SizeFit:
    mean = float(np.average(x, weights=w))
    sd = float(np.sqrt(np.average((x - mean) ** 2, weights=w)))
    likelihood = float(w @ stats.norm.logpdf(x, mean, sd))
    return SizeFit("normal", (1.0,), (mean,), (sd,), likelihood, 4 - 2 * likelihood)


def _lognormal(log_x: np.ndarray, w: np.ndarray) -> SizeFit:
    mean = float(np.average(log_x, weights=w))
    sd = float(np.sqrt(np.average((log_x - mean) ** 2, weights=w)))
    likelihood = float(w @ (stats.norm.logpdf(log_x, mean, sd) - log_x))
    return SizeFit(
        "lognormal", (1.0,), (float(np.exp(mean)),), (sd,), likelihood, 4 - 2 * likelihood
    )


def _mixture(log_x: np.ndarray, w: np.ndarray) -> SizeFit | None:
    """Best of three starts of expectation-maximisation; None where each collapses."""
    points, mass = _binned(log_x, w)
    runs = [_expectation_maximisation(points, mass, split) for split in (0.2, 0.5, 0.8)]
    found = [run for run in runs if run is not None]
    best = min(found, key=lambda f: f.aic, default=None)
    if best is None:
        return None
    likelihood = float(w @ (_log_density(log_x, best) - log_x))
    return replace(best, log_likelihood=likelihood, aic=10 - 2 * likelihood)


def _binned(log_x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gather many points into fine bins at their centres of mass: the steps then cost the same."""
    if len(log_x) <= _MOST_POINTS:
        return log_x, w
    step = np.ptp(log_x) / (_MOST_POINTS - 1)
    index = np.rint((log_x - log_x.min()) / step).astype(np.int64)
    mass = np.bincount(index, w)
    points = np.bincount(index, w * log_x)
    filled = mass > 0
    return points[filled] / mass[filled], mass[filled]


def _log_density(log_x: np.ndarray, fit: SizeFit) -> np.ndarray:
    """Logarithm of a mixture's density of log size."""
    parts = [
        np.log(a) + stats.norm.logpdf(log_x, np.log(m), s)
        for a, m, s in zip(fit.shares, fit.locations, fit.scales, strict=True)
    ]
    total: np.ndarray = np.logaddexp.reduce(parts)
    return total


def _expectation_maximisation(log_x: np.ndarray, w: np.ndarray, split: float) -> SizeFit | None:
    """Start from the halves below and above a quantile and climb the likelihood."""
    second = (log_x > np.quantile(log_x, split)).astype(np.float64)
    # soft, so that no point is fixed by the start
    member = np.stack([1.0 - second, second]) * 0.9 + 0.05
    likelihood = -np.inf
    for _ in range(_MOST_STEPS):
        mass = member @ w
        share = mass / w.sum()
        mean = (member * w) @ log_x / mass
        variance = (member * w * (log_x - mean[:, None]) ** 2).sum(axis=1) / mass
        sd = np.sqrt(variance)
        if sd.min() < _LEAST_SPREAD or share.min() < 0.01:
            return None
        z = (log_x - mean[:, None]) / sd[:, None]
        log_density = np.log(share / sd)[:, None] - 0.5 * z * z - 0.5 * np.log(2 * np.pi)
        total = np.logaddexp(log_density[0], log_density[1])
        before, likelihood = likelihood, float(w @ (total - log_x))
        member = np.exp(log_density - total)
        if likelihood - before < _TOLERANCE * abs(likelihood):
            break
    order = np.argsort(mean)
    return SizeFit(
        LAWS[2],
        tuple(share[order].tolist()),
        tuple(np.exp(mean[order]).tolist()),
        tuple(sd[order].tolist()),
        likelihood,
        10 - 2 * likelihood,
        converged=bool(likelihood - before < _TOLERANCE * abs(likelihood)),
    )
