"""Rows of the ensemble table: statistics of one selection, and what was set aside."""

from __future__ import annotations

from typing import Any

import numpy as np

from stempede.particles.accept import AGGLOMERATED
from stempede.particles.clusters import (
    QUANTILES,
    Estimate,
    Sample,
    design_effect,
    fraction,
    icc,
    mean_and_sd,
    moments,
    quantiles,
)
from stempede.particles.scopes import Scope
from stempede.tables import Table

SECOND_MEASURE = "equivalent_diameter"
"""Size measure that stands beside the headline, and by which rejects are described."""

_SMALL_PX = 10.0
# above this relative spread few large particles decide the volume-weighted mean, and its 95 %
# interval was measured to hold the truth in 77 (0.5) to 92 % (0.33) of sessions of 800 particles
_BROAD = 0.3
_BROAD_NOTE = "sizes are broad: this interval is too narrow"


def sizes_of(
    particles: Table, size: str, rows: np.ndarray
) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    """Return the unit, the sizes, their weights and their frames, of particles that have them.

    Parameters
    ----------
    particles : Table
    size : str
        Size measure.
    rows : (k,) int array
        Particles to be counted.

    Returns
    -------
    unit : str
        ``nm`` where any particle is calibrated, else ``px``.
    x, w : (n,) float64 array
    frame : (n,) int64 array
    """
    unit, x = "nm", particles[f"{size}_nm"][rows]
    if not np.isfinite(x).any():
        unit, x = "px", particles[f"{size}_px"][rows]
    there = np.isfinite(x) & (x > 0)
    weight = particles["weight"][rows][there]
    # rows of another origin may carry no weight: they count as they are
    weight = np.where(np.isfinite(weight) & (weight > 0), weight, 1.0)
    return unit, x[there], weight, particles["frame"][rows][there]


def statistics(sample: Sample, unit: str, rel_u: float) -> list[dict[str, Any]]:
    """Return all statistics of one sample as partial rows of the ensemble table.

    Parameters
    ----------
    sample : Sample
    unit : str
        Unit of its sizes.
    rel_u : float
        Relative calibration uncertainty, NaN where unknown.

    Returns
    -------
    list of dict
        One per quantity; ``caution`` where its interval is known to be too narrow.
    """
    estimates = moments(sample)
    named = {
        **estimates,
        **{
            "median" if q == 0.5 else f"q{round(100 * q):02d}": e
            for q, e in zip(QUANTILES, quantiles(sample), strict=True)
        },
    }
    correlation = icc(sample)
    effect = design_effect(sample, estimates["mean"], estimates["sd"].value)
    rows = []
    for quantity, estimate in named.items():
        pure = quantity in ("relative_sd", "geometric_sd")
        row = _row(quantity, estimate, "" if pure else unit)
        # ratios are free of the calibration
        row["u_cal"] = 0.0 if pure and unit == "nm" else estimate.value * rel_u
        if quantity == "mean":
            row |= {"icc": correlation, "design_effect": effect}
        if quantity == "volume_mean" and estimates["relative_sd"].value > _BROAD:
            row["caution"] = _BROAD_NOTE
        rows.append(row)
    return rows


def _row(quantity: str, e: Estimate, unit: str) -> dict[str, Any]:
    return {
        "quantity": quantity,
        "unit": unit,
        "value": e.value,
        "se": e.se,
        "ci_low": e.ci_low,
        "ci_high": e.ci_high,
    }


def rejects(
    scope: Scope, frames: Table, particles: Table, inside: np.ndarray
) -> list[dict[str, Any]]:
    """Return what was set aside, and what could not have been seen, as rows of one scope.

    Parameters
    ----------
    scope : Scope
    frames, particles : Table
        Of the whole run.
    inside : (n,) bool array
        Particles of the scope.

    Returns
    -------
    list of dict
        Rows of the ensemble table under the selection ``rejected``.
    """
    accepted = inside & particles["accepted"]
    reason = np.asarray(particles["reject_reason"])
    reasons, counts = np.unique(reason[inside], return_counts=True)
    clump = inside & (reason == AGGLOMERATED)
    counted = np.flatnonzero(accepted | clump)
    ones, frame = np.ones(len(counted)), particles["frame"]
    by_number = scope.sample_of(frame[counted], ones, ones)
    by_area = scope.sample_of(frame[counted], ones, particles["area_px2"][counted])
    unit, *_ = sizes_of(particles, SECOND_MEASURE, counted)
    _, x, w, clump_frame = sizes_of(particles, SECOND_MEASURE, np.flatnonzero(clump))
    clump_size, _ = mean_and_sd(scope.sample_of(clump_frame, x, np.ones_like(w)))
    small = particles[f"{SECOND_MEASURE}_px"][accepted] < _SMALL_PX
    seen = scope.sample_of(frame[accepted], np.ones(len(small)), np.ones(len(small)))
    rows = [
        _row("clump_fraction", fraction(by_number, clump[counted]), ""),
        _row("clump_area_fraction", fraction(by_area, clump[counted]), ""),
        _row("clump_size", clump_size, unit),
        _row("fraction_below_10_px", fraction(seen, small), ""),
        _smallest(scope, frames),
        *(
            _row(f"rejected: {reason}", Estimate(float(n)), "")
            for reason, n in zip(reasons, counts, strict=True)
            if reason
        ),
    ]
    common = {
        "scope": scope.name,
        "sample": scope.sample,
        "selection": "rejected",
        "size": SECOND_MEASURE,
        "weighting": "none",
        "n": int(inside.sum()),
        "n_frames": len(scope.frames),
        "n_units": scope.n_units,
        "unit_kind": scope.unit_kind,
        "note": scope.shortage,
    }
    return [{**common, **row} for row in rows]


def _smallest(scope: Scope, frames: Table) -> dict[str, Any]:
    """Least equivalent diameter that every frame of the scope would have accepted."""
    inside = frames.take(np.isin(frames["frame"], scope.frames))
    least_px = inside["smallest_px"]
    least_nm = least_px * inside["pixel_size_nm"]
    unit, least = ("nm", least_nm) if np.isfinite(least_nm).any() else ("px", least_px)
    least = least[np.isfinite(least)]
    value = float(least.max()) if len(least) else float("nan")
    return _row("smallest_measurable", Estimate(value), unit)
