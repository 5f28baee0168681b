"""Sizes of a run as the ensemble reduction wrote them; nothing is estimated anew."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stempede.report.folder import RunFolder
from stempede.report.sizes import Fit, Interval, Summary

Row = Mapping[str, Any]


def _none() -> np.ndarray:
    return np.zeros(0)


@dataclass(frozen=True)
class Sensitivity:
    """Shift of the mean size with the threshold.

    Parameters
    ----------
    scales : (k,) float64 array
        Factors on the threshold of the recipe, rising.
    shifts : tuple of Interval
        Relative shifts of the mean.
    n, n_frames : int
        Particles at scale 1, frames measured again.
    """

    scales: np.ndarray
    shifts: tuple[Interval, ...]
    n: int
    n_frames: int


@dataclass(frozen=True)
class Ensemble:
    """Size statistics of a run.

    Parameters
    ----------
    headline : Summary or None
        The whole session in the measure that the recipe names; None if nothing was measured.
    measures : tuple of Summary
        The whole session in every measure, the headline first.
    uncurated : Summary or None
        The headline before particles were excluded by hand; None if none were.
    samples : tuple of Summary
        The headline measure of each sample.
    rejected : mapping of str to Interval
        What was set aside and what could not be seen, by quantity.
    fits : tuple of Fit
        Best first.
    quantiles : mapping of str to (theory, measured)
        Quantile-quantile points by law.
    frames, means, counts : (k,) arrays
        Per frame with particles, in order.
    sensitivity : Sensitivity or None
        What other thresholds give; None if that was not measured.
    """

    headline: Summary | None = None
    measures: tuple[Summary, ...] = ()
    uncurated: Summary | None = None
    samples: tuple[Summary, ...] = ()
    rejected: Mapping[str, Interval] = field(default_factory=dict)
    fits: tuple[Fit, ...] = ()
    quantiles: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    frames: np.ndarray = field(default_factory=_none)
    means: np.ndarray = field(default_factory=_none)
    counts: np.ndarray = field(default_factory=_none)
    sensitivity: Sensitivity | None = None

    @property
    def measure(self) -> str:
        """Field name of the headline measure, without its unit."""
        return self.headline.measure if self.headline else "major_axis"

    @property
    def unit(self) -> str:
        """Unit of lengths: ``nm``, or ``px`` without calibration."""
        return self.headline.unit if self.headline else "px"


def read_ensemble(run: RunFolder) -> Ensemble:
    """Return the size statistics of a run; what the reductions have not written is empty."""
    rows = run.columns("ensemble").rows()
    session = [r for r in rows if r["scope"] == "session"]
    accepted = [r for r in session if r["selection"] == "accepted"]
    measures = summaries(accepted)
    before = summaries(r for r in session if r["selection"] == "before exclusions")
    per_sample = (r for r in rows if r["scope"] == "sample" and r["selection"] == "accepted")
    per_frame = run.columns("frame_sizes")
    means = np.asarray(per_frame["mean"], float)
    headline = _headline(measures)
    unit = np.asarray(per_frame.text("unit"), dtype=object)
    # a frame without pixel size has its mean in px, in a session that is told in nm
    seen = np.isfinite(means) & (unit == (headline.unit if headline else ""))
    return Ensemble(
        headline=headline,
        measures=measures,
        uncurated=_headline(before),
        samples=tuple(s for s in summaries(per_sample) if s.headline),
        rejected={r["quantity"]: _interval(r) for r in session if r["selection"] == "rejected"},
        fits=_fits(run),
        quantiles=_quantiles(run),
        frames=np.asarray(per_frame["frame"])[seen],
        means=means[seen],
        counts=np.asarray(per_frame["n"], float)[seen],
        sensitivity=_sensitivity(run),
    )


def _headline(found: Iterable[Summary]) -> Summary | None:
    return next((s for s in found if s.headline), None)


def summaries(rows: Iterable[Row]) -> tuple[Summary, ...]:
    """Return one summary per sample and size of rows of one selection."""
    grouped: dict[tuple[str, str], dict[tuple[str, str], Row]] = {}
    for row in rows:
        of_size = grouped.setdefault((row["sample"], row["size"]), {})
        of_size[row["quantity"], row["weighting"]] = row
    return tuple(_summary(of_size) for of_size in grouped.values())


def _summary(rows: Mapping[tuple[str, str], Row]) -> Summary:
    nothing: Row = {}
    mean = rows.get(("mean", "edge"), nothing)
    any_row = next(iter(rows.values()))
    return Summary(
        label=any_row["sample"],
        measure=any_row["size"],
        unit=mean.get("unit", ""),
        headline=bool(any_row["headline"]),
        n=int(any_row["n"]),
        n_frames=int(any_row["n_frames"]),
        n_units=int(any_row["n_units"]),
        unit_kind=any_row["unit_kind"],
        mean=_interval(mean),
        rel_sd=_interval(rows.get(("relative_sd", "edge"), nothing)),
        raw_mean=_interval(rows.get(("mean", "none"), nothing)),
        raw_rel_sd=_interval(rows.get(("relative_sd", "none"), nothing)),
        u_cal=float(mean.get("u_cal", math.nan)),
        note=any_row["note"],
        more={name: _interval(r) for (name, weighting), r in rows.items() if weighting == "edge"},
        icc=float(mean.get("icc", math.nan)),
        design_effect=float(mean.get("design_effect", math.nan)),
    )


def _interval(row: Row) -> Interval:
    return Interval(*(float(row.get(k, math.nan)) for k in ("value", "ci_low", "ci_high")))


def _fits(run: RunFolder) -> tuple[Fit, ...]:
    laws: dict[str, list[Row]] = {}
    for row in run.columns("size_fits").rows():
        if row["scope"] == "session":
            laws.setdefault(row["law"], []).append(row)
    fits = []
    for law, parts in laws.items():
        parts.sort(key=lambda r: int(r["component"]))
        components = tuple(
            (float(r["share"]), float(r["location"]), float(r["scale"])) for r in parts
        )
        fits.append(Fit(law, components, float(parts[0]["aic"]), float(parts[0]["delta_aic"])))
    return tuple(sorted(fits, key=lambda f: f.delta_aic))


def _quantiles(run: RunFolder) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    points = run.columns("size_qq")
    scope, law = (np.asarray(points.text(k), dtype=object) for k in ("scope", "law"))
    found = {}
    for name in dict.fromkeys(law.tolist()):
        rows = (law == name) & (scope == "session")
        found[name] = (points["theory"][rows], points["measured"][rows])
    return found


def _sensitivity(run: RunFolder) -> Sensitivity | None:
    table = run.columns("sensitivity")
    table = table.take(np.asarray(table.text("scope"), dtype=object) == "session")
    if len(table) < 2:
        return None
    table = table.take(np.argsort(table["threshold_scale"]))
    at = int(np.argmin(np.abs(table["threshold_scale"] - 1)))
    return Sensitivity(
        scales=table["threshold_scale"],
        shifts=tuple(
            Interval(*(float(v) for v in row))
            for row in zip(
                table["mean_shift"], table["shift_ci_low"], table["shift_ci_high"], strict=True
            )
        ),
        n=int(table["n"][at]),
        n_frames=int(table["n_frames"][at]),
    )
