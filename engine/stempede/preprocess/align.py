"""Align: register the repeated scans of a series, and sum them or follow the specimen.

Scans are summed by whole pixels: a sum of shifted counts is still counts, with Poisson's
statistics, which no interpolation leaves. What whole pixels leave of a shift widens a column
by at most 0.29 px rms along each axis, and moves all columns alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from stempede.errors import InputError, RecipeError
from stempede.frames import Batch
from stempede.preprocess.registration import Registration, Scans, refined, register
from stempede.preprocess.screening import Screened, blank, screen
from stempede.series import Series, series_of
from stempede.tables import Field, Schema, Table, declare

SERIES = ("independent", "average", "track")
PHASES = 16
"""Fractions of a pixel tried for the grid that the scans are summed on."""


def _f(name: str, unit: str, doc: str) -> Field:
    return Field(name, "float64", unit, doc)


SHIFTS = declare(
    Schema(
        "shifts",
        (
            Field("frame", "int64", "", "frame number of the scan"),
            Field("series", "string", "", "label, or source, of its series"),
            Field("series_index", "int64", "", "0-based order within the series"),
            Field("into_frame", "int64", "", "frame whose row and image it was summed into"),
            _f("shift_y_px", "px", "where the specimen stands, minus where in the first used scan"),
            _f("shift_x_px", "px", "where the specimen stands, minus where in the first used scan"),
            _f("se_shift_y_px", "px", "standard error against the sum of the other scans"),
            _f("se_shift_x_px", "px", "standard error against the sum of the other scans"),
            Field("moved_y_px", "int64", "px", "the scan was moved back by this to be summed"),
            Field("moved_x_px", "int64", "px", "the scan was moved back by this to be summed"),
            _f("cumulative_dose_e_per_A2", "e/A^2", "of the series up to and with this scan"),
            _f("contrast", "", "its fine structure over that of the first scans"),
            _f(
                "change",
                "",
                "rms change of its outline and thickness, over the rms of its structure",
            ),
            Field("state", "string", "", "used | dropped"),
            Field("reason", "string", "", "blank | jump | blur | changed | beam damage"),
        ),
    )
)


@dataclass(frozen=True)
class Align:
    """Register the scans of each series.

    Parameters
    ----------
    series : {"independent", "average", "track"}
        ``independent``: each frame is measured alone. ``average``: the scans of a series are
        summed into one image. ``track``: each scan stays, with its shift and cumulative dose.
    drift_px : float
        Typical drift between consecutive scans. It decides between shifts that a periodic
        specimen allows alike; a jump that the scans leave no doubt about is followed.
    least_contrast : float
        A scan with less of its fine structure than this share of the first scans' is dropped.
    most_change : float
        A scan is dropped if its outline or thickness changed by more than this, rms over the
        rms of all its structure; half a dot gone is 0.35.
    """

    series: Literal["independent", "average", "track"] = "independent"
    drift_px: float = 4.0
    least_contrast: float = 0.6
    most_change: float = 0.2

    name: ClassVar[str] = "preprocess.align"
    reads: ClassVar[tuple[str, ...]] = ("images", "valid")
    writes: ClassVar[tuple[str, ...]] = ("images", "valid", "exposure", "shifts", "frames")

    def __post_init__(self) -> None:
        if self.series not in SERIES:
            raise RecipeError(f"series is one of {', '.join(SERIES)}; found '{self.series}'")
        if not self.drift_px > 0:
            raise RecipeError(f"drift_px is above 0; found {self.drift_px}")

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with exposure map and shifts, and one row per series if averaged."""
        if self.series == "independent":
            tables = {"shifts": Table.empty(SHIFTS)}
            return batch.with_(maps={"exposure": _ones(batch)}, tables=tables)
        aligned = [self._aligned(batch, s) for s in series_of(batch.records)]
        shifts = Table.concat(
            [Table.empty(SHIFTS), *(_rows(a, batch, self.series) for a in aligned)]
        )
        if self.series == "track":
            frames = _tracked(batch.tables["frames"], shifts)
            tables = {"shifts": shifts, "frames": frames}
            return batch.with_(maps={"exposure": _ones(batch)}, tables=tables)
        return _averaged(batch, aligned, shifts)

    def _aligned(self, batch: Batch, series: Series) -> Aligned:
        """Register and screen one series; dropped scans leave the sum before it is refined."""
        rows = _row_numbers(batch, series)
        if len(rows) == 1:
            one = Registration(np.zeros((1, 2)), np.full((1, 2), np.nan))
            nothing = np.full(1, np.nan)
            return Aligned(series, rows, one, Screened(nothing, nothing, [""]))
        adjoining = bool((np.diff(rows) == 1).all())
        # a slice shares the memory of the batch
        which = slice(int(rows[0]), int(rows[-1]) + 1) if adjoining else rows
        scans = Scans.of(batch.images[which], batch.maps["valid"][which], batch.backend)
        used = ~blank(scans)
        if not used.any():
            raise InputError(f"series '{series.name}' has no scan with structure to register")
        found = register(scans, used, self.drift_px)
        screened = screen(scans, found, used, self.least_contrast, self.most_change)
        kept = np.array([reason == "" for reason in screened.reasons])
        if kept.any() and not (kept == used).all():
            found = refined(scans, kept, found)
        return Aligned(series, rows, found, screened)


@dataclass(frozen=True)
class Aligned:
    """A series with its rows in the batch, its shifts and what became of its scans."""

    series: Series
    rows: np.ndarray
    found: Registration
    screened: Screened

    @property
    def used(self) -> np.ndarray:
        """(k,) bool."""
        return np.array([reason == "" for reason in self.screened.reasons])

    @property
    def moves(self) -> np.ndarray:
        """(k, 2) int64: by how much each scan is moved back, 0 where it is not used.

        Of all phases of the grid the one is taken that leaves the least spread of what whole
        pixels cannot move: scans that hardly drift are then not moved at all.
        """
        shifts = np.where(self.used[:, None], self.found.shifts, np.nan)
        moves = np.zeros(shifts.shape, dtype=np.int64)
        for axis in (0, 1):
            phases = np.arange(PHASES) / PHASES - 0.5
            tried = np.rint(shifts[:, axis] - phases[:, None])
            spread = np.nanvar(shifts[:, axis] - tried, axis=1)
            # of equals the one nearest to the first scan's own grid
            best = np.lexsort((np.abs(phases), spread.round(9)))[0]
            moves[:, axis] = np.nan_to_num(tried[best])
        return moves


def _row_numbers(batch: Batch, series: Series) -> np.ndarray:
    rows = {frame: k for k, frame in enumerate(batch.frames.tolist())}
    return np.array([rows[frame] for frame in series.frames])


def _ones(batch: Batch) -> Any:
    """Return an exposure of one scan everywhere, which takes no memory."""
    xp = batch.backend.xp
    return xp.broadcast_to(xp.float32(1), batch.images.shape)


def _doses(batch: Batch, rows: np.ndarray) -> np.ndarray:
    known = [batch.records[k].instrument.get("dose_e_per_A2") for k in rows.tolist()]
    return np.array([np.nan if d is None else float(d) for d in known])


def _rows(aligned: Aligned, batch: Batch, mode: str) -> Table:
    """Return the rows of ``shifts`` of one series."""
    n = len(aligned.rows)
    averaged = mode == "average"
    moves = aligned.moves if averaged else np.zeros((n, 2), dtype=np.int64)
    frames = np.array(aligned.series.frames, dtype=np.int64)
    found, screened = aligned.found, aligned.screened
    return Table(
        SHIFTS,
        {
            "frame": frames,
            "series": [aligned.series.name] * n,
            "series_index": np.arange(n),
            "into_frame": np.full(n, frames[0]) if averaged else frames,
            "shift_y_px": found.shifts[:, 0],
            "shift_x_px": found.shifts[:, 1],
            "se_shift_y_px": found.errors[:, 0],
            "se_shift_x_px": found.errors[:, 1],
            "moved_y_px": moves[:, 0],
            "moved_x_px": moves[:, 1],
            "cumulative_dose_e_per_A2": np.cumsum(_doses(batch, aligned.rows)),
            "contrast": screened.contrast,
            "change": screened.change,
            "state": ["dropped" if reason else "used" for reason in screened.reasons],
            "reason": screened.reasons,
        },
    )


def _tracked(frames: Table, shifts: Table) -> Table:
    """Return the frames table with each scan's series, order, shift and cumulative dose."""
    at = {frame: k for k, frame in enumerate(shifts["frame"].tolist())}
    rows = np.array([at[frame] for frame in frames["frame"].tolist()], dtype=np.int64)
    names = ("series_index", "shift_y_px", "shift_x_px", "cumulative_dose_e_per_A2")
    changed = {name: shifts[name][rows] for name in names}
    series = np.where(frames["series"] == "", shifts["series"][rows], frames["series"])
    return frames.with_columns({**changed, "series": series})


def _averaged(batch: Batch, aligned: list[Aligned], shifts: Table) -> Batch:
    """Return a batch of one image per series: counts summed where the specimen stands still."""
    xp = batch.backend.xp
    shape = (len(aligned), *batch.images.shape[1:])
    images, exposure = xp.zeros(shape, np.float32), xp.zeros(shape, np.float32)
    for n, series in enumerate(aligned):
        for row, move, used in zip(series.rows.tolist(), series.moves, series.used):
            if used:
                here, there = _overlap(shape[1:], move)
                valid = batch.maps["valid"][row][there]
                images[n][here] += xp.where(valid, batch.images[row][there], 0)
                exposure[n][here] += valid
    first = np.array([int(a.rows[0]) for a in aligned], dtype=np.int64)
    doses = [_doses(batch, a.rows) for a in aligned]
    frames = batch.tables["frames"].take(first)
    frames = frames.with_columns(
        {
            "n_averaged": np.array([a.used.sum() for a in aligned]),
            "dose_e_per_A2": np.array([d[a.used].sum() for d, a in zip(doses, aligned)]),
            "cumulative_dose_e_per_A2": np.array([d.sum() for d in doses]),
        }
    )
    return replace(
        batch,
        images=images,
        records=tuple(batch.records[k] for k in first.tolist()),
        maps={"valid": exposure > 0, "exposure": exposure},
        tables={**batch.tables, "frames": frames, "shifts": shifts},
    )


def _overlap(
    shape: tuple[int, ...], move: np.ndarray
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return where a scan moved back by so much lands, and which of its pixels do."""
    here = tuple(slice(max(0, -m), n - max(0, m)) for n, m in zip(shape, move.tolist()))
    there = tuple(slice(max(0, m), n - max(0, -m)) for n, m in zip(shape, move.tolist()))
    return here, there
