"""A comparison gathered, told in words, and written as a page with its figures and CSV files."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stempede.errors import InputError, ResultsError
from stempede.report.compare import words
from stempede.report.compare.contrasts import MOST_PAIRED, Contrast, Described, contrasts, describe
from stempede.report.compare.matching import match, within_one
from stempede.report.compare.sides import Source, by_labels, whole_runs
from stempede.report.folder import RunFolder

_MOST_TOLD = 40


@dataclass(frozen=True)
class Comparison:
    """Sides with their statistics and tests.

    Parameters
    ----------
    title : str
    by : tuple of str
        Labels that sides differ by; empty for whole runs.
    described : tuple of Described
    contrasts : tuple of Contrast
    groups : tuple of int
        Groups that any side has.
    said : tuple of str
        How groups were matched, and what keeps numbers from being compared.
    """

    title: str
    by: tuple[str, ...]
    described: tuple[Described, ...]
    contrasts: tuple[Contrast, ...]
    groups: tuple[int, ...]
    said: tuple[str, ...]

    @property
    def basis(self) -> str:
        """What it rests on."""
        n = sum(len(d.side.size) for d in self.described)
        frames = sum(len(d.side.scope.frames) for d in self.described)
        return f"N = {n:,} particles in {frames:,} frames"

    @property
    def axis(self) -> str:
        """Name and unit of the size."""
        return self.described[0].side.axis

    @property
    def one_axis(self) -> bool:
        """Whether all sides measure the same size in the same unit."""
        return len({d.side.axis for d in self.described}) == 1


def compare(runs: Sequence[Path | str], by: Sequence[str] = ()) -> Comparison:
    """Compare runs with each other, or what labels tell apart within one.

    Parameters
    ----------
    runs : sequence of Path
        Two run folders or more; one with ``by``.
    by : sequence of str
        Labels of frames, such as ``sample`` and ``batch``.

    Raises
    ------
    InputError
        Too few runs, unknown labels, or nothing to compare.
    ResultsError
        A folder is not a run.
    """
    opened = [RunFolder.open(run) for run in runs]
    if by:
        if len(opened) != 1:
            raise InputError(
                f"--by compares within one run; found {len(opened)} runs; compare them without "
                "--by, or measure them as one session"
            )
        matched = within_one(Source.of(opened[0]))
        sides = by_labels(matched.sources[0], by)
        title = f"{opened[0].name} by {', '.join(by)}"
    else:
        if len(opened) < 2:
            raise InputError(
                "compare wants two runs or more, or one with --by; found one; name another run "
                "folder or a label"
            )
        names = _names(opened)
        sources = [Source.of(run) for run in opened]
        matched = match(sources, names)
        sides = whole_runs(matched.sources, names)
        title = " and ".join(names)
    described = tuple(describe(side, matched.groups) for side in sides)
    tested = tuple(contrasts(described))
    said = tuple(s for s in (matched.said, *_cautions(described)) if s)
    return Comparison(title, tuple(by), described, tested, matched.groups, said)


def _names(runs: Sequence[RunFolder]) -> list[str]:
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.path) for run in runs]


def _cautions(described: Sequence[Described]) -> list[str]:
    first = described[0].side
    said = [
        f"{one.side.name} measures {one.side.axis}, {first.name} {first.axis}: their sizes "
        "are not compared."
        for one in described[1:]
        if one.side.axis != first.axis
    ]
    short = [d.side.name for d in described if d.side.scope.shortage]
    if short:
        said.append(
            f"No interval and no test with {', '.join(short)}: fewer than 5 frames or 3 areas."
        )
    known = [d.side.u_cal for d in described if math.isfinite(d.side.u_cal)]
    if len(known) == len(described) and not described[0].side.labels:
        said.append(
            f"Calibrations add a relative uncertainty of {100 * max(known):.2g} % to mean sizes, "
            "which no interval here includes; σ/d and shares are free of it."
        )
    elif not described[0].side.labels:
        said.append("The uncertainty of pixel sizes is not given for all: it is in no interval.")
    if len(described) > MOST_PAIRED:
        said.append(
            f"More than {MOST_PAIRED} sides: each is tested against the first, {first.name}."
        )
    return said


def told(comparison: Comparison) -> str:
    """Return a comparison as text for the terminal."""
    heads = ["", *words.DESCRIBED]
    rows = [words.described_row(d) for d in comparison.described]
    keep = [k for k in range(len(heads)) if any(_says(row[k]) for row in rows)]
    parts = [words.plain([[line[k] for k in keep] for line in (heads, *rows)])]
    if comparison.contrasts:
        tested = [words.tested_row(c) for c in comparison.contrasts]
        parts += ["", words.plain([words.TESTED, *tested[:_MOST_TOLD]])]
        if len(tested) > _MOST_TOLD:
            parts.append(f"… and {len(tested) - _MOST_TOLD} more tests: --out FOLDER gives all.")
    return "\n".join([*parts, "", *comparison.said])


def _says(value: Any) -> bool:
    return math.isfinite(value) if isinstance(value, float) else value not in ("", "–")


def write_tables(comparison: Comparison, folder: Path) -> list[Path]:
    """Write ``sides.csv`` and ``tests.csv`` in full digits.

    Raises
    ------
    ResultsError
        They cannot be written.
    """
    tables: dict[str, list[Mapping[str, Any]]] = {
        "sides": [words.described_record(d) for d in comparison.described],
        "tests": [words.tested_record(c) for c in comparison.contrasts],
    }
    written = []
    for name, rows in tables.items():
        path = folder / f"{name}.csv"
        try:
            with path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]) if rows else ["quantity"])
                writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            raise ResultsError(
                f"wanted to write {path}, but {error}; choose another --out"
            ) from error
        written.append(path)
    return written
