"""Sections of the page of a columns run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stempede.errors import StempedeError
from stempede.report.dots import charts, network
from stempede.report.dots.findings import Dots, Shown
from stempede.report.folder import Columns
from stempede.report.html import Html, counted, measured, number, section, table, tag
from stempede.report.pixels import Pixels
from stempede.report.sketch import Sketch

MAX_CRYSTALS = 1000

_PROFILES = {
    "staggered_tilt_deg": "staggered tilt, °",
    "abs_tilt_deg": "|tilt|, °",
    "a_nm": "a, nm",
    "b_nm": "b, nm",
    "offcentre_px": "Pb off-centring, px",
}


@dataclass(frozen=True)
class _Map:
    """A quantity that is drawn site by site: table, field, words, colours about zero or not."""

    table: str
    field: str
    label: str
    diverging: bool


_MAPS = (
    _Map("octahedra", "tilt_deg", "tilt, °", diverging=True),
    _Map("cells", "a_nm", "a, nm", diverging=False),
    _Map("cells", "b_nm", "b, nm", diverging=False),
    _Map("cells", "strain_aa", "strain along a", diverging=True),
    _Map("cells", "strain_bb", "strain along b", diverging=True),
    _Map("cells", "strain_ab", "shear strain", diverging=True),
    _Map("columns", "br_fraction", "Br fraction", diverging=False),
)


def headline(dots: Dots) -> Html:
    """Return columns, tilt and lattice as three cards."""
    cards = (_tilt_card(dots), _lattice_card(dots), _columns_card(dots))
    return tag("div", *cards, class_="headline")


def _card(name: str, value: Any, *details: str) -> Html:
    return tag(
        "div",
        tag("p", name, class_="name"),
        tag("p", value, class_="value"),
        *(tag("p", d, class_="detail") for d in details if d),
    )


def _tilt_card(dots: Dots) -> Html:
    tilt = np.asarray(dots.crystals["staggered_tilt_deg"], float)
    se = np.asarray(dots.crystals["se_staggered_tilt_deg"], float)
    known = np.isfinite(tilt)
    if not known.any():
        return _card("In-plane tilt", "none", "No octahedron with two X columns was found.")
    n_sites = int(np.isfinite(np.asarray(dots.octahedra["tilt_deg"], float)).sum())
    where = f"{counted(n_sites, 'octahedron').replace('octahedrons', 'octahedra')} in "
    where += counted(int(known.sum()), "crystal")
    if known.sum() == 1:
        value, margin = measured(abs(float(tilt[known][0])), 1.96 * float(se[known][0]))
        shown = [value, tag("small", f" ± {margin}°" if margin else "°")]
        return _card("|Staggered tilt|, mean of the crystal", shown, f"95 % interval; {where}")
    middle = float(np.median(np.abs(tilt[known])))
    typical = float(np.nanmedian(se[known]))
    return _card(
        "|Staggered tilt|, median crystal",
        [number(middle), tag("small", "°")],
        f"typical standard error of one crystal: {number(typical, 2)}°",
        where,
    )


def _lattice_card(dots: Dots) -> Html:
    a, b = (np.asarray(dots.crystals[n], float) for n in ("a_nm", "b_nm"))
    unit = "nm"
    if not np.isfinite(a).any():
        a, b = (np.asarray(dots.crystals[n], float) for n in ("a_px", "b_px"))
        unit = "px"
    if not np.isfinite(a).any():
        return _card("Lattice parameters", "none", "No crystal was found.")
    shown = [
        f"{number(float(np.nanmedian(a)), 4)}, {number(float(np.nanmedian(b)), 4)}",
        tag("small", f" {unit}"),
    ]
    gamma = float(np.nanmedian(np.asarray(dots.crystals["gamma_deg"], float)))
    return _card(
        "a, b (median over crystals)",
        shown,
        f"γ {number(gamma, 4)}°; not corrected for scan distortion",
    )


def _columns_card(dots: Dots) -> Html:
    seen, inferred = int(dots.seen.sum()), int(dots.inferred.sum())
    details = [f"{counted(inferred, 'more column')} inferred from the lattice, in no tilt"]
    se = np.hypot(
        np.asarray(dots.columns["se_y_px"], float), np.asarray(dots.columns["se_x_px"], float)
    )[dots.seen] / np.sqrt(2)
    if np.isfinite(se).any():
        details.append(f"median standard error per axis: {number(float(np.nanmedian(se)), 2)} px")
    aside = int((~dots.columns.flags("accepted")).sum())
    details.append(f"{aside:,} set aside")
    return _card("Columns fitted", f"{seen:,}", *details)


def crystals_shown(dots: Dots, chosen: list[Shown], sketch: Sketch) -> Html | None:
    """Return network, maps and residual of the chosen crystals."""
    if not chosen:
        return None
    pixels = Pixels.of(dots.run.path)
    note = (
        "Octahedra are filled squares coloured by their staggered tilt, columns are dots. Crystals "
        "are ranked by the median standard error of their tilts. Residuals are image minus fit in "
        "units of the noise, averaged over about a column's width."
    )
    parts = [_one(dots, shown, pixels, sketch) for shown in chosen]
    return section("network", "Network", tag("p", note, class_="note"), *parts)


def _one(dots: Dots, shown: Shown, pixels: Pixels, sketch: Sketch) -> Html:
    columns = dots.of(dots.columns, shown.frame, shown.crystal)
    octahedra = dots.of(dots.octahedra, shown.frame, shown.crystal)
    stem = f"frame-{shown.frame:06d}-crystal-{shown.crystal}"
    figures = [_map(dots, shown, sketch, stem, one) for one in _MAPS]
    try:
        image = pixels.image(shown.frame)
    except (StempedeError, OSError) as error:
        picture: Html = tag("p", f"The pixels cannot be read again: {error}", class_="note")
    else:
        view = network.window(columns, _spacing_px(dots, shown), image.shape)
        picture = sketch(
            f"network-{stem}",
            f"Octahedra of {shown.name}",
            _caption(dots, shown),
            network.draw_network,
            image,
            columns,
            octahedra,
            view,
        )
        values = network.residual(image, dots.of(dots.columns, shown.frame), _scale(dots, shown))
        figures.append(
            sketch(
                f"residual-{stem}",
                f"Residual of {shown.name}",
                "",
                network.draw_residual,
                values,
                view,
            )
        )
    maps = tag("div", *(f for f in figures if f is not None), class_="multiples")
    title = tag("h3", f"{shown.name.capitalize()} ({shown.rank})")
    return tag("div", title, tag("div", picture, maps, class_="pair"))


def _map(dots: Dots, shown: Shown, sketch: Sketch, stem: str, what: _Map) -> Html | None:
    rows = dots.of(getattr(dots, what.table), shown.frame, shown.crystal)
    place = ("pb_y_px", "pb_x_px") if what.table == "octahedra" else ("y_px", "x_px")
    field, label = what.field, what.label
    if field.endswith("_nm") and not np.isfinite(np.asarray(rows[field], float)).any():
        field, label = field.replace("_nm", "_px"), label.replace("nm", "px")
    values = np.asarray(rows[field], float)
    if np.isfinite(values).sum() < 2:
        return None
    y, x = (np.asarray(rows[p], float) for p in place)
    return sketch(
        f"{field}-{stem}",
        f"{label} of {shown.name}",
        "",
        lambda: network.draw_map(y, x, values, label, diverging=what.diverging),
    )


def _row(dots: Dots, shown: Shown) -> Columns:
    return dots.of(dots.crystals, shown.frame, shown.crystal)


def _spacing_px(dots: Dots, shown: Shown) -> float:
    found = float(np.asarray(_row(dots, shown)["a_px"], float)[0])
    return found if np.isfinite(found) else 20.0


def _scale(dots: Dots, shown: Shown) -> tuple[float, float] | None:
    """Return counts per electron and counts at none; None without an electron scale."""
    frames = dots.run.frames
    k = int(np.flatnonzero(np.asarray(frames["frame"]) == shown.frame)[0])
    gain, zero = (float(frames[n][k]) for n in ("gain_per_electron", "detector_offset"))
    return (gain, zero) if np.isfinite(gain) and np.isfinite(zero) else None


def _caption(dots: Dots, shown: Shown) -> str:
    row = _row(dots, shown)
    tilt, margin = measured(
        float(row["staggered_tilt_deg"][0]), 1.96 * float(row["se_staggered_tilt_deg"][0])
    )
    frames = dots.run.frames
    k = int(np.flatnonzero(np.asarray(frames["frame"]) == shown.frame)[0])
    source = Path(frames.text("source")[k])
    name = source.name if source.suffix else str(source)
    name = f"{source.parent.name}/{source.name}"
    text = f"{name}: {int(row['n_octahedra'][0]):,} octahedra"
    if not int(row["n_octahedra"][0]):
        return f"{text} with a tilt"
    text = f"{text}, mean staggered tilt {tilt}"
    return f"{text} ± {margin}°" if margin else f"{text}°"


def layers(dots: Dots, sketch: Sketch) -> Html | None:
    """Return profiles by layer, pooled over crystals where they were pooled."""
    figures = [_profile(dots, sketch, quantity, label) for quantity, label in _PROFILES.items()]
    drawn = [f for f in figures if f is not None]
    if not drawn:
        return None
    note = (
        "Layer 0 is the outermost; bands are 1.96 standard errors, which count that neighbouring "
        "octahedra share columns. |tilt| has the part that noise adds taken off."
    )
    return section(
        "layers", "Layers", tag("p", note, class_="note"), tag("div", *drawn, class_="pair")
    )


def _profile(dots: Dots, sketch: Sketch, quantity: str, label: str) -> Html | None:
    rows = dots.layers
    here = np.array([q == quantity for q in rows.text("quantity")], bool)
    frame = np.asarray(rows["frame"], float)
    pooled = here & ~(frame >= 0)
    chosen = pooled if pooled.any() else here
    if not chosen.any():
        return None
    part = rows.take(np.flatnonzero(chosen))
    names = _series_names(part, pooled=bool(pooled.any()))
    series = {}
    for name in list(dict.fromkeys(names))[: len(charts.COLOURS)]:
        one = np.array([n == name for n in names], bool)
        values = [np.asarray(part[c], float)[one] for c in ("layer", "mean", "se")]
        keep = np.isfinite(values[1]) & (values[0] >= 0)
        if keep.any():
            series[name] = [v[keep] for v in values]
    if not series:
        return None
    return sketch(f"layers-{quantity}", f"{label} by layer", "", charts.draw_profile, series, label)


def _series_names(part: Columns, *, pooled: bool) -> list[str]:
    if pooled:
        parts = zip(part.text("sample"), part.text("view"), strict=True)
        return [", ".join(p for p in pair if p) or "all crystals" for pair in parts]
    pairs = zip(np.asarray(part["frame"]), np.asarray(part["crystal"]), strict=True)
    return [f"frame {int(f)}, crystal {int(c)}" for f, c in pairs]


def distributions(dots: Dots, sketch: Sketch) -> Html | None:
    """Return histograms of tilt, intensity and standard errors."""
    figures = []
    tilt = np.asarray(dots.octahedra["staggered_tilt_deg"], float)
    if np.isfinite(tilt).sum() > 1:
        layer = np.asarray(dots.octahedra["layer"], float)
        groups = {"core": tilt[layer >= 2], "layer 1": tilt[layer == 1], "shell": tilt[layer == 0]}
        shown = {n: v for n, v in groups.items() if np.isfinite(v).any()} or {"all": tilt}
        label = "staggered tilt, °"
        figures.append(
            sketch(
                "tilts",
                "Distribution of the staggered tilt",
                "Each crystal's sign is its own: the two senses of rotation are alike.",
                lambda: charts.draw_histogram(shown, label, zero=True),
            )
        )
    species = np.array(dots.columns.text("species"), dtype=object)
    names = sorted({n for n in species[dots.seen].tolist() if n})
    scaled = all(s != "none" for s in dots.run.frames.text("counts_source"))
    intensity = f"intensity, {'electrons' if scaled else 'units of the image'}"
    for field, label in (("intensity", intensity), ("se_x_px", "se of x, px")):
        values = np.asarray(dots.columns[field], float)
        groups = {n: values[dots.seen & (species == n)] for n in names}
        if any(np.isfinite(v).sum() > 1 for v in groups.values()):
            figures.append(
                sketch(field.replace("_px", ""), label, "", charts.draw_histogram, groups, label)
            )
    if not figures:
        return None
    return section("distributions", "Distributions", tag("div", *figures, class_="pair"))


_HEADS = {
    "frame": "frame",
    "crystal": "crystal",
    "n_columns": "columns",
    "n_inferred": "inferred",
    "n_octahedra": "octahedra",
    "a_nm": "a, nm",
    "se_a_nm": "se",
    "b_nm": "b, nm",
    "se_b_nm": "se ",
    "gamma_deg": "γ, °",
    "se_gamma_deg": "se  ",
    "staggered_tilt_deg": "tilt, °",
    "se_staggered_tilt_deg": "se, °",
    "core_minus_shell_deg": "core − shell, °",
    "se_core_minus_shell_deg": "se , °",
    "p_core_shell": "p",
    "correlation_length_cells": "correlation, cells",
    "inhomogeneity_deg": "inhomogeneity, °",
}


def crystals(dots: Dots) -> Html | None:
    """Return the table of crystals."""
    total = len(dots.crystals)
    if not total:
        return None
    rows = dots.crystals.take(np.arange(min(total, MAX_CRYSTALS)))
    cells: dict[str, list[Any]] = {}
    for field, head in _HEADS.items():
        values = np.asarray(rows[field], float)
        if not np.isfinite(values).any():
            continue
        whole = field.startswith("n_") or field in ("frame", "crystal")
        cells[head] = [int(v) if whole and np.isfinite(v) else float(v) for v in values]
    cells["view"] = rows.text("view")
    note = (
        f"All {counted(total, 'crystal')}."
        if total <= MAX_CRYSTALS
        else (f"The first {MAX_CRYSTALS:,} of {total:,}; all are in crystals/*.parquet.")
    )
    note += (
        " a, b and γ are not corrected for scan distortion; where it bends the lattice, their "
        "standard errors hold it."
    )
    return section(
        "crystals",
        "Crystals",
        table(
            list(cells),
            zip(*cells.values(), strict=True),
            caption=note,
            sortable=True,
            tall=True,
            digits=4,
        ),
    )
