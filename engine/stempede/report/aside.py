"""The section on what was set aside: nothing that was detected vanishes."""

from __future__ import annotations

import math

import numpy as np

from stempede.report import figures
from stempede.report.findings import Findings, size_field
from stempede.report.html import Html, counted, section, span, table, tag
from stempede.report.sketch import Sketch


def set_aside(found: Findings, sketch: Sketch) -> Html | None:
    """Return what became of every detected region."""
    if not len(found.particles):
        return None
    total = len(found.particles)
    aside = total - found.outcomes["accepted"]
    figure = sketch(
        "outcomes",
        "Bars of the number of regions accepted and set aside by reason",
        f"All {total:,} detected regions: blue accepted, orange set aside ({aside:,}). "
        "Every one is a row of the particles table, with its reject_reason.",
        figures.outcome_bars,
        found.outcomes,
    )
    return section(
        "aside",
        "Accepted and set aside",
        tag("div", figure, _aside_table(found), class_="pair"),
        _limits(found),
        _exclusions(found),
    )


def _limits(found: Findings) -> Html | None:
    """Return clumps and the least size, as the reduction found them."""
    names = {
        "smallest_measurable": (f"smallest measurable equivalent diameter, {found.unit}", 1.0),
        "fraction_below_10_px": ("accepted particles under 10 px, %", 100.0),
        "clump_fraction": ("too agglomerated, % of particles and clumps", 100.0),
        "clump_area_fraction": ("too agglomerated, % of their area", 100.0),
        "clump_size": (f"mean equivalent diameter of clumps, {found.unit}", 1.0),
    }
    rejected = found.ensemble.rejected
    rows = [
        (
            title,
            scale * rejected[name].value,
            span(rejected[name].low, rejected[name].high, "", scale),
        )
        for name, (title, scale) in names.items()
        if name in rejected and math.isfinite(rejected[name].value)
    ]
    if not rows:
        return None
    return table(("limits of the measurement", "value", "95 % CI"), rows)


def _exclusions(found: Findings) -> Html | None:
    """Return what each row of an exclusion list did."""
    rows = found.run.columns("exclusions").rows()
    if not rows:
        return None
    lines = [
        (int(r["frame"]), str(r["reason"]), int(r["n_matched"]), int(r["n_excluded"]))
        for r in rows[:200]
    ]
    return table(
        ("frame", "reason", "particles named", "set aside"),
        lines,
        caption=f"Exclusions by hand ({counted(len(rows), 'row')} of the list); the mean before "
        "them stands in the headline.",
        tall=True,
    )


def _aside_table(found: Findings) -> Html:
    unit = found.unit
    diameter = found.particles[size_field("equivalent_diameter", "px")]
    accepted = found.accepted
    reasons = np.array(found.particles.text("reject_reason"))
    rows = []
    for name, count in found.outcomes.items():
        if name == "accepted":
            chosen = diameter[accepted]
        else:
            chosen = diameter[~accepted & (reasons == ("" if name == "no reason given" else name))]
        chosen = chosen[np.isfinite(chosen)]
        low, middle, high = np.quantile(chosen, (0, 0.5, 1)) if len(chosen) else (np.nan,) * 3
        rows.append((name, count, float(low), float(middle), float(high)))
    return table(
        ("outcome", "regions", "least", "median", "largest"),
        rows,
        caption="Equivalent diameter by outcome, px"
        + (": lengths in nm are in the tables." if unit == "nm" else "."),
    )
