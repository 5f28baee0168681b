"""Tables to and from Arrow: null where memory has a missing value, units as field metadata."""

from __future__ import annotations

from typing import Any

import numpy as np

from stempede.tables import MISSING, Field, Schema, Table

_ARROW = {
    "float64": "float64",
    "float32": "float32",
    "int64": "int64",
    "int32": "int32",
    "bool": "bool_",
    "string": "string",
}


def arrow_schema(schema: Schema) -> Any:
    """Return the ``pyarrow.Schema`` of a table, with unit and meaning per field."""
    import pyarrow as pa

    fields = [
        pa.field(
            f.name,
            getattr(pa, _ARROW[f.dtype])(),
            metadata={k: v for k, v in (("unit", f.unit), ("doc", f.doc)) if v},
        )
        for f in schema.fields
    ]
    return pa.schema(fields, metadata={"table": schema.name})


def to_arrow(table: Table) -> Any:
    """Return the ``pyarrow.Table`` of a host table."""
    import pyarrow as pa

    schema = arrow_schema(table.schema)
    arrays = [
        _arrow_column(f, table[f.name], schema.field(f.name).type) for f in table.schema.fields
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _arrow_column(field: Field, values: np.ndarray, kind: Any) -> Any:
    import pyarrow as pa

    if field.dtype == "string":
        return pa.array([v or None for v in values.tolist()], kind)
    if field.dtype.startswith("float"):
        return pa.array(values, kind, mask=np.isnan(values))
    if field.nullable:
        return pa.array(values, kind, mask=values == MISSING)
    return pa.array(values, kind)


def from_arrow(schema: Schema, table: Any) -> Table:
    """Return a ``Table`` from Arrow columns; fields the Arrow table lacks are missing."""
    columns: dict[str, Any] = {}
    for f in schema.fields:
        if f.name not in table.column_names:
            continue
        column = table.column(f.name)
        if f.dtype == "string":
            columns[f.name] = [v or "" for v in column.to_pylist()]
        elif f.dtype.startswith("float"):
            columns[f.name] = column.to_numpy()
        elif f.nullable:
            columns[f.name] = column.fill_null(MISSING).to_numpy()
        else:
            columns[f.name] = column.to_numpy()
    return Table(schema, columns if columns else {f.name: f.empty(0) for f in schema.fields})
