"""Fit: positions, intensities and widths of columns with true standard errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from stempede.columns.crystal import Crystal, crystal_of
from stempede.columns.noise import MODELS, Noise
from stempede.columns.refinement import Refined, Settings, refine
from stempede.columns.sites import Sites
from stempede.columns.tables import COLUMNS
from stempede.frames import Batch
from stempede.tables import Table

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
    """

    crystal: Any = "CsPbI3"
    shape: Literal["auto", "free", "shared"] = "auto"
    window: float = 3.3
    wander: float = 0.4
    least: float = 3.5

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
        """Return the batch with ``columns`` fitted."""
        cell = crystal_of(self.crystal)
        columns = batch.tables["columns"]
        parts = [columns.take(np.zeros(len(columns), bool))]
        for k, frame in enumerate(batch.frames):
            rows = columns.take(columns["frame"] == frame)
            if len(rows):
                electrons = batch.backend.download(batch.maps["electrons"][k], self.name)
                valid = batch.backend.download(batch.maps["valid"][k], self.name)
                noise = noise_of(batch.tables["frames"], k)
                parts.append(self._fitted(rows, electrons, valid, noise, cell))
        return batch.with_(tables={"columns": Table.concat(parts)})

    def _fitted(
        self,
        rows: Table,
        electrons: np.ndarray,
        valid: np.ndarray,
        noise: Noise,
        cell: Crystal,
    ) -> Table:
        sites = Sites.of(rows, cell)
        if not electrons[valid].any():
            return rows.with_columns({"state": np.full(len(rows), "NOT_RUN", dtype=object)})
        settings = Settings(self.shape, self.window, self.window + 1.0, self.wander)
        refined = refine(electrons.astype(np.float64), valid, noise, sites, settings)
        return rows.with_columns(_fields(refined, sites, self.least))


def noise_of(frames: Table, k: int) -> Noise:
    """Return the noise of frame k of a batch; Poisson where the table does not say."""
    model = str(frames["noise_model"][k])
    read = float(frames["read_noise_electrons"][k])
    return Noise(model if model in MODELS else "poisson", read if np.isfinite(read) else 0.0)


def _fields(refined: Refined, sites: Sites, least: float) -> dict[str, Any]:
    """Return the fields of fitted rows."""
    system, covariance = refined.system, refined.covariance
    state = system.state
    major, minor, angle = state.shape.axes()
    kind = system.problem.species
    significance = np.sqrt(2 * np.maximum(refined.gain, 0))
    sigma_major, sigma_minor = major[kind], minor[kind]
    far = np.hypot(state.y - system.problem.centre_y, state.x - system.problem.centre_x)
    out = far >= 0.999 * system.problem.radius_px
    states = np.where(out, "OUT_OF_WINDOW", "CONVERGED")
    states = np.where((significance < least) & sites.on_lattice, "INFERRED", states)
    return {
        "y_px": state.y,
        "x_px": state.x,
        "se_y_px": np.sqrt(covariance[:, 0, 0]),
        "se_x_px": np.sqrt(covariance[:, 1, 1]),
        "cov_yx_px2": covariance[:, 0, 1],
        "amplitude": state.intensity / (2 * np.pi * sigma_major * sigma_minor),
        "sigma_major_px": sigma_major,
        "sigma_minor_px": sigma_minor,
        "angle_deg": np.full(len(sites), angle),
        "offset": system.ground.at_columns(state.ground, state.y, state.x),
        "intensity": state.intensity,
        "se_intensity": np.sqrt(covariance[:, 2, 2]),
        "state": states,
        "significance": significance,
        "accepted": states == "CONVERGED",
        "reject_reason": np.where(states == "CONVERGED", "", "not fitted"),
    }


__all__ = ["COLUMNS", "Fit", "noise_of"]
