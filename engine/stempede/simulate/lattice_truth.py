"""Truth of simulated lattices as tables."""

from __future__ import annotations

from stempede.tables import Field, Schema, declare


def _f(name: str, unit: str = "", doc: str = "") -> Field:
    return Field(name, "float64", unit, doc)


_KEY = (
    Field("frame", "int64"),
    Field("crystal", "int64", "", "order in the scene"),
)
_PLACE = (
    _f("y_px", "px", "as recorded: with the drift, without the jitter of lines"),
    _f("x_px", "px"),
)

TRUTH_COLUMNS = declare(
    Schema(
        "truth_columns",
        (
            *_KEY,
            *_PLACE,
            Field("species", "string", "", "Pb+X | Cs | X"),
            _f("i", "", "along a, from the Pb nearest the dot's centroid"),
            _f("j"),
            _f("intensity", "electrons", "integral of the Gaussian"),
            _f("sigma_px", "px"),
            _f("spread_px", "px", "from its middle to either half, where it alternates"),
            _f("br_fraction"),
            Field("inside", "bool", "", "the position lies in the frame"),
        ),
    )
)

TRUTH_SITES = declare(
    Schema(
        "truth_sites",
        (
            *_KEY,
            *_PLACE,
            _f("i"),
            _f("j"),
            _f("tilt_deg", "deg", "mean over the four X of the angle from Pb-Pb to Pb-X"),
            _f("staggered_tilt_deg", "deg", "times (-1)^(i+j)"),
            Field("layer", "int64", "", "0 is outermost"),
            Field("domain", "int64", "", "side of the antiphase wall"),
        ),
    )
)

TRUTH_CRYSTALS = declare(
    Schema(
        "truth_crystals",
        (
            *_KEY,
            *_PLACE,
            _f("rotation_deg", "deg", "direction of a without the drift"),
            *(_f(f"{v}_{axis}_px", "px", "as recorded") for v in "ab" for axis in "yx"),
            _f("a_px", "px", "as recorded"),
            _f("b_px", "px"),
            _f("a_nm", "nm", "as recorded"),
            _f("b_nm", "nm"),
            _f("gamma_deg", "deg", "from a to b, as recorded"),
        ),
    )
)

TRUTH_SHIFTS = declare(
    Schema(
        "truth_shifts",
        (
            Field("frame", "int64"),
            _f("shift_y_px", "px", "of the specimen's image against the series' first frame"),
            _f("shift_x_px", "px"),
        ),
    )
)
