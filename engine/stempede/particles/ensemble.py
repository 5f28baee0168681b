"""Ensemble: what the accepted particles of a session say about the sample, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stempede.errors import RecipeError
from stempede.particles.clusters import Sample, moments, quantiles
from stempede.particles.curation import excluded_by_hand
from stempede.particles.distributions import fit_sizes, qq_points
from stempede.particles.ensemble_tables import (
    ENSEMBLE,
    FRAME_SIZES,
    SIZE_FITS,
    SIZE_MEASURES,
    SIZE_QQ,
)
from stempede.particles.scopes import Scope, scopes
from stempede.particles.summary import SECOND_MEASURE, rejects, sizes_of, statistics
from stempede.tables import Table


@dataclass(frozen=True)
class Ensemble:
    """Summarise sizes over the session, each sample and each frame.

    Lengths are in nm where particles are calibrated (the rest are then left out and
    counted in ``note``), else in px. Means carry Miles-Lantuejoul weights; the raw
    ones stand beside them. Intervals take the frame, or the area, as the unit.

    Parameters
    ----------
    size : str
        Headline size measure: ``major_axis``, ``equivalent_diameter``, ``min_rect_length`` ...
    """

    size: str = "major_axis"

    name: ClassVar[str] = "particles.ensemble"
    reads: ClassVar[tuple[str, ...]] = ("frames", "particles")
    writes: ClassVar[tuple[str, ...]] = (
        "ensemble",
        "frame_sizes",
        "size_fits",
        "size_qq",
    )

    def __post_init__(self) -> None:
        if self.size not in SIZE_MEASURES:
            raise RecipeError(
                f"size is one of {', '.join(SIZE_MEASURES)}; found '{self.size}'; correct --size"
            )

    def __call__(self, tables: Mapping[str, Table]) -> dict[str, Table]:
        """Return the tables this reduction writes."""
        frames, particles = tables["frames"], tables["particles"]
        accepted = particles["accepted"]
        by_hand = excluded_by_hand(particles)
        found = scopes(frames)
        rows: list[dict[str, Any]] = []
        for scope in found:
            inside = scope.rows_of(particles)
            kept = np.flatnonzero(inside & accepted)
            rows += self._summaries(scope, frames, particles, kept, "accepted")
            if by_hand.any():
                before = np.flatnonzero(inside & (accepted | by_hand))
                rows += self._summaries(scope, frames, particles, before, "before exclusions")
            rows += rejects(scope, frames, particles, inside)
        fits, qq = self._laws(found, particles)
        return {
            "ensemble": Table.from_rows(ENSEMBLE, rows),
            "frame_sizes": self._per_frame(frames, particles),
            "size_fits": Table.from_rows(SIZE_FITS, fits),
            "size_qq": Table.from_rows(SIZE_QQ, qq),
        }

    def _summaries(
        self, scope: Scope, frames: Table, particles: Table, kept: np.ndarray, selection: str
    ) -> list[dict[str, Any]]:
        """Rows of one scope: each size measure of the kept particles, weighted and raw."""
        rows = []
        for size in dict.fromkeys((self.size, SECOND_MEASURE)):
            unit, x, w, frame = sizes_of(particles, size, kept)
            common: dict[str, Any] = {
                "scope": scope.name,
                "sample": scope.sample,
                "selection": selection,
                "size": size,
                "headline": size == self.size,
                "n": len(x),
                "n_frames": len(scope.frames),
                "n_units": scope.n_units,
                "unit_kind": scope.unit_kind,
                "note": _note(scope, len(kept), len(x)),
            }
            rel_u = _relative_calibration(scope, frames) if unit == "nm" else np.nan
            for weighting, weights in (("edge", w), ("none", np.ones_like(w))):
                sample = scope.sample_of(frame, x, weights)
                for row in statistics(sample, unit, rel_u):
                    note = "; ".join(filter(None, (common["note"], row.pop("caution", ""))))
                    rows.append({**common, **row, "weighting": weighting, "note": note})
        return rows

    def _laws(
        self, found: list[Scope], particles: Table
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Fitted size laws and their quantile-quantile points, per scope."""
        fits, qq = [], []
        for scope in found:
            kept = np.flatnonzero(scope.rows_of(particles) & particles["accepted"])
            unit, x, w, _ = sizes_of(particles, self.size, kept)
            found_fits = fit_sizes(x, w)
            for rank, fit in enumerate(found_fits):
                common = {
                    "scope": scope.name,
                    "sample": scope.sample,
                    "size": self.size,
                    "unit": unit,
                    "law": fit.law,
                }
                verdict = {
                    "n": len(x),
                    "rank": rank,
                    "log_likelihood": fit.log_likelihood,
                    "aic": fit.aic,
                    "delta_aic": fit.aic - found_fits[0].aic,
                    "mean": fit.mean,
                    "sd": fit.sd,
                    "converged": fit.converged,
                }
                components = zip(fit.shares, fit.locations, fit.scales, strict=True)
                for k, (share, location, scale) in enumerate(components):
                    part = {"component": k, "share": share, "location": location, "scale": scale}
                    fits.append({**common, **verdict, **part})
                names = ("probability", "theory", "measured")
                points = zip(*qq_points(fit, x, w), strict=True)
                qq += [{**common, **dict(zip(names, point, strict=True))} for point in points]
        return fits, qq

    def _per_frame(self, frames: Table, particles: Table) -> Table:
        """Sizes of each frame alone; one frame gives no interval."""
        order = np.argsort(particles["frame"], kind="stable")
        bounds = np.searchsorted(particles["frame"][order], frames["frame"])
        ends = np.searchsorted(particles["frame"][order], frames["frame"], side="right")
        rows = []
        for k, (start, end) in enumerate(zip(bounds, ends, strict=True)):
            detected = order[start:end]
            kept = detected[particles["accepted"][detected]]
            unit, x, w, _ = sizes_of(particles, self.size, kept)
            sample = Sample(x, w, np.zeros(len(x), dtype=np.int64), 1, enough=False)
            some = moments(sample)
            covered_px = particles["area_px2"][detected].sum()
            frame_px = int(frames["height_px"][k] * frames["width_px"][k])
            rows.append(
                {
                    "frame": frames["frame"][k],
                    "sample": frames["sample"][k],
                    "size": self.size,
                    "unit": unit,
                    "n_detected": len(detected),
                    "n": len(x),
                    "mean": some["mean"].value,
                    "mean_raw": float(x.mean()) if len(x) else None,
                    "sd": some["sd"].value,
                    "relative_sd": some["relative_sd"].value,
                    "median": quantiles(sample, (0.5,))[0].value,
                    "covered": covered_px / frame_px if frame_px else None,
                }
            )
        return Table.from_rows(FRAME_SIZES, rows)


def _note(scope: Scope, n: int, n_used: int) -> str:
    left_out = f"{n - n_used} of {n} particles without this size" if n_used < n else ""
    return "; ".join(part for part in (scope.shortage, left_out) if part)


def _relative_calibration(scope: Scope, frames: Table) -> float:
    """Relative uncertainty that the scope's frames share, their mean; NaN where unknown."""
    u = frames["pixel_size_rel_u"][np.isin(frames["frame"], scope.frames)]
    return float(u[np.isfinite(u)].mean()) if np.isfinite(u).any() else float("nan")
