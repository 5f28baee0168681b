"""Flags: which frames a reader should look at before believing them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stempede.errors import RecipeError
from stempede.tables import Table


@dataclass(frozen=True)
class Flags:
    """Write a word for each threshold that a frame passes; a limit of 0 is not asked.

    Flagged frames are measured and counted like all others: a flag is for the reader, who may
    leave frames out.

    Parameters
    ----------
    focus_ratio : float
        ``focus`` below this share of the session's median: ``focus``.
    saturated : float
        Share of pixels at the highest value: ``saturated``.
    unevenness : float
        Wandering of the grey level against its local spread: ``uneven`` (haze, charging).
    streaks : float
        Jumps between lines over what noise explains: ``streaks`` (charging).
    crowding : float
        Share of the searched area that regions cover: ``crowded``.
    drift_px : float
        Shift of the specimen since the frame before, in px: ``drift``.
    most_dose : float
        Electrons per square Angstrom that an area has taken: ``dose``.
    empty : bool
        Frames in which nothing was accepted: ``empty``.
    """

    focus_ratio: float = 0.35
    saturated: float = 0.01
    unevenness: float = 5.0
    streaks: float = 8.0
    crowding: float = 0.6
    drift_px: float = 0.0
    most_dose: float = 0.0
    empty: bool = True

    name: ClassVar[str] = "preprocess.flags"
    reads: ClassVar[tuple[str, ...]] = ("frames",)
    writes: ClassVar[tuple[str, ...]] = ("frames",)

    def __post_init__(self) -> None:
        limits = {k: v for k, v in vars(self).items() if not isinstance(v, bool) and v < 0}
        if limits:
            raise RecipeError(
                f"preprocess.flags: limits are 0 or more; found {limits}; 0 asks for none"
            )

    def __call__(self, tables: Mapping[str, Table]) -> dict[str, Table]:
        """Return ``frames`` with ``crowding`` and ``flags``."""
        frames = tables["frames"]
        crowding = covered(frames)
        drift = np.hypot(frames["drift_y_px"], frames["drift_x_px"])
        dose = frames["cumulative_dose_e_per_A2"]
        dose = np.where(np.isfinite(dose), dose, frames["dose_e_per_A2"])
        measured = np.asarray(frames["state"] == "measured")
        focus = frames["focus"]
        known = focus[measured & np.isfinite(focus)]
        typical = float(np.median(known)) if len(known) else np.nan
        nothing = (frames["n_accepted"] == 0) | (frames["n_columns"] == 0)
        with np.errstate(invalid="ignore"):
            said = {
                "focus": self.focus_ratio * typical > focus,
                "saturated": _above(frames["saturated_fraction"], self.saturated),
                "uneven": _above(frames["unevenness"], self.unevenness),
                "streaks": _above(frames["streaks"], self.streaks),
                "crowded": _above(crowding, self.crowding),
                "drift": _above(drift, self.drift_px),
                "dose": _above(dose, self.most_dose),
                "empty": nothing & self.empty,
            }
        words = [
            ", ".join(name for name, where in said.items() if where[k] and measured[k])
            for k in range(len(frames))
        ]
        flags = np.array(words, np.dtypes.StringDType())
        return {"frames": frames.with_columns({"crowding": crowding, "flags": flags})}


def covered(frames: Table) -> np.ndarray:
    """Return the share of the searched area that regions of the typical size would cover.

    Returns
    -------
    (n,) float64 array
        NaN for frames without regions of a typical size.
    """
    n = np.where(frames["n_particles"] < 0, np.nan, frames["n_particles"])
    area = frames["height_px"] * frames["width_px"] * frames["valid_fraction"]
    with np.errstate(invalid="ignore", divide="ignore"):
        share: np.ndarray = n * np.pi / 4 * frames["scale_px"] ** 2 / area
    return share


def _above(values: np.ndarray, limit: float) -> np.ndarray:
    above: np.ndarray = values > (limit or np.inf)
    return above
