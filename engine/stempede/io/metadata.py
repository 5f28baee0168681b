"""What the user tells of frames: labels, calibration and detector facts.

Later words win: the file itself, a calibration file, ``pixel_size_nm``, then the rows of a
metadata table, all that match, in order.
"""

from __future__ import annotations

import csv
import fnmatch
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from stempede.errors import InputError
from stempede.frames import Calibration, FrameRecord
from stempede.io.units import LARGEST_PIXEL_NM, SMALLEST_PIXEL_NM
from stempede.tables import FRAMES

KEY_FIELDS = ("glob", "pattern")
SCALE_FIELDS = ("pixel_size_nm", "pixel_size_y_nm", "pixel_size_x_nm", "pixel_size_rel_u")
NUMBER_FIELDS = (
    "kV",
    "magnification",
    "dwell_us",
    "dose_e_per_A2",
    "gain_per_electron",
    "offset",
    "read_noise_electrons",
)
TEXT_FIELDS = ("instrument", "detector", "acquired_at")
LABEL_FIELDS = ("sample", "series", "area")
_NOT_LABELS = frozenset(FRAMES.names) - set(LABEL_FIELDS)


@dataclass(frozen=True)
class Row:
    """One row of a metadata table: what frames whose file matches ``glob`` are given."""

    glob: str
    labels: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    scale: Mapping[str, float] = field(default_factory=dict)
    scale_bar_nm: float | None = None

    def matches(self, source: str, relative: str) -> bool:
        """Whether the glob fits the file's name, its relative path, or its whole path."""
        names = (relative, PurePosixPath(source).name, source)
        return any(fnmatch.fnmatchcase(name, self.glob) for name in names)

    def apply(self, record: FrameRecord) -> FrameRecord:
        """Return the record with what this row says."""
        scale = record.calibration
        if self.scale:
            scale = _scaled(scale, self.scale)
        return replace(
            record,
            labels={**record.labels, **self.labels},
            instrument={**record.instrument, **self.facts},
            calibration=scale,
            scale_bar_nm=self.scale_bar_nm or record.scale_bar_nm,
        )


def _scaled(old: Calibration, scale: Mapping[str, float]) -> Calibration:
    both = scale.get("pixel_size_nm")
    y = scale.get("pixel_size_y_nm", both)
    x = scale.get("pixel_size_x_nm", both)
    rel_u = scale.get("pixel_size_rel_u")
    if y is None and x is None:
        return replace(old, rel_u=rel_u)
    return Calibration(y if y is not None else x, x if x is not None else y, "set", rel_u)


def read_metadata(path: str | Path) -> list[Row]:
    """Read a metadata table: first column ``glob`` (or ``pattern``), then fields by name.

    ``pixel_size_nm`` (or ``_y_``/``_x_``), ``scale_bar_nm``, ``series_index`` and the detector's
    numbers are numbers; any other field is a label. Empty cells say nothing.

    Raises
    ------
    InputError
        No such table, or mistakes in it, all listed at once.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"metadata table '{path}' cannot be read ({error})") from error
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise InputError(f"metadata table '{path}' wants a header and rows, found it empty")
    delimiter = max(",;\t", key=lines[0].count)
    rows = list(csv.reader(lines, delimiter=delimiter))
    header = [re.sub(r"\s+", "_", name.strip()) for name in rows[0]]
    mistakes = _header_mistakes(header)
    found = []
    for number, cells in enumerate(rows[1:], start=2):
        if len(cells) > len(header):
            mistakes.append(f"row {number} has {len(cells)} cells, the header {len(header)}")
            continue
        found.append(_row(dict(zip(header, (c.strip() for c in cells))), number, mistakes))
    if mistakes:
        raise InputError(f"metadata table '{path}': " + "; ".join(mistakes))
    return found


def _header_mistakes(header: Sequence[str]) -> list[str]:
    mistakes = []
    if header[0] not in KEY_FIELDS:
        mistakes.append(f"first column 'glob' wanted, found '{header[0]}'")
    known = {*SCALE_FIELDS, *NUMBER_FIELDS, *TEXT_FIELDS, "scale_bar_nm", "series_index"}
    for name in header[1:]:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            mistakes.append(f"column '{name}' is no field name; use letters, digits and _")
        elif name in _NOT_LABELS - known:
            mistakes.append(f"column '{name}' is measured or found in the file, not given")
    doubled = sorted({n for n in header if header.count(n) > 1})
    return mistakes + [f"column '{n}' stands twice" for n in doubled]


def _row(cells: Mapping[str, str], number: int, mistakes: list[str]) -> Row:
    (_, glob), *rest = cells.items()
    if not glob:
        mistakes.append(f"row {number} has no glob")
    labels: dict[str, str] = {}
    facts: dict[str, Any] = {}
    scale: dict[str, float] = {}
    bar: float | None = None
    for name, cell in rest:
        if not cell:
            continue
        if name in (*SCALE_FIELDS, *NUMBER_FIELDS, "scale_bar_nm", "series_index"):
            value = _number(name, cell, number, mistakes)
            if name in SCALE_FIELDS:
                scale[name] = value
            elif name == "scale_bar_nm":
                bar = value
            else:
                facts[name] = int(value) if name == "series_index" else value
        elif name in TEXT_FIELDS:
            facts[name] = cell
        else:
            labels[name] = cell
    return Row(glob, labels, facts, scale, bar)


def _number(name: str, cell: str, row: int, mistakes: list[str]) -> float:
    try:
        value = float(cell)
    except ValueError:
        mistakes.append(f"row {row}: {name} is a number, found '{cell}'")
        return 1.0
    positive = name in (*SCALE_FIELDS, "scale_bar_nm", "gain_per_electron")
    if not math.isfinite(value) or (positive and value <= 0):
        mistakes.append(f"row {row}: {name} is a positive number, found '{cell}'")
        return 1.0
    return value


def apply_rows(
    records: Sequence[FrameRecord], relatives: Sequence[str], rows: Sequence[Row], notes: list[str]
) -> list[FrameRecord]:
    """Return records with every matching row applied in order.

    A glob that fits no file is a note; a table none of whose globs fits raises.
    """
    used = [False] * len(rows)
    result = []
    for record, relative in zip(records, relatives):
        for k, row in enumerate(rows):
            if row.matches(record.source, relative):
                record = row.apply(record)
                used[k] = True
        result.append(record)
    unused = [row.glob for row, u in zip(rows, used) if not u]
    if rows and not any(used):
        raise InputError(
            f"a metadata table for these files wanted, found no glob that fits any of "
            f"{len(records)} frames ({', '.join(unused[:3])}); globs are matched with the file's "
            f"name, its path below the source, and its whole path"
        )
    if unused:
        notes.append(f"metadata globs that fit no file: {', '.join(unused)}")
    return result


def apply_pattern(
    records: Sequence[FrameRecord], relatives: Sequence[str], pattern: str, notes: list[str]
) -> list[FrameRecord]:
    """Return records with labels from their folders, such as ``{sample}/{condition}``.

    The pattern fits the start of the path below the source; ``{name}`` stands for one folder
    name, or part of one.

    Raises
    ------
    InputError
        The pattern has no name in braces, names a field twice, or fits no file.
    """
    names = re.findall(r"\{(\w+)\}", pattern)
    bad = [n for n in names if n in _NOT_LABELS or n[0].isdigit() or names.count(n) > 1]
    if not names or bad:
        raise InputError(
            f"a folder pattern like '{{sample}}/{{condition}}' wanted, found '{pattern}'"
            + (f"; '{bad[0]}' cannot be a label there" if bad else "")
        )
    parts = re.split(r"(\{\w+\})", pattern.strip("/"))
    body = "".join(
        f"(?P<{p[1:-1]}>[^/]+?)" if p.startswith("{") else re.escape(p) for p in parts if p
    )
    fits = re.compile(body + r"(?:/|\.[^/.]*$|$)")
    result, missed = [], 0
    for record, relative in zip(records, relatives):
        match = fits.match(relative)
        if match is None:
            missed += 1
            result.append(record)
        else:
            result.append(replace(record, labels={**record.labels, **match.groupdict()}))
    if missed == len(records):
        raise InputError(
            f"files below folders like '{pattern}' wanted, found e.g. '{relatives[0]}'; "
            f"correct the pattern"
        )
    if missed:
        notes.append(f"{missed} frames lie outside the folder pattern '{pattern}': no labels")
    return result


def read_calibration(path: str | Path) -> Calibration:
    """Read a calibration that ``stempede calibrate`` wrote.

    Raises
    ------
    InputError
        Not such a file.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        y, x = float(found["pixel_size_y_nm"]), float(found["pixel_size_x_nm"])
        rel_u = None if found.get("rel_u") is None else float(found["rel_u"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"a calibration written by 'stempede calibrate' wanted, found '{path}' "
            f"({type(error).__name__}: {error})"
        ) from error
    return checked(Calibration(y, x, "reference", rel_u))


def checked(scale: Calibration) -> Calibration:
    """Return a calibration the user gave, or raise where it cannot be a pixel size."""
    for size in (scale.pixel_size_y_nm, scale.pixel_size_x_nm):
        if size is None or not SMALLEST_PIXEL_NM <= size <= LARGEST_PIXEL_NM:
            raise InputError(
                f"a pixel size between {SMALLEST_PIXEL_NM:g} and {LARGEST_PIXEL_NM:g} nm wanted, "
                f"found {size}; correct it"
            )
    return scale
