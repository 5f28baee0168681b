"""What the page of a columns run shows, gathered once from its tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stempede.report.folder import Columns, RunFolder

TABLES = ("columns", "octahedra", "cells", "crystals", "layers")


@dataclass(frozen=True)
class Dots:
    """Tables of a columns run.

    Parameters
    ----------
    run : RunFolder
    columns, octahedra, cells, crystals, layers : Columns
        Tables by their names.
    """

    run: RunFolder
    columns: Columns
    octahedra: Columns
    cells: Columns
    crystals: Columns
    layers: Columns

    @classmethod
    def gather(cls, run: RunFolder) -> Dots:
        """Read the tables of a run."""
        return cls(run, *(run.columns(name) for name in TABLES))

    @property
    def seen(self) -> np.ndarray:
        """(n,) bool: columns that were fitted and accepted, none inferred."""
        inferred = np.array([s == "INFERRED" for s in self.columns.text("state")], bool)
        return self.columns.flags("accepted") & ~inferred

    @property
    def inferred(self) -> np.ndarray:
        """(n,) bool: accepted columns whose place the lattice gives."""
        return self.columns.flags("accepted") & ~self.seen

    def of(self, table: Columns, frame: int, crystal: int | None = None) -> Columns:
        """Return the rows of one frame, or of one crystal in it."""
        here = np.asarray(table["frame"]) == frame
        if crystal is not None:
            here &= np.asarray(table["crystal"]) == crystal
        return table.take(np.flatnonzero(here))

    def pixel_size_nm(self, frame: int) -> float:
        """Return the pixel size of a frame; NaN without calibration."""
        rows = np.flatnonzero(np.asarray(self.run.frames["frame"]) == frame)
        return float(self.run.frames["pixel_size_nm"][rows[0]]) if len(rows) else np.nan


@dataclass(frozen=True)
class Shown:
    """A crystal that the page shows, and why."""

    frame: int
    crystal: int
    rank: str

    @property
    def name(self) -> str:
        """How captions call it."""
        return f"frame {self.frame}, crystal {self.crystal}"


def choose(dots: Dots, most: int = 6) -> list[Shown]:
    """Return crystals to show: those with the best, the median and the worst known tilts.

    Ranked by the median standard error of their octahedra's tilts; at most ``most``.
    """
    frame = np.asarray(dots.crystals["frame"])
    crystal = np.asarray(dots.crystals["crystal"])
    if not len(frame):
        return []
    error = np.array(
        [
            _median(np.asarray(dots.of(dots.octahedra, f, c)["se_tilt_deg"], float))
            for f, c in zip(frame.tolist(), crystal.tolist(), strict=True)
        ]
    )
    order = np.argsort(np.where(np.isfinite(error), error, np.inf), kind="stable")
    n, each = len(order), max(1, most // 3)
    if n <= most:
        places, names = list(range(n)), ["best", *["between"] * (n - 2), "worst"][:n]
    else:
        middle = (n - each) // 2
        places = [*range(each), *range(middle, middle + each), *range(n - each, n)]
        names = ["best"] * each + ["median"] * each + ["worst"] * each
    return [
        Shown(int(frame[order[p]]), int(crystal[order[p]]), rank if n > 1 else "only")
        for p, rank in zip(places, names, strict=True)
    ]


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else np.nan
