"""Tables that the ensemble reduction writes."""

from __future__ import annotations

from stempede.tables import SIZES, Field, Schema, Table, declare


def _text(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, "string") for name in names)


def _real(name: str, doc: str = "") -> Field:
    return Field(name, "float64", doc=doc)


SIZE_MEASURES = tuple(
    name for name in SIZES if not name.endswith("_area") and not name.startswith("perimeter")
)
"""Lengths that may stand for the size of a particle."""

ENSEMBLE = declare(
    Schema(
        "ensemble",
        (
            Field("scope", "string", doc="session | sample"),
            Field("sample", "string", doc="label of the sample, null for the session"),
            Field("selection", "string", doc="accepted | before exclusions | rejected"),
            Field("size", "string", doc="size measure"),
            Field("headline", "bool", doc="the measure that was asked for"),
            Field("quantity", "string", doc="mean, sd, relative_sd, median, q05 ..."),
            Field("weighting", "string", doc="edge: Miles-Lantuejoul; none: as counted"),
            Field("unit", "string", doc="nm | px, null for pure numbers"),
            _real("value"),
            _real("se", "standard error, sampling only"),
            _real("ci_low", "95 %, units as clusters; null: not available"),
            _real("ci_high"),
            _real("u_cal", "standard uncertainty from the calibration"),
            Field("n", "int64", doc="particles"),
            Field("n_frames", "int64", doc="frames that were measured"),
            Field("n_units", "int64", doc="sampling units"),
            Field("unit_kind", "string", doc="frame | area"),
            _real("icc", "correlation of size within a unit"),
            _real("design_effect", "variance of the mean over that of independent particles"),
            Field("note", "string"),
        ),
    )
)

FRAME_SIZES = declare(
    Schema(
        "frame_sizes",
        (
            Field("frame", "int64"),
            *_text("sample", "size", "unit"),
            Field("n_detected", "int64", doc="regions of any kind"),
            Field("n", "int64", doc="accepted particles"),
            _real("mean", "edge-weighted"),
            _real("mean_raw"),
            _real("sd", "edge-weighted"),
            _real("relative_sd", "edge-weighted"),
            _real("median", "edge-weighted"),
            _real("covered", "share of the frame covered by regions"),
        ),
    )
)

SIZE_FITS = declare(
    Schema(
        "size_fits",
        (
            *_text("scope", "sample", "size", "unit"),
            Field("law", "string", doc="normal | lognormal | lognormal mixture"),
            Field("component", "int64"),
            _real("share", "of the component"),
            _real("location", "normal: mean; log-normal: median, of the component"),
            _real("scale", "normal: standard deviation; log-normal: that of the logarithm"),
            Field("n", "int64"),
            Field("rank", "int64", doc="0: least AIC"),
            _real("log_likelihood"),
            _real("aic"),
            _real("delta_aic", "above the best law"),
            _real("mean", "of the law"),
            _real("sd", "of the law"),
            Field("converged", "bool"),
        ),
    )
)

SIZE_QQ = declare(
    Schema(
        "size_qq",
        (
            *_text("scope", "sample", "size", "unit", "law"),
            _real("probability"),
            _real("theory", "quantile of the law"),
            _real("measured", "edge-weighted quantile of the particles"),
        ),
    )
)

# a mean of directions is no direction, and these are no features
_NOT_AVERAGED = (
    *("orientation_deg", "max_feret_angle_deg", "min_feret_angle_deg"),
    *("weight", "p_class"),
)


def features_of_groups(particles: Table) -> list[str]:
    """Return the fields of particles that a group is described by: all real ones but directions.

    Parameters
    ----------
    particles : Table
        ``particles``; its schema decides.
    """
    fields = [f.name for f in particles.schema.fields if f.dtype.startswith("float")]
    return [name for name in fields if name not in ("y_px", "x_px", *_NOT_AVERAGED)]
