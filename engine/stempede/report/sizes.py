"""What a report says of sizes: named measures, intervals, fitted distributions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stempede.report.html import number

MEASURES = {
    "major_axis": "major axis",
    "minor_axis": "minor axis",
    "equivalent_diameter": "equivalent diameter",
    "min_rect_length": "length of least rectangle",
    "min_rect_width": "width of least rectangle",
    "edge_length": "edge length",
    "max_feret": "largest Feret diameter",
    "min_feret": "least Feret diameter",
    "area": "area",
    "perimeter": "perimeter",
}
"""Size measures by field name (without unit), as they are written on axes."""


def measure_name(measure: str) -> str:
    """Return a measure as readers call it."""
    return MEASURES.get(measure, measure.replace("_", " "))


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval; bounds are NaN where there is none."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan

    @property
    def known(self) -> bool:
        """Whether the interval could be computed."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def symmetric(self) -> bool:
        """Whether the interval may be written as value ± half-width."""
        shift = abs(self.low + self.high - 2 * self.value)
        return self.known and shift <= 0.2 * (self.high - self.low)

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Summary:
    """Statistics of one size measure over the session or a sample.

    Parameters
    ----------
    label : str
        Sample, empty for the session.
    measure, unit : str
        Field name without unit, and ``nm`` or ``px``.
    headline : bool
        Whether it is the measure that was asked for.
    n, n_frames, n_units : int
        Particles, measured frames, sampling units.
    unit_kind : str
        ``frame`` or ``area``.
    mean, rel_sd : Interval
        Edge-weighted mean, and standard deviation over it.
    raw_mean, raw_rel_sd : Interval
        The same as counted, without weights.
    u_cal : float
        Standard uncertainty of the mean from the calibration, NaN if unknown.
    note : str
        Why there is no interval, what was left out.
    more : mapping of str to Interval
        Edge-weighted quantities by name (``median``, ``volume_mean`` ...).
    icc, design_effect : float
        Correlation within a unit, and what it does to the variance of the mean.
    """

    label: str
    measure: str
    unit: str
    headline: bool
    n: int
    n_frames: int
    n_units: int
    unit_kind: str
    mean: Interval
    rel_sd: Interval
    raw_mean: Interval
    raw_rel_sd: Interval
    u_cal: float
    note: str
    more: Mapping[str, Interval]
    icc: float
    design_effect: float

    @property
    def name(self) -> str:
        """The measure as readers call it."""
        return measure_name(self.measure)

    @property
    def axis(self) -> str:
        """Name and unit, as written on an axis."""
        return f"{self.name}, {self.unit}"


LAWS = {
    "normal": "normal",
    "lognormal": "log-normal",
    "lognormal mixture": "mixture of two log-normals",
}


@dataclass(frozen=True)
class Fit:
    """A fitted size law as it is drawn.

    Parameters
    ----------
    law : str
        ``normal | lognormal | lognormal mixture``.
    components : tuple of (share, location, scale)
        Mean and standard deviation (normal), or median and standard deviation of the logarithm.
    aic : float
        Akaike's criterion; the least is best.
    delta_aic : float
        Distance to the best fit of the same sizes.
    """

    law: str
    components: tuple[tuple[float, float, float], ...]
    aic: float
    delta_aic: float

    @property
    def name(self) -> str:
        """Name as readers call it."""
        return LAWS.get(self.law, self.law)

    @property
    def legend(self) -> str:
        """Name and distance to the best AIC."""
        best = "best AIC" if self.delta_aic == 0 else f"ΔAIC {self.delta_aic:,.1f}"
        return f"{self.name}, {best}"

    def pdf(self, sizes: np.ndarray) -> np.ndarray:
        """Return the density at (n,) sizes, per unit of size."""
        total = np.zeros(len(sizes))
        inside = sizes > 0
        for share, location, scale in self.components:
            if self.law == "normal":
                z, width = (sizes - location) / scale, np.full(len(sizes), scale)
            else:
                safe = np.where(inside, sizes, 1.0)
                z, width = np.log(safe / location) / scale, scale * safe
            density = share * np.exp(-0.5 * z * z) / (width * math.sqrt(2 * math.pi))
            total += density if self.law == "normal" else np.where(inside, density, 0.0)
        return total

    @property
    def words(self) -> str:
        """Parameters in words: mean ± sd, or median ×/÷ geometric standard deviation."""
        if self.law == "normal":
            _, mean, sd = self.components[0]
            return f"{number(mean, 4)} ± {number(sd)}"
        parts = [
            f"{number(location, 4)} ×/÷ {math.exp(scale):.3f}"
            for _, location, scale in self.components
        ]
        if len(parts) == 1:
            return parts[0]
        shares = [f"{100 * share:.0f} %" for share, _, _ in self.components]
        return "; ".join(f"{s} at {p}" for s, p in zip(shares, parts, strict=True))
