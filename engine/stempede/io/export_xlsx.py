"""Workbook: every table of a run as a sheet, with a row of units and a sheet of meanings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from stempede.errors import ResultsError
from stempede.io.atomic import write_error
from stempede.io.export import Exported
from stempede.io.results import Results
from stempede.tables import Table

MOST_ROWS = 1_048_576
"""Rows of a sheet, by the format."""

_HEAD_ROWS = 2
_NAME_LENGTH = 31
FIELDS = "fields"
_BLOCK = 50_000


def export_workbook(run: Path | str, out: Path | str, *, most_rows: int = MOST_ROWS) -> Exported:
    """Write ``<run>.xlsx`` into a folder: a sheet per table.

    The first row has the names of the fields, the second their units; the sheet ``fields``
    says what each means. A table of more rows than a sheet holds goes on in another sheet,
    ``particles (2)``. Missing values are empty cells; texts are never taken for formulas.

    Parameters
    ----------
    run : path
    out : path
        Folder, made when absent.
    most_rows : int
        Of a sheet, both head rows among them.

    Raises
    ------
    ResultsError
        The run has no table, or the file cannot be written.
    """
    import xlsxwriter

    results = Results(run)
    names = results.tables()
    if not names:
        raise ResultsError(f"{results.path} has no table yet; finish it with 'stempede resume'")
    path = Path(out) / f"{results.path.name}.xlsx"
    temporary = path.with_name(f".{path.name}-{uuid4().hex}")
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "nan_inf_to_errors": False,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with xlsxwriter.Workbook(str(temporary), options) as book:
            _write_fields(book, {name: results.read(name) for name in names})
            for name in names:
                _write_table(book, name, results.read(name), most_rows)
        temporary.replace(path)
    except (OSError, xlsxwriter.exceptions.FileCreateError) as error:
        temporary.unlink(missing_ok=True)
        known = error if isinstance(error, OSError) else OSError(str(error))
        raise write_error(path, known) from error
    return Exported((path,), 0, f"workbook with {len(names)} tables")


def _write_fields(book: Any, tables: dict[str, Table]) -> None:
    sheet = book.add_worksheet(FIELDS)
    sheet.write_row(0, 0, ("table", "field", "unit", "type", "meaning"), _bold(book))
    row = 1
    for name, table in tables.items():
        for f in table.schema.fields:
            sheet.write_row(row, 0, (name, f.name, f.unit, f.dtype, f.doc))
            row += 1
    sheet.freeze_panes(1, 0)


def _write_table(book: Any, name: str, table: Table, most_rows: int) -> None:
    """Write a table into as many sheets as it needs, at least one."""
    room = most_rows - _HEAD_ROWS
    for part, start in enumerate(range(0, max(len(table), 1), room)):
        suffix = f" ({part + 1})" if part else ""
        sheet = book.add_worksheet(f"{name[: _NAME_LENGTH - len(suffix)]}{suffix}")
        sheet.write_row(0, 0, table.schema.names, _bold(book))
        sheet.write_row(1, 0, [f.unit for f in table.schema.fields])
        sheet.freeze_panes(_HEAD_ROWS, 0)
        for k, values in enumerate(_rows(table, start, min(start + room, len(table)))):
            for column, value in enumerate(values):
                if value is not None:
                    sheet.write(k + _HEAD_ROWS, column, _cell(value))


def _rows(table: Table, start: int, stop: int) -> Iterator[tuple[Any, ...]]:
    """Yield rows as Python values, None where missing, a block at a time."""
    for block in range(start, stop, _BLOCK):
        arrow = table.take(slice(block, min(block + _BLOCK, stop))).to_arrow()
        yield from zip(*(c.to_pylist() for c in arrow.columns), strict=True)


def _cell(value: Any) -> Any:
    """Return a value as a sheet can hold it: infinity has no number there."""
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _bold(book: Any) -> Any:
    return book.add_format({"bold": True})
