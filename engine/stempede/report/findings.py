"""What a report shows, gathered once from the tables of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from stempede.report.ensemble import Ensemble, read_ensemble
from stempede.report.folder import Columns, RunFolder
from stempede.report.sizes import Summary

FEATURES = (
    ("aspect_ratio", "aspect ratio"),
    ("circularity", "circularity"),
    ("solidity", "solidity"),
    ("convexity", "convexity"),
    ("eccentricity", "eccentricity"),
    ("extent", "extent"),
    ("roundness", "roundness"),
    ("contrast", "contrast / noise"),
    ("orientation_deg", "orientation, °"),
)
"""Features without a length, shown beside four sizes."""

FEATURE_SIZES = ("area", "perimeter", "major_axis", "minor_axis")

_COLUMNS = (
    "frame",
    "label",
    "y_px",
    "x_px",
    "touches_edge",
    "accepted",
    "reject_reason",
    "weight",
    "equivalent_diameter_px",
    "major_axis_px",
    "minor_axis_px",
    "orientation_deg",
)


@dataclass(frozen=True)
class Findings:
    """Tables of a run, reduced to what is drawn and written.

    Parameters
    ----------
    run : RunFolder
    particles : Columns
        The columns that the report draws, all detected regions.
    ensemble : Ensemble
        Means, intervals, fits: from the reduction, nothing is estimated anew.
    outcomes : mapping of str to int
        ``accepted`` first, then regions set aside by reason, most frequent first.
    """

    run: RunFolder
    particles: Columns
    ensemble: Ensemble
    outcomes: Mapping[str, int] = field(default_factory=dict)

    @property
    def headline(self) -> Summary | None:
        """The session's summary of the named size measure."""
        return self.ensemble.headline

    @property
    def unit(self) -> str:
        """Unit of lengths: nm, or px without calibration."""
        return self.ensemble.unit

    @property
    def accepted(self) -> np.ndarray:
        """(n,) bool: accepted regions."""
        return self.particles.flags("accepted")

    def sizes(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Return headline sizes and edge weights of accepted particles, and their frames' number.

        Particles without a finite size are left out.
        """
        if self.headline is None:
            return np.zeros(0), np.zeros(0), 0
        sizes = self.particles[size_field(self.headline.measure, self.headline.unit)]
        weights = self.particles["weight"]
        rows = self.accepted & np.isfinite(sizes)
        weights = np.where(np.isfinite(weights) & (weights > 0), weights, 1.0)
        return sizes[rows], weights[rows], len(np.unique(self.particles["frame"][rows]))

    @property
    def n_small(self) -> int:
        """Accepted particles under 10 px: too few pixels for a shape."""
        diameter = self.particles["equivalent_diameter_px"]
        return int(np.count_nonzero(self.accepted & (diameter < 10)))


def size_field(measure: str, unit: str) -> str:
    """Return the field of a measure in the particles table."""
    square = measure == "area" or measure.endswith("_area")
    return f"{measure}_{unit}{'2' if square else ''}"


def gather(run: RunFolder) -> Findings:
    """Read what the report needs of a run; tables that are not there leave gaps."""
    ensemble = read_ensemble(run)
    sizes = [size_field(m, u) for m in (*FEATURE_SIZES, ensemble.measure) for u in ("px", "nm")]
    wanted = dict.fromkeys([*_COLUMNS, *sizes, *(name for name, _ in FEATURES)])
    particles = run.columns("particles", list(wanted))
    # a killed run may have particles of a chunk whose frames were never written
    particles = particles.take(np.isin(particles["frame"], run.frames["frame"]))
    return Findings(run, particles, ensemble, outcomes(particles))


def outcomes(particles: Columns) -> dict[str, int]:
    """Return the number of regions accepted, then set aside by reason; they add to all."""
    accepted = particles.flags("accepted")
    reasons = np.asarray(particles.text("reject_reason"), dtype=object)[~accepted]
    names, counts = np.unique(reasons.astype(str), return_counts=True)
    aside = sorted(zip(counts.tolist(), names.tolist(), strict=True), reverse=True)
    found = {"accepted": int(np.count_nonzero(accepted))}
    return found | {name or "no reason given": count for count, name in aside}


def calibration(frames: Columns) -> tuple[str, float]:
    """Return in words where the pixel size came from, and the largest relative uncertainty."""
    size, known = _pixel_sizes(frames)
    if not known.any():
        return "", math.nan
    sources = frames.text("pixel_size_source")
    names = sorted({s for s, k in zip(sources, known, strict=True) if k and s}) or ["unnamed"]
    low, high = size[known].min(), size[known].max()
    text = f"{low:.4g}" if math.isclose(low, high, rel_tol=1e-6) else f"{low:.4g} to {high:.4g}"
    u = np.asarray(frames["pixel_size_rel_u"], float)[known]
    return (
        f"{' and '.join(names)}, {text} nm per px",
        float(np.nanmax(u)) if np.isfinite(u).any() else math.nan,
    )


def n_uncalibrated(frames: Columns) -> int:
    """Return the number of measured frames without a pixel size."""
    _, known = _pixel_sizes(frames)
    states = np.asarray(frames.text("state"), dtype=object)
    return int(np.count_nonzero((states != "problem") & ~known))


def _pixel_sizes(frames: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Return pixel sizes in nm, and which measured frames have one."""
    size = np.asarray(frames["pixel_size_nm"], float)
    states = np.asarray(frames.text("state"), dtype=object)
    return size, np.isfinite(size) & (states != "problem")
