"""The tables of the columns route: their fields, units and meaning.

Lattice coordinates ``i, j`` count cells along a and b from the crystal's origin, the B site
(Pb) nearest its centroid; B sites have whole numbers, the others halves. a is the lattice
vector nearest +x, b the one a quarter turn (about) from it towards +y.
"""

from __future__ import annotations

from stempede.tables import Field, Schema, declare


def _f(name: str, unit: str = "", doc: str = "") -> Field:
    return Field(name, "float64", unit, doc)


def _se(name: str, unit: str, doc: str) -> tuple[Field, Field]:
    return _f(name, unit, doc), _f(f"se_{name}", unit, f"standard error of {name}")


_KEY = (
    Field("frame", "int64", "", "frame number"),
    Field("crystal", "int64", "", "0-based within the frame, by the raster order of its centroid"),
)

COLUMNS = declare(
    Schema(
        "columns",
        (
            *_KEY,
            Field("column", "int64", "", "0-based within the frame, sorted by y then x"),
            _f("y_px", "px", "fitted position; the lattice's where state is INFERRED"),
            _f("x_px", "px"),
            _f("se_y_px", "px"),
            _f("se_x_px", "px"),
            _f("cov_yx_px2", "px^2", "covariance of y and x"),
            _f("amplitude", "electrons/px", "peak height over the offset"),
            _f("sigma_major_px", "px"),
            _f("sigma_minor_px", "px"),
            _f("angle_deg", "deg", "major axis against +x, positive towards +y, (-90, 90]"),
            _f("offset", "electrons/px"),
            _f("intensity", "electrons", "integral of the Gaussian"),
            _f("se_intensity", "electrons"),
            Field(
                "state",
                "string",
                "",
                "CONVERGED | MAX_ITERATIONS | SINGULAR | OUT_OF_WINDOW | INFERRED | NOT_RUN",
            ),
            _f("deviance"),
            Field("iterations", "int64", ""),
            Field("species", "string", "", "Pb+X | Cs | X, or the recipe's names"),
            _f("p_species", "", "probability of the species given"),
            _f("i", "", "lattice coordinate along a; null where on no lattice"),
            _f("j", "", "lattice coordinate along b"),
            _f("significance", "", "square root of the likelihood ratio against no column"),
            *_se("br_fraction", "", "of the lighter halide in an X column; not cut at 0 and 1"),
            Field("accepted", "bool"),
            Field("reject_reason", "string"),
        ),
    )
)

OCTAHEDRA = declare(
    Schema(
        "octahedra",
        (
            *_KEY,
            _f("i"),
            _f("j"),
            _f("pb_y_px", "px"),
            _f("pb_x_px", "px"),
            *_se("tilt_deg", "deg", "mean signed angle from Pb-Pb to Pb-X over the X seen"),
            _f("staggered_tilt_deg", "deg", "tilt times (-1)^(i+j)"),
            *_se("turn_deg", "deg", "non-staggered local mean of the tilt: a distortion check"),
            Field("n_x", "int64", "", "X columns seen, of 4"),
            *_se("bond_mean_nm", "nm", "mean Pb-X distance"),
            *_se("bond_distortion", "", "mean of ((d - mean)/mean)^2 less its noise; may be < 0"),
            *_se("angle_variance_deg2", "deg^2", "sum((X-Pb-X - 90)^2) / (m - 1) less its noise"),
            *_se("pb_x_pb_deg", "deg", "projected Pb-X-Pb, mean over its X; noise may pass 180"),
            _f("offcentre_y_px", "px", "Pb against the mean of its four X"),
            _f("offcentre_x_px", "px"),
            _f("se_offcentre_y_px", "px"),
            _f("se_offcentre_x_px", "px"),
            *_se("x_elongation_pm", "pm", "excess rms of X across Pb-X; < 0: excess along it"),
            *_se("pbx_elongation_pm", "pm", "excess rms of Pb+X over the probe; < 0: under noise"),
            _f("pbx_elongation_angle_deg", "deg"),
            Field("layer", "int64", "", "0 is outermost", nullable=True),
            Field("domain", "int64", "", "antiphase domain, 0-based", nullable=True),
            *_se("br_fraction", "", "of the lighter halide, mean over the X seen"),
            Field("complete", "bool", "", "all four X seen"),
        ),
    )
)

CELLS = declare(
    Schema(
        "cells",
        (
            *_KEY,
            _f("i", "", "of the cell's centre, halves"),
            _f("j"),
            _f("y_px", "px", "mean of its four Pb"),
            _f("x_px", "px"),
            *_se("a_nm", "nm", "mean of the two edges along a"),
            *_se("b_nm", "nm", "mean of the two edges along b"),
            *_se("a_px", "px", "mean of the two edges along a"),
            *_se("b_px", "px", "mean of the two edges along b"),
            *_se("gamma_deg", "deg", "angle between the mean edges"),
            *_se("area_nm2", "nm^2", "of the quadrilateral"),
            *_se("strain_aa", "", "tensor strain in the crystal's axes"),
            *_se("strain_bb", "", "tensor strain in the crystal's axes"),
            *_se("strain_ab", "", "tensor shear, half the engineering one"),
            *_se("rotation_deg", "deg", "polar decomposition"),
            _f("cs_offset_y_px", "px", "Cs against the mean of its four Pb"),
            _f("cs_offset_x_px", "px"),
            _f("se_cs_offset_y_px", "px"),
            _f("se_cs_offset_x_px", "px"),
            Field("layer", "int64", "", "0 is outermost", nullable=True),
        ),
    )
)

CRYSTALS = declare(
    Schema(
        "crystals",
        (
            *_KEY,
            _f("y_px", "px", "centroid"),
            _f("x_px", "px"),
            Field("n_columns", "int64", "", "seen"),
            Field("n_inferred", "int64"),
            Field("n_octahedra", "int64", "", "with a tilt"),
            Field("n_cells", "int64"),
            _f("origin_y_px", "px", "lattice point (0, 0) of the linear fit"),
            _f("origin_x_px", "px"),
            _f("a_y_px", "px", "lattice vector a: least squares over the Pb columns"),
            _f("a_x_px", "px"),
            _f("b_y_px", "px"),
            _f("b_x_px", "px"),
            *_se("a_px", "px", "length of a"),
            *_se("b_px", "px", "length of b"),
            *_se("a_nm", "nm", "not corrected for scan distortion"),
            *_se("b_nm", "nm", "not corrected for scan distortion"),
            _f("u_cal_rel", "", "relative calibration uncertainty of the frame"),
            *_se("gamma_deg", "deg", "angle from a to b"),
            Field("view", "string", "", "c+-like | a--like | undecided"),
            *_se("x_elongation_pm", "pm", "of the mean X column; < 0: excess along Pb-X"),
            *_se("pbx_elongation_pm", "pm", "of the mean Pb+X column; < 0: under noise"),
            _f("pbx_elongation_angle_deg", "deg"),
            *_se("staggered_tilt_deg", "deg", "mean over the crystal"),
            *_se("core_tilt_deg", "deg", "staggered, layers 2 and deeper"),
            *_se("shell_tilt_deg", "deg", "staggered, layer 0"),
            *_se("core_minus_shell_deg", "deg", "staggered, generalised least squares"),
            *_se("br_fraction", "", "of the lighter halide, mean over the crystal's X"),
            _f("br_tilt_correlation", "", "of br_fraction and tilt by site, errors' part removed"),
            _f("p_br_tilt", "", "chance of it, by maps shifted against each other"),
            _f("p_core_shell", "", "parametric bootstrap of a uniform tilt"),
            _f("tilt_anisotropy", "", "spread of the facets' mean tilts over their error"),
            _f("inhomogeneity_deg", "deg", "tilt spread between sites beyond their errors"),
            _f("correlation_length_cells", "cells", "of the tilt, the errors' part removed"),
            *(
                _f(f"facet_{side}_tilt_deg", "deg")
                for side in ("a_low", "a_high", "b_low", "b_high")
            ),
            *(
                _f(f"se_facet_{side}_tilt_deg", "deg")
                for side in ("a_low", "a_high", "b_low", "b_high")
            ),
        ),
    )
)

LAYERS = declare(
    Schema(
        "layers",
        (
            Field("frame", "int64", "", "null in rows pooled over crystals", nullable=True),
            Field("crystal", "int64", "", "null in rows pooled over crystals", nullable=True),
            Field("sample", "string"),
            Field("view", "string"),
            Field(
                "layer", "int64", "", "0 is outermost; null where of a whole crystal", nullable=True
            ),
            Field("quantity", "string", "", "staggered_tilt_deg | abs_tilt_deg | a_nm | ..."),
            Field("n_sites", "int64"),
            Field("n_crystals", "int64"),
            _f("mean"),
            _f("se"),
        ),
    )
)
