"""Sides of a comparison: the frames of a run, or those of one sample or batch within it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from stempede.errors import InputError
from stempede.particles.clusters import Sample
from stempede.particles.scopes import Scope, scopes
from stempede.report.ensemble import read_ensemble
from stempede.report.findings import size_field
from stempede.report.folder import Columns, RunFolder
from stempede.report.sizes import measure_name
from stempede.tables import FRAMES, Table

MOST_LEVELS = 24
_NUMBERS = (
    "dose_e_per_A2",
    "cumulative_dose_e_per_A2",
    "series_index",
    "magnification",
    "dwell_us",
)
_BINS = 6


@dataclass(frozen=True)
class Side:
    """What is compared with others of its kind.

    Parameters
    ----------
    name : str
        As it stands in tables and figures.
    labels : mapping of str to str
        Labels of its frames that set it apart; empty for a whole run.
    scope : Scope
        Its measured frames and their sampling units.
    frame : (n,) int64 array
        Frame of each accepted particle that has a size.
    size, weight : (n,) float64 arrays
    group : (n,) int64 array
        -1 for none.
    measure, unit : str
        Of the size.
    u_cal : float
        Relative calibration uncertainty; NaN where unknown.
    minutes : float
        What measuring took; NaN for a part of a run.
    """

    name: str
    labels: dict[str, str]
    scope: Scope
    frame: np.ndarray
    size: np.ndarray
    weight: np.ndarray
    group: np.ndarray
    measure: str
    unit: str
    u_cal: float = float("nan")
    minutes: float = float("nan")

    @property
    def axis(self) -> str:
        """Name and unit of the size, as written on an axis."""
        return f"{measure_name(self.measure)}, {self.unit}"

    def sample(self, rows: np.ndarray | None = None, values: np.ndarray | None = None) -> Sample:
        """Return its sizes (or other values) with weights and sampling units."""
        keep = np.ones(len(self.size), bool) if rows is None else rows
        x = self.size if values is None else values
        return self.scope.sample_of(self.frame[keep], x[keep], self.weight[keep])


@dataclass(frozen=True)
class Source:
    """A run as comparisons read it.

    Parameters
    ----------
    run : RunFolder
    measure, unit : str
        Its headline size.
    particles : Columns
        Accepted particles with a size.
    group : (n,) int64 array
        Group of each.
    rows : (n,) int64 array
        Their rows of the whole table.
    """

    run: RunFolder
    measure: str
    unit: str
    particles: Columns = field(repr=False)
    group: np.ndarray = field(repr=False)
    rows: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, run: RunFolder) -> Source:
        """Read a run.

        Raises
        ------
        InputError
            It has no accepted particle with a size.
        """
        ensemble = read_ensemble(run)
        size = size_field(ensemble.measure, ensemble.unit)
        table = run.columns("particles", ["frame", "accepted", "weight", "group", size])
        keep = table.flags("accepted") & np.isin(table["frame"], run.frames["frame"])
        keep &= np.isfinite(np.asarray(table[size], float))
        if not keep.any():
            raise InputError(
                f"a run with accepted particles was wanted, {run.path} has none with a "
                f"{measure_name(ensemble.measure)}; leave it out"
            )
        rows = np.flatnonzero(keep)
        particles = table.take(rows)
        number = np.asarray(particles["group"], float)
        group = np.where(np.isfinite(number), number, -1).astype(np.int64)
        return cls(run, ensemble.measure, ensemble.unit, particles, group, rows)

    def side(self, name: str, labels: dict[str, str], frames: np.ndarray) -> Side | None:
        """Return some of its frames as one side; None where none of them was measured."""
        columns = self.run.frames.take(frames)
        texts = {k: columns.text(k) for k in ("state", "sample", "area")}
        table = Table(FRAMES, {"frame": np.asarray(columns["frame"], np.int64), **texts})
        found = scopes(table)[:1]
        if not found:
            return None
        (scope,) = found
        rows = np.isin(self.particles["frame"], scope.frames)
        mine = self.particles.take(np.flatnonzero(rows))
        weight = np.asarray(mine["weight"], float)
        u = np.asarray(columns["pixel_size_rel_u"], float)
        seconds = self.run.document.get("measure_s") or self.run.document.get("wall_s")
        whole = len(columns) == len(self.run.frames)
        return Side(
            name=name,
            labels=labels,
            scope=scope,
            frame=np.asarray(mine["frame"], np.int64),
            size=np.asarray(mine[size_field(self.measure, self.unit)], float),
            weight=np.where(np.isfinite(weight) & (weight > 0), weight, 1.0),
            group=self.group[rows],
            measure=self.measure,
            unit=self.unit,
            u_cal=float(u[np.isfinite(u)].mean()) if np.isfinite(u).any() else float("nan"),
            minutes=float(seconds) / 60 if whole and seconds else float("nan"),
        )


def whole_runs(sources: Sequence[Source], names: Sequence[str]) -> list[Side]:
    """Return each run as a side."""
    sides = []
    for source, name in zip(sources, names, strict=True):
        side = source.side(name, {}, np.arange(len(source.run.frames)))
        if side is not None:
            sides.append(side)
    return sides


def by_labels(source: Source, by: Sequence[str]) -> list[Side]:
    """Return the samples, batches or conditions of one run as sides, in order of their labels.

    Numbers with many values (a dose) are put into six bins of equal numbers of frames.

    Raises
    ------
    InputError
        Frames carry no such label, or one value of it alone.
    """
    frames = source.run.frames
    levels = {name: _levels(source.run, name) for name in by}
    combined = list(zip(*levels.values(), strict=True))
    known = sorted(
        {c for c in combined if all(c)}, key=lambda c: tuple(_ordered(part) for part in c)
    )
    if len(known) < 2:
        found = ", ".join("/".join(c) for c in known) or "no value"
        raise InputError(
            f"--by {','.join(by)} wants two values or more; {source.run.path} has {found}; "
            "name another label"
        )
    if len(known) > MOST_LEVELS:
        raise InputError(
            f"--by {','.join(by)} gives {len(known)} values, more than {MOST_LEVELS} that can be "
            "read side by side; name a coarser label"
        )
    sides = []
    for combination in known:
        rows = np.array([c == combination for c in combined])
        labels = dict(zip(by, combination, strict=True))
        side = source.side(" · ".join(combination), labels, np.flatnonzero(rows))
        if side is not None and len(side.size):
            sides.append(side)
    if len(sides) < 2 or len(frames) < 2:
        raise InputError(
            f"--by {','.join(by)} wants particles of two values or more; found {len(sides)}; "
            "name another label"
        )
    return sides


def labels_of(run: RunFolder) -> list[str]:
    """Return the labels that frames of a run may be compared by."""
    given = [n for n in run.frames.values if n not in FRAMES.names]
    shipped = ["sample", "series", "area", "instrument", "detector", *_NUMBERS]
    return [n for n in [*given, *shipped] if n in run.frames and len(set(_cells(run, n))) > 1]


def _cells(run: RunFolder, name: str) -> list[str]:
    column = run.frames.values[name]
    if column.dtype.kind == "f":
        return [f"{v:g}" if np.isfinite(v) else "" for v in column]
    return ["" if str(v) == "-1" and name in _NUMBERS else str(v) for v in column]


def _levels(run: RunFolder, name: str) -> list[str]:
    if name not in run.frames:
        known = ", ".join(labels_of(run)) or "none"
        raise InputError(
            f"--by wants labels of the frames; '{name}' is none of them; {run.path} has: {known} "
            "(labels come from --metadata FILE.csv, --pattern or --sample)"
        )
    cells = _cells(run, name)
    values = {c: number_of(c) for c in set(cells) if c}
    if len(values) <= MOST_LEVELS or any(v is None for v in values.values()):
        return cells
    x = np.array([number_of(c) if c else np.nan for c in cells], float)
    edges = np.nanquantile(x, np.linspace(0, 1, _BINS + 1))
    place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, _BINS - 1)
    middle = [
        f"{np.nanmean(x[place == k]):.3g}" if (place == k).any() else "" for k in range(_BINS)
    ]
    return [middle[p] if np.isfinite(v) else "" for p, v in zip(place, x, strict=True)]


def number_of(text: str) -> float | None:
    """Return the number that a label begins with, such as 30 of ``30 min``; None without one."""
    head = text.strip().split(" ")[0].rstrip("abcdefghijklmnopqrstuvwxyzµ°ACKMN")
    try:
        value = float(head)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _ordered(text: str) -> tuple[int, float, str]:
    value = number_of(text)
    return (0, value, text) if value is not None else (1, 0.0, text)


def regrouped(source: Source, group: np.ndarray) -> Source:
    """Return a run with other groups of its particles."""
    return replace(source, group=group)
