"""Fit: positions, intensities and widths of columns with true standard errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from stempede.columns.crystal import Crystal, crystal_of
from stempede.columns.evidence import deviances
from stempede.columns.noise import MODELS, Noise
from stempede.columns.own_widths import Axes, own_axes, shared_axes
from stempede.columns.refinement import Refined, Settings, refine
from stempede.columns.sites import Sites
from stempede.columns.vectors import refined
from stempede.frames import Batch
from stempede.tables import Table

_PRESENT = 50.0
"""Prior odds that a site within a crystal holds its column."""

_GAP_DEG = 200.0
"""Widest angle without a column around a site that still lies within the crystal."""

SHAPES = ("auto", "free", "shared")


@dataclass(frozen=True)
class Fit:
    """Fit all columns of a frame together, by the likelihood of its electrons.

    Every column is a Gaussian on a background that is smooth over a few cells; overlapping
    neighbours, widths and background are estimated together, so that they enter the standard
    errors. The noise model is that of the frame (``frames.noise_model``).

    Parameters
    ----------
    crystal : str, mapping or Crystal
        The cell; see ``crystal_of``.
    shape : {"auto", "free", "shared"}
        Positions and intensities always come from widths shared by the columns of a species
        in a frame. ``shared`` writes these; ``free`` measures each column's own widths about
        its position; ``auto`` does so for columns of at least 100 electrons.
    window : float
        Radius around each column within which pixels are read, in widths.
    wander : float
        How far a column may stand from where its lattice and the peaks put it, in distances
        of nearest columns.
    least : float
        Significance (``columns.significance``) below which nothing was seen.
    scan_lines : bool
        Estimate the shifts of scan lines and take them out; see ``scan``.
    """

    crystal: Any = "CsPbI3"
    shape: Literal["auto", "free", "shared"] = "auto"
    window: float = 3.3
    wander: float = 0.4
    least: float = 3.0
    scan_lines: bool = True

    name: ClassVar[str] = "columns.fit"
    reads: ClassVar[tuple[str, ...]] = ("electrons", "columns", "crystals")
    writes: ClassVar[tuple[str, ...]] = ("columns", "crystals")

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(f"shape is {', '.join(SHAPES)}; found '{self.shape}'; correct it")
        for name, low in (("window", 1.5), ("wander", 0.05), ("least", 0.0)):
            if not low <= getattr(self, name) < np.inf:
                raise ValueError(f"{name} is at least {low}, found {getattr(self, name)}")

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with ``columns`` fitted, and ``crystals`` with what follows."""
        cell = crystal_of(self.crystal)
        columns = batch.tables["columns"]
        parts = [columns.take(np.zeros(len(columns), bool))]
        for k, frame in enumerate(batch.frames):
            rows = columns.take(columns["frame"] == frame)
            if len(rows):
                electrons = batch.backend.download(batch.maps["electrons"][k], self.name)
                valid = batch.backend.download(batch.maps["valid"][k], self.name)
                noise = noise_of(batch.tables["frames"], k)
                exposure = self._exposure(batch, k)
                parts.append(self._fitted(rows, (electrons, valid, exposure), noise, cell))
        fitted, crystals = refined(Table.concat(parts), batch.tables["crystals"], cell)
        return batch.with_(tables={"columns": fitted, "crystals": crystals})

    def _exposure(self, batch: Batch, k: int) -> np.ndarray | None:
        """Return the share of a sum's scans that cover each pixel; None where all do."""
        if "exposure" not in batch.maps:
            return None
        exposure = batch.backend.download(batch.maps["exposure"][k], self.name)
        most = float(exposure.max(initial=0))
        if most <= 0 or bool((exposure == most).all()):
            return None
        return exposure / most

    def _fitted(
        self,
        rows: Table,
        maps: tuple[np.ndarray, np.ndarray, np.ndarray | None],
        noise: Noise,
        cell: Crystal,
    ) -> Table:
        electrons, valid, exposure = maps
        started = np.isfinite(rows["y_px"]) & np.isfinite(rows["x_px"])
        if not started.any():
            return _not_run(rows, "no start")
        if not valid.any() or not np.ptp(electrons[valid]) > 0:
            return _not_run(rows, "no electrons")
        sites = Sites.of(rows.take(started), cell)
        kept = started.copy()
        kept[started] = ~sites.repeated()
        if not kept.all():
            # a fit cannot share light between two columns that stand on one another
            parts = [(~started, "no start"), (started & ~kept, "on another column")]
            apart = [_not_run(rows.take(which), why) for which, why in parts if which.any()]
            whole = Table.concat([self._fitted(rows.take(kept), maps, noise, cell), *apart])
            return whole.take(np.argsort(whole["column"], kind="stable"))
        settings = Settings(
            self.window, self.window + 1.0, self.wander, self.least, self.scan_lines
        )
        found = refine(electrons.astype(np.float64), valid, exposure, noise, sites, settings)
        return rows.with_columns(_fields(found, sites, self._axes(found, sites)))

    def _axes(self, found: Refined, sites: Sites) -> Axes:
        if self.shape == "shared":
            return shared_axes(found.last.system)
        strength = found.values[:, 2]
        if found.last.system.problem.noise.model == "gaussian":
            strength = strength**2 / np.maximum(found.covariance[:, 2, 2], 1e-300)
        always = self.shape == "free"
        return own_axes(found.last.system, found.last.seen, sites.kind, strength, always=always)


def _not_run(rows: Table, why: str) -> Table:
    """Return rows with nothing fitted and nothing accepted."""
    reason = np.full(len(rows), why, dtype=object)
    state = np.full(len(rows), "NOT_RUN", dtype=object)
    accepted = np.zeros(len(rows), bool)
    return rows.with_columns({"state": state, "accepted": accepted, "reject_reason": reason})


def noise_of(frames: Table, k: int) -> Noise:
    """Return the noise of frame k of a batch; Poisson where the table does not say."""
    model = str(frames["noise_model"][k])
    read = float(frames["read_noise_electrons"][k])
    return Noise(model if model in MODELS else "poisson", read if np.isfinite(read) else 0.0)


def _fields(refined: Refined, sites: Sites, axes: Axes) -> dict[str, Any]:
    """Return the fields of fitted rows."""
    system, covariance, seen = refined.last.system, refined.covariance, refined.last.seen
    state = system.state
    yx = np.where(seen[:, None], refined.values[:, :2], refined.inferred_yx)
    se = np.sqrt(covariance[:, [0, 1, 2], [0, 1, 2]])
    se[:, :2] = np.where(seen[:, None], se[:, :2], refined.inferred_se[:, None])
    intensity = np.maximum(refined.values[:, 2], 0)
    states = _states(refined, sites)
    reason = _reasons(refined, sites, states)
    return {
        "y_px": yx[:, 0],
        "x_px": yx[:, 1],
        "se_y_px": se[:, 0],
        "se_x_px": se[:, 1],
        "cov_yx_px2": np.where(seen, covariance[:, 0, 1], 0.0),
        "amplitude": intensity / (2 * np.pi * axes.major_px * axes.minor_px),
        "sigma_major_px": axes.major_px,
        "sigma_minor_px": axes.minor_px,
        "angle_deg": axes.angle_deg,
        "offset": system.ground.at_columns(state.ground, state.y, state.x),
        "intensity": intensity,
        "se_intensity": se[:, 2],
        "state": states,
        "deviance": deviances(system),
        "iterations": np.full(len(sites), system.steps),
        "significance": np.sqrt(2 * np.maximum(refined.last.gain, 0)),
        "accepted": reason == "",
        "reject_reason": reason,
    }


def _states(refined: Refined, sites: Sites) -> np.ndarray:
    known = np.isfinite(refined.inferred_yx).all(axis=1) & sites.on_lattice
    unseen = np.where(known, "INFERRED", "OUT_OF_WINDOW")
    return np.where(refined.last.seen, "CONVERGED", unseen)


def _reasons(refined: Refined, sites: Sites, states: np.ndarray) -> np.ndarray:
    """Return why a column is not accepted: empty where it is."""
    reason = np.full(len(sites), "", dtype=object)
    inferred = states == "INFERRED"
    odds = np.log(_PRESENT) + refined.presence
    reason[inferred & (odds < 0)] = "empty site"
    reason[inferred & ~_enclosed(sites, refined.last.seen, inferred)] = "outside the crystal"
    reason[(states == "OUT_OF_WINDOW")] = "not seen"
    reason[refined.last.system.problem.held] = "hidden by its neighbours"
    reason[~sites.on_lattice] = "off lattice"
    return reason


def _enclosed(sites: Sites, seen: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Return which of the sites have columns seen all around, or along an edge both ways."""
    found = np.zeros(len(sites), bool)
    for k in np.flatnonzero(which):
        di, dj = sites.i - sites.i[k], sites.j - sites.j[k]
        near = seen & (sites.crystal == sites.crystal[k]) & (np.hypot(di, dj) < 1.05)
        near[k] = False
        turns = np.sort(np.degrees(np.arctan2(dj[near], di[near])))
        if len(turns) >= 3:
            gaps = np.diff(np.concatenate([turns, turns[:1] + 360]))
            found[k] = gaps.max() <= _GAP_DEG
    return found
