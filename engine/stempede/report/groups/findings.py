"""What a run says of its groups, gathered once; a table that is not there leaves a gap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stempede.report.findings import Findings
from stempede.report.folder import Columns
from stempede.report.groups.colours import colour
from stempede.report.groups.predictors import Predictor, predictors
from stempede.report.sizes import Interval

_MORE = (
    "frame",
    "particle",
    "label",
    "y_px",
    "x_px",
    "bbox_y0_px",
    "bbox_x0_px",
    "bbox_y1_px",
    "bbox_x1_px",
    "equivalent_diameter_px",
    "major_axis_px",
    "minor_axis_px",
    "orientation_deg",
    "shape_y_px",
    "shape_x_px",
    "shape_radius_px",
    "shape_angle_deg",
    "jaccard",
    "is_circle",
    "p_network",
    "d_network",
    "l_ratio_network",
    "weight",
    "group",
    "accepted",
)
LEAST = 2
"""Particles with a value that a distribution is drawn from."""


@dataclass(frozen=True)
class Group:
    """One group: how many particles it holds, and their share with its interval."""

    number: int
    n: int
    n_frames: int
    share: Interval

    @property
    def name(self) -> str:
        """Name as it stands in every figure."""
        return f"group {self.number}"

    @property
    def colour(self) -> str:
        """Its colour."""
        return colour(self.number)


@dataclass(frozen=True)
class Grouped:
    """Particles of a run by group.

    Parameters
    ----------
    found : Findings
        The run.
    particles : Columns
        Accepted particles that have a group or a fitted shape.
    groups : tuple of Group
        In order of number; empty where nothing was grouped.
    drawn : tuple of Predictor
        Predictors that the run has values of.
    """

    found: Findings
    particles: Columns
    groups: tuple[Group, ...]
    drawn: tuple[Predictor, ...]

    @classmethod
    def gather(cls, found: Findings) -> Grouped | None:
        """Read what is drawn; None for a run without groups and without shapes."""
        known = predictors(found.unit)
        names = dict.fromkeys([*_MORE, *(f for p in known for f in p.fields)])
        table = found.run.columns("particles", list(names))
        table = table.take(np.isin(table["frame"], found.run.frames["frame"]))
        number, p = np.asarray(table["group"], float), np.asarray(table["p"], float)
        grouped = np.isfinite(number) & (number >= 0)
        rows = table.flags("accepted") & (grouped | np.isfinite(p))
        if not rows.any():
            return None
        particles = table.take(np.flatnonzero(rows))
        drawn = tuple(k for k in known if np.isfinite(k.of(particles)).sum() >= LEAST)
        return cls(found, particles, _groups(found, particles), drawn)

    @property
    def number(self) -> np.ndarray:
        """Group of each particle, (n,) int64, -1 for none."""
        number = np.asarray(self.particles["group"], float)
        return np.where(np.isfinite(number), number, -1).astype(np.int64)

    @property
    def has_shapes(self) -> bool:
        """Whether superellipses were fitted."""
        return bool(np.isfinite(np.asarray(self.particles["p"], float)).any())

    @property
    def n(self) -> int:
        """Particles that belong to a group."""
        return int((self.number >= 0).sum())

    @property
    def n_frames(self) -> int:
        """Frames that they lie in."""
        return len(np.unique(self.particles["frame"][self.number >= 0]))

    @property
    def weights(self) -> np.ndarray:
        """Edge weights, (n,) float64; 1 where there is none."""
        weights = np.asarray(self.particles["weight"], float)
        return np.where(np.isfinite(weights) & (weights > 0), weights, 1.0)


def _groups(found: Findings, particles: Columns) -> tuple[Group, ...]:
    """Return the groups by number; their shares are those of the groups table."""
    number = np.asarray(particles["group"], float)
    inside = np.flatnonzero(np.isfinite(number) & (number >= 0))
    shares: dict[int, Interval] = {}
    for row in found.run.columns("groups").rows():
        bounds = (row.get(k) for k in ("fraction", "fraction_ci_low", "fraction_ci_high"))
        share = Interval(*(np.nan if b is None else float(b) for b in bounds))
        shares.setdefault(int(row["group"]), share)
    groups = []
    for g in np.unique(number[inside]).astype(int).tolist():
        member = inside[number[inside] == g]
        counted = Interval(len(member) / len(inside))
        n_frames = len(np.unique(particles["frame"][member]))
        groups.append(Group(g, len(member), n_frames, shares.get(g, counted)))
    return tuple(groups)
