"""Drift: how far the specimen moved since the frame before, by the particles both show."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from stempede.tables import Table

BIN_PX = 4
FEWEST = 5
"""Particles that must agree on a shift."""
SHARE = 0.25
"""Share of the particles of the poorer frame that must agree."""
CHANCE_SIGMA = 6.0
"""How far the agreement must stand above that of unrelated frames."""


@dataclass(frozen=True)
class Drift:
    """Find the shift between consecutive frames that show the same particles.

    Frames of different places have no shift: their fields stay empty. The order is that of
    ``acquired_at`` where all frames have it, else that of their names.

    Parameters
    ----------
    most : int
        Particles of a frame that are compared: the largest.
    """

    most: int = 300

    name: ClassVar[str] = "particles.drift"
    reads: ClassVar[tuple[str, ...]] = ("frames", "particles")
    writes: ClassVar[tuple[str, ...]] = ("frames",)

    def __call__(self, tables: Mapping[str, Table]) -> dict[str, Table]:
        """Return ``frames`` with ``drift_y_px drift_x_px``, since the frame before."""
        frames, particles = tables["frames"], tables["particles"]
        drift = np.full((len(frames), 2), np.nan)
        order = _in_time(frames)
        places = self._places(particles)
        none = np.zeros((0, 2))
        for before, row in pairwise(order.tolist()):
            if _comparable(frames, before, row):
                a, b = (places.get(int(frames["frame"][k]), none) for k in (before, row))
                drift[row] = shift_between(a, b)
        return {
            "frames": frames.with_columns({"drift_y_px": drift[:, 0], "drift_x_px": drift[:, 1]})
        }

    def _places(self, particles: Table) -> dict[int, np.ndarray]:
        """Return (n, 2) centroids of the largest particles by frame."""
        order = np.lexsort((-particles["area_px2"], particles["frame"]))
        numbers, starts = np.unique(particles["frame"][order], return_index=True)
        centres = np.stack([particles["y_px"], particles["x_px"]], axis=1)[order]
        parts = np.split(centres, starts[1:])
        return {int(n): p[: self.most] for n, p in zip(numbers, parts)}


def shift_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the shift that takes points a to points b, by the vote of all pairs.

    Parameters
    ----------
    a, b : (n, 2) and (m, 2) float64 array

    Returns
    -------
    (2,) float64 array
        NaN where no shift is agreed on more than unrelated points would.
    """
    nothing = np.full(2, np.nan)
    wanted = max(FEWEST, SHARE * min(len(a), len(b)))
    if min(len(a), len(b)) < FEWEST:
        return nothing
    pairs = (b[None] - a[:, None]).reshape(-1, 2)
    low = pairs.min(axis=0)
    cells = np.floor((pairs - low) / BIN_PX).astype(np.int64)
    shape = cells.max(axis=0) + 3
    votes = np.bincount((cells[:, 0] + 1) * shape[1] + cells[:, 1] + 1, minlength=shape.prod())
    votes = votes.reshape(shape)
    near = np.zeros_like(votes)
    for shift in ((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)):
        near += np.roll(votes, shift, (0, 1))
    best = np.unravel_index(int(np.argmax(near)), near.shape)
    n = int(near[best])
    # pairs of unrelated points fill a triangle: four times the mean at its middle
    expected = 4 * 9 * len(pairs) / shape.prod()
    if n < wanted or n < expected + CHANCE_SIGMA * np.sqrt(expected):
        return nothing
    middle = low + (np.array(best) - 0.5) * BIN_PX
    mine = pairs[(np.abs(pairs - middle) <= 1.5 * BIN_PX).all(axis=1)]
    found: np.ndarray = np.median(mine, axis=0)
    return found


def _in_time(frames: Table) -> np.ndarray:
    """Return the rows of measured frames in the order in which they were recorded."""
    rows = np.flatnonzero(np.asarray(frames["state"] == "measured"))
    times = [str(t) for t in frames["acquired_at"][rows]]
    if rows.size and all(times):
        keys: list[Any] = [(t, k) for k, t in enumerate(times)]
    else:
        keys = [(_natural(str(frames["source"][k])), int(frames["page"][k])) for k in rows.tolist()]
    return rows[sorted(range(len(rows)), key=lambda k: keys[k])]


def _natural(text: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", text)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts]


def _comparable(frames: Table, a: int, b: int) -> bool:
    """Whether two frames may show one place: of one shape, scale, sample and area."""
    names = ("height_px", "width_px", "sample", "area")
    same = all(frames[name][a] == frames[name][b] for name in names)
    scales = frames["pixel_size_nm"][[a, b]]
    return same and bool(np.isnan(scales).all() or np.ptp(scales) <= 1e-6 * scales[0])
