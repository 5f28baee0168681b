"""Tables: fields of equal length with a declared schema.

Every table that a run writes is declared here or registered by the stage that
writes it; each field has a name, a dtype, a unit and one line of meaning.
Coordinates are (y, x) with y down, pixel centres at integers; angles are in
array coordinates, ``atan2(dy, dx)``, positive turns +x towards +y.

Missing values are NaN (floats), ``MISSING`` (nullable integers) and ``""``
(strings) in memory, and null on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stempede.errors import ResultsError

MISSING = -1
"""In-memory value of a missing entry in a nullable integer field."""


@dataclass(frozen=True)
class Field:
    """One column of a table.

    Parameters
    ----------
    name : str
        Field name; dimensional numbers end in their unit (``_px``, ``_nm``, ``_deg``).
    dtype : str
        ``float64 float32 int64 int32 bool`` or ``string``.
    unit : str
        Unit as written to the Parquet metadata, empty for pure numbers.
    doc : str
        One line of meaning.
    nullable : bool
        Whether an integer field uses ``MISSING`` for null. Floats and strings always may be null.
    """

    name: str
    dtype: str
    unit: str = ""
    doc: str = ""
    nullable: bool = False

    def empty(self, n: int) -> np.ndarray:
        """Return n missing values of this field."""
        if self.dtype == "string":
            return np.full(n, "", dtype=np.dtypes.StringDType())
        if self.dtype.startswith("float"):
            return np.full(n, np.nan, dtype=self.dtype)
        return np.full(n, MISSING if self.nullable else 0, dtype=self.dtype)

    def cast(self, values: Any) -> Any:
        """Return values as this field's dtype, on the device they are on."""
        if self.dtype == "string":
            return np.asarray(values, dtype=np.dtypes.StringDType())
        if not hasattr(values, "astype"):
            values = np.asarray(values)
        return values.astype(self.dtype, copy=False)


@dataclass(frozen=True)
class Schema:
    """Name and fields of a table, in order.

    Parameters
    ----------
    name : str
    fields : tuple of Field
    internal : bool
        The table is what one stage hands another; a run writes it only where it is asked to
        keep it.
    """

    name: str
    fields: tuple[Field, ...]
    internal: bool = False

    def __post_init__(self) -> None:
        names = [f.name for f in self.fields]
        if len(set(names)) != len(names):
            raise ResultsError(f"table '{self.name}' declares a field twice: {sorted(names)}")

    def __getitem__(self, name: str) -> Field:
        for f in self.fields:
            if f.name == name:
                return f
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Field names in order."""
        return tuple(f.name for f in self.fields)

    def extended(self, *fields: Field) -> Schema:
        """Return this schema with more fields; a name it already has is kept as it is."""
        known = set(self.names)
        return replace(self, fields=self.fields + tuple(f for f in fields if f.name not in known))


@dataclass(frozen=True)
class Table:
    """Columns of equal length under a schema; never changed in place.

    Parameters
    ----------
    schema : Schema
        Declares every column.
    columns : mapping of str to (n,) array
        Fields left out are filled with missing values; unknown ones raise.
    """

    schema: Schema
    columns: Mapping[str, Any]

    def __post_init__(self) -> None:
        unknown = sorted(set(self.columns) - set(self.schema.names))
        if unknown:
            raise ResultsError(
                f"table '{self.schema.name}' has no field {', '.join(unknown)}; "
                f"declare it in the schema or drop it"
            )
        lengths = {name: len(v) for name, v in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ResultsError(f"fields of table '{self.schema.name}' differ in length: {lengths}")
        n = next(iter(lengths.values()), 0)
        filled = {
            f.name: f.cast(self.columns[f.name]) if f.name in self.columns else f.empty(n)
            for f in self.schema.fields
        }
        object.__setattr__(self, "columns", filled)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> Any:
        return self.columns[name]

    @classmethod
    def empty(cls, schema: Schema) -> Table:
        """Return a table of no rows."""
        return cls(schema, {f.name: f.empty(0) for f in schema.fields})

    @classmethod
    def from_rows(cls, schema: Schema, rows: Iterable[Mapping[str, Any]]) -> Table:
        """Build a table from dictionaries; ``None`` and absent keys are missing values."""
        rows = list(rows)
        columns: dict[str, Any] = {}
        for f in schema.fields:
            column = f.empty(len(rows))
            for k, row in enumerate(rows):
                value = row.get(f.name)
                if value is not None:
                    column[k] = value
            columns[f.name] = column
        return cls(schema, columns)

    def with_columns(self, columns: Mapping[str, Any]) -> Table:
        """Return this table with some fields replaced."""
        return Table(self.schema, {**self.columns, **columns})

    def take(self, rows: Any) -> Table:
        """Return the rows of a boolean mask or an index array."""
        return Table(self.schema, {k: v[rows] for k, v in self.columns.items()})

    @staticmethod
    def concat(tables: Sequence[Table]) -> Table:
        """Stack tables of one schema."""
        first = tables[0]
        if any(t.schema != first.schema for t in tables):
            raise ResultsError(
                f"tables of different schemas cannot be stacked ({first.schema.name})"
            )
        columns = {name: np.concatenate([t[name] for t in tables]) for name in first.schema.names}
        return Table(first.schema, columns)

    def to_arrow(self) -> Any:
        """Return a ``pyarrow.Table``: missing values as null, units as field metadata."""
        from stempede.arrow import to_arrow

        return to_arrow(self)

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame``; pandas is not a dependency and must be installed."""
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """Return a ``polars.DataFrame``; polars is not a dependency and must be installed."""
        import polars

        return polars.from_arrow(self.to_arrow())


def _f(name: str, unit: str = "", doc: str = "", dtype: str = "float64") -> Field:
    return Field(name, dtype, unit, doc)


def _i(name: str, doc: str = "", *, nullable: bool = False) -> Field:
    return Field(name, "int64", "", doc, nullable)


def _s(name: str, doc: str = "") -> Field:
    return Field(name, "string", "", doc)


def _b(name: str, doc: str = "") -> Field:
    return Field(name, "bool", "", doc)


FRAMES = Schema(
    "frames",
    (
        _i("frame", "order of first sight"),
        _s("source", "absolute POSIX path or URL of the file the frame came from"),
        _i("page", "0-based image within the source"),
        _i("height_px"),
        _i("width_px"),
        _f("pixel_size_nm", "nm", "geometric mean of the two axes"),
        _f("pixel_size_y_nm", "nm"),
        _f("pixel_size_x_nm", "nm"),
        _s("pixel_size_source", "file | set | scale bar | reference"),
        _f("pixel_size_rel_u", "", "relative standard uncertainty of the calibration"),
        _s("sample"),
        _s("series"),
        _i("series_index", nullable=True),
        _s("area", "specimen area, the sampling unit where given"),
        _s("instrument"),
        _f("kV", "kV"),
        _f("magnification"),
        _s("detector"),
        _f("dwell_us", "us"),
        _s("acquired_at", "ISO 8601"),
        _f("dose_e_per_A2", "e/A^2"),
        _s("state", "measured | problem"),
        _s("polarity", "dark | bright: contrast of particles against their support"),
        _i("n_particles", "detected regions", nullable=True),
        _i("n_accepted", nullable=True),
        _i("n_columns", "atom columns accepted", nullable=True),
        _i("n_averaged", "scans summed into this row", nullable=True),
        _f("cumulative_dose_e_per_A2", "e/A^2", "of its series up to and with this frame"),
        _f("shift_y_px", "px", "where the specimen stands, minus where in its series' first scan"),
        _f("shift_x_px", "px"),
        _f("gain_per_electron", "counts"),
        _f("detector_offset", "counts"),
        _f("read_noise_electrons", "electrons", "rms"),
        _s(
            "counts_source",
            "metadata | counts | vacuum | noise | none: source of the electron scale",
        ),
        _s("noise_model", "poisson | poisson-gaussian | gaussian"),
        _f("focus", "", "sharpness: high- over mid-frequency power"),
        _f("saturated_fraction", "", "share of pixels at the highest value"),
        _f("unevenness", "", "wandering of the grey level over its local spread"),
        _f("streaks", "", "jumps between scan lines over what noise explains"),
        _f("drift_y_px", "px", "of the specimen since the frame before, where both show it"),
        _f("drift_x_px", "px"),
        _f("crowding", "", "share of the searched area that regions cover, about"),
        _s("flags", "what a reader should look at: focus, saturated, uneven, streaks, ..."),
        _f("background", "counts", "median of the support"),
        _f("noise", "counts", "standard deviation of the support's noise"),
        _f("valid_fraction", "", "share of the frame that was searched"),
        _f("scale_px", "px", "typical particle diameter the segmentation worked with"),
        _f("smallest_px", "px", "least equivalent diameter that is accepted"),
    ),
)

SIZES = (
    "filled_area",
    "convex_area",
    "bbox_area",
    "perimeter",
    "perimeter_crofton",
    "equivalent_diameter",
    "major_axis",
    "minor_axis",
    "max_feret",
    "min_feret",
    "min_rect_length",
    "min_rect_width",
    "edge_length",
)


def _size_fields(name: str) -> tuple[Field, Field]:
    square = name == "area" or name.endswith("_area")
    px, nm = ("px^2", "nm^2") if square else ("px", "nm")
    suffix = "2" if square else ""
    return _f(f"{name}_px{suffix}", px), _f(f"{name}_nm{suffix}", nm)


PARTICLES = Schema(
    "particles",
    (
        _i("frame"),
        _i("particle", "0-based, raster order of the first pixel within its frame"),
        _i("label", "value in the exported label map"),
        _f("y_px", "px", "centroid"),
        _f("x_px", "px", "centroid"),
        _i("bbox_y0_px"),
        _i("bbox_x0_px"),
        _i("bbox_y1_px", "exclusive"),
        _i("bbox_x1_px", "exclusive"),
        _b("touches_edge"),
        *(f for name in ("area", *SIZES) for f in _size_fields(name)),
        _f("orientation_deg", "deg", "major axis against +x, (-90, 90]"),
        _f("max_feret_angle_deg", "deg"),
        _f("min_feret_angle_deg", "deg"),
        _f("aspect_ratio"),
        _f("eccentricity"),
        _f("circularity"),
        _f("solidity"),
        _f("extent"),
        _f("euler_number"),
        _f("convexity"),
        _f("roundness"),
        *(_f(f"hu{k}") for k in range(1, 8)),
        _f("contrast", "", "mean inside minus local background, in background noise"),
        _f("p", "", "superellipse exponent; the shape's fields are null where not accepted"),
        _f("d", "", "superellipse symmetry, 1 to 6; 2 by convention for a circle"),
        _f("l_ratio", "", "superellipse elongation, 1 or more"),
        _f("jaccard", "", "overlap of the re-rendered shape with the mask"),
        _f("jaccard_other", "", "best overlap of any other d; null where none comes near"),
        _b("is_circle", "a circle overlaps as well: d, p and the angle say nothing"),
        _f("se_p", "", "standard error"),
        _f("se_l_ratio", "", "standard error"),
        _f("shape_y_px", "px", "centre that the shape's radius is measured from"),
        _f("shape_x_px", "px"),
        _f("shape_radius_px", "px", "factor of the shape's equation: its longest radius for p < 2"),
        _f("shape_angle_deg", "deg", "direction that the shape's angle is counted from"),
        _f("se_shape_angle_deg", "deg", "standard error"),
        _s("shape_state", "converged | max iterations | singular"),
        _f("p_network", "", "what the network says, where the fit starts from it"),
        _f("d_network", "", "a real number"),
        _f("l_ratio_network"),
        _f("se_log_p_network", "", "expected error of log p"),
        _f("se_d_network"),
        _f("se_log_l_network"),
        _i("group", "shape group", nullable=True),
        _b("accepted"),
        _s("reject_reason"),
        _f("weight", "", "Miles-Lantuejoul weight against edge bias"),
    ),
)

GROUPS = Schema(
    "groups",
    (
        _i("group", "0 is the largest"),
        _i("n", "particles with this feature"),
        _i("n_frames"),
        _f("fraction", "", "edge-weighted share of the group"),
        _f("fraction_ci_low", "", "95 %, units as clusters; null: not available"),
        _f("fraction_ci_high"),
        _s("feature"),
        _f("mean", "", "edge-weighted"),
        _f("sd", "", "edge-weighted"),
        _f("ci_low", "", "95 % of the mean, units as clusters; null: not available"),
        _f("ci_high"),
        _f("median", "", "edge-weighted, as are the quartiles"),
        _f("quartile_low"),
        _f("quartile_high"),
    ),
)

PROBLEMS = Schema(
    "problems",
    (_i("frame"), _s("stage"), _s("reason"), _s("source"), _i("page", nullable=True)),
)

SCHEMAS: dict[str, Schema] = {s.name: s for s in (FRAMES, PARTICLES, GROUPS, PROBLEMS)}
"""Schemas by table name; stages register theirs with ``declare``."""


def declare(schema: Schema) -> Schema:
    """Register the schema of a table that a stage writes; the same schema twice is fine."""
    known = SCHEMAS.setdefault(schema.name, schema)
    if known != schema:
        raise ResultsError(f"table '{schema.name}' is declared twice with different fields")
    return schema
