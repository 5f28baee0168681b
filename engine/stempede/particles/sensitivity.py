"""Sensitivity: how far sizes move when the threshold does.

A few frames of each sample are measured again with the threshold lowered and raised;
the shift of the mean is usually larger than its confidence interval, and is the part
of the uncertainty that more particles do not lower.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import stats

from stempede.errors import InputError, RecipeError
from stempede.particles.clusters import LEVEL, Sample, degrees_of_freedom, moments
from stempede.particles.curation import excluded_by_hand
from stempede.particles.ensemble_tables import SIZE_MEASURES
from stempede.particles.scopes import Scope, scopes
from stempede.particles.summary import sizes_of
from stempede.stage import Again
from stempede.tables import Field, Schema, Table, declare

MOST_FRAMES = 20

SENSITIVITY = declare(
    Schema(
        "sensitivity",
        (
            Field("scope", "string", doc="session | sample"),
            Field("sample", "string", doc="null for the session"),
            Field("size", "string", doc="size measure"),
            Field("unit", "string", doc="nm | px"),
            Field("threshold_scale", "float64", doc="factor on the threshold"),
            Field("n_frames", "int64", doc="frames measured again"),
            Field("n", "int64", doc="accepted particles in them"),
            Field("mean", "float64", doc="edge-weighted"),
            Field("relative_sd", "float64", doc="edge-weighted"),
            Field("mean_shift", "float64", doc="relative to the mean at scale 1"),
            Field("shift_ci_low", "float64", doc="95 %, frames as units; null: not available"),
            Field("shift_ci_high", "float64"),
        ),
    )
)
"""One row per scope and threshold."""


@dataclass(frozen=True)
class Sensitivity:
    """Measure a few frames of each sample again with the threshold lowered and raised.

    Parameters
    ----------
    size : str
        Size measure.
    change : float
        Relative change of the threshold, both ways.
    parameter : str
        Of the recipe, the factor on the threshold; 1 in the run itself.
    most_frames : int
        Most frames of a sample; 0: none is measured again.
    seed : int
        Of the choice of frames.
    """

    size: str = "major_axis"
    change: float = 0.1
    parameter: str = "particles.segment.threshold_scale"
    most_frames: int = MOST_FRAMES
    seed: int = 0

    name: ClassVar[str] = "particles.sensitivity"
    reads: ClassVar[tuple[str, ...]] = ("frames", "particles")
    writes: ClassVar[tuple[str, ...]] = ("sensitivity",)

    def __post_init__(self) -> None:
        if self.size not in SIZE_MEASURES:
            raise RecipeError(f"size is one of {', '.join(SIZE_MEASURES)}; found '{self.size}'")
        if not 0 < self.change < 1:
            raise RecipeError(f"change lies between 0 and 1; found {self.change:g}; correct it")

    @property
    def scales(self) -> dict[str, float]:
        """Factors on the threshold by the name of the variation."""
        factors = (1 - self.change, 1 + self.change)
        return {f"threshold x {factor:g}": factor for factor in factors}

    def again(self, tables: Mapping[str, Table]) -> Again:
        """Return the seeded choice of frames, and the two thresholds."""
        chosen = chosen_frames(tables["frames"], self.seed, self.most_frames)
        assignments = {k: (f"{self.parameter}={v:g}",) for k, v in self.scales.items()}
        return Again(tuple(chosen.tolist()), assignments)

    def __call__(self, tables: Mapping[str, Table]) -> dict[str, Table]:
        """Return the ``sensitivity`` table."""
        chosen = self.again(tables).frames
        if not chosen:
            return {"sensitivity": Table.empty(SENSITIVITY)}
        frames = tables["frames"].take(np.isin(tables["frames"]["frame"], chosen))
        particles = tables["particles"].take(np.isin(tables["particles"]["frame"], chosen))
        # a variation knows nothing of what was set aside by hand
        whole = {"accepted": particles["accepted"] | excluded_by_hand(particles)}
        measured = {1.0: particles.with_columns(whole)}
        for variation, scale in self.scales.items():
            measured[scale] = tables[f"particles, {variation}"]
        return {"sensitivity": sensitivity(measured, frames, self.size)}


def chosen_frames(frames: Table, seed: int, most: int = MOST_FRAMES) -> np.ndarray:
    """Choose the frames of each sample that are measured again.

    Parameters
    ----------
    frames : Table
        ``frames`` of a run; only measured ones are chosen.
    seed : int
        Seed of the run; a sample's choice does not depend on the other samples.
    most : int
        Most frames per sample.

    Returns
    -------
    (n,) int64 array
        Frame numbers, rising.
    """
    measured = frames.take(np.asarray(frames["state"] == "measured"))
    picked = []
    for sample in sorted({str(s) for s in measured["sample"]}):
        numbers = np.sort(measured["frame"][measured["sample"] == sample])
        name = np.frombuffer(sample.encode(), dtype=np.uint8).tolist()
        order = np.random.default_rng([seed, *name]).permutation(len(numbers))
        picked.append(numbers[order[:most]])
    return np.sort(np.concatenate(picked)) if picked else np.zeros(0, dtype=np.int64)


def sensitivity(measured: Mapping[float, Table], frames: Table, size: str) -> Table:
    """Compare the sizes that several thresholds give on the same frames.

    Parameters
    ----------
    measured : mapping of float to Table
        ``particles`` of the chosen frames, by factor on the threshold; 1 must be among them.
    frames : Table
        ``frames`` rows of the chosen frames.
    size : str
        Size measure.

    Returns
    -------
    Table
        ``sensitivity``.

    Raises
    ------
    InputError
        If no table was measured at the run's own threshold.
    """
    if 1.0 not in measured:
        raise InputError(
            f"sensitivity wants a table at threshold scale 1, found {sorted(measured)}; add it"
        )
    rows = []
    for scope in scopes(frames):
        samples = {scale: _sample(scope, table, size) for scale, table in measured.items()}
        for scale, (unit, sample) in sorted(samples.items()):
            found = moments(sample)
            shift, low, high = _shift(sample, samples[1.0][1])
            rows.append(
                {
                    "scope": scope.name,
                    "sample": scope.sample,
                    "size": size,
                    "unit": unit,
                    "threshold_scale": scale,
                    "n_frames": len(scope.frames),
                    "n": len(sample.x),
                    "mean": found["mean"].value,
                    "relative_sd": found["relative_sd"].value,
                    "mean_shift": shift,
                    "shift_ci_low": low,
                    "shift_ci_high": high,
                }
            )
    return Table.from_rows(SENSITIVITY, rows)


def _sample(scope: Scope, particles: Table, size: str) -> tuple[str, Sample]:
    """Accepted sizes of one scope."""
    kept = np.flatnonzero(particles["accepted"] & scope.rows_of(particles))
    unit, x, w, frame = sizes_of(particles, size, kept)
    return unit, scope.sample_of(frame, x, w)


def _shift(other: Sample, base: Sample) -> tuple[float, float, float]:
    """Relative shift of the mean with its interval, leaving out the same unit from both."""
    sums: list[Any] = []
    for sample in (other, base):
        sums += [sample.sums(sample.x), sample.sums(np.ones(len(sample.x)))]
    if not (len(other.x) and len(base.x)):
        return np.nan, np.nan, np.nan
    totals = [s.sum() for s in sums]
    shift = _relative(*totals)
    left = [t - s for t, s in zip(totals, sums, strict=True)]
    if not base.enough or not all((part > 0).all() for part in left):
        return shift, np.nan, np.nan
    units = base.n_units
    deviations = _relative(*left) - shift
    se = np.sqrt((units - 1) / units * float((deviations**2).sum()))
    half = float(stats.t.ppf(0.5 + LEVEL / 2, degrees_of_freedom(base))) * se
    return shift, shift - half, shift + half


def _relative(part: Any, total: Any, base_part: Any, base_total: Any) -> Any:
    return (part / total) / (base_part / base_total) - 1.0
