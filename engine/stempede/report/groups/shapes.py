"""The section on shapes: superellipse parameters, re-rendered outlines, overlap."""

from __future__ import annotations

import numpy as np

from stempede.report import figures
from stempede.report.groups import outlines, space
from stempede.report.groups.crops import Crops
from stempede.report.groups.findings import Group, Grouped
from stempede.report.html import Html, counted, section, tag
from stempede.report.sketch import Sketch

_MOST_ROWS = 8


def shapes(
    grouped: Grouped, crops: tuple[Crops, Crops] | None, sketch: Sketch, *extra: Html | None
) -> Html | None:
    """Return the space of shapes, the fits over crops, and the overlap of all."""
    if not grouped.has_shapes:
        return None
    jaccard = np.asarray(grouped.particles["jaccard"], float)
    jaccard = jaccard[np.isfinite(jaccard)]
    overlap = None
    if len(jaccard) >= 2:
        least = 100 * float((jaccard >= 0.9).mean())
        overlap = sketch(
            "shape-jaccard",
            "Distribution of the Jaccard overlap",
            f"N = {counted(len(jaccard), 'particle')}: overlap of the re-rendered superellipse "
            f"with the particle's mask; median {np.median(jaccard):.3f}, {least:.1f} % at 0.90 or "
            "more. The dark line is the median.",
            figures.overlap,
            jaccard,
        )
    return section(
        "shapes",
        "Shapes",
        tag(
            "p",
            "Superellipses, R(θ) = [(L |cos(dθ/2)|)^p + |sin(dθ/2)|^p]^(−1/p): p is the exponent "
            "(2: ellipse, large: corners, below 1: concave), d the symmetry, L the elongation. "
            + _circles(grouped),
            class_="note",
        ),
        _space(grouped, sketch),
        tag("div", _outlines(grouped, crops[0] if crops else None, sketch), overlap, class_="pair"),
        *extra,
    )


def _space(grouped: Grouped, sketch: Sketch) -> Html | None:
    cloud = space.Cloud.of(grouped)
    if cloud is None:
        return None
    drawn = min(len(cloud.points), space.STANDING)
    still = sketch(
        "shape-space",
        "Particles in the space of p, d and L",
        f"N = {counted(cloud.n_all, 'particle')}, {drawn:,} drawn at random, coloured by group. "
        "p and L on logarithmic axes; whole numbers of d are spread by ± 0.16 so that points do "
        "not hide each other.",
        space.standing,
        cloud,
        grouped.groups,
    )
    boxes = [
        tag(
            "label",
            tag("input", type="checkbox", value=g.number, checked=True),
            tag("span", g.name, class_="group", style=f"--group:{g.colour}"),
        )
        for g in grouped.groups
    ]
    turns = tag(
        "figure",
        tag(
            "canvas",
            tabindex=0,
            role="img",
            aria_label="Particles in the space of p, d and L; drag or use the arrow keys to turn",
        ),
        tag("div", *boxes, class_="choices") if boxes else None,
        tag("script", Html(space.turning(cloud, grouped.groups)), type="application/json"),
        tag("figcaption", f"The same, {len(cloud.points):,} points: drag, or arrow keys, to turn."),
        class_="turns",
    )
    return tag("div", still, turns, class_="pair")


def _outlines(grouped: Grouped, crops: Crops | None, sketch: Sketch) -> Html | None:
    if crops is None:
        return None
    whole: list[Group | None] = [*grouped.groups[:_MOST_ROWS]] if grouped.groups else [None]
    rows = [(g, outlines.ranked(grouped, crops, g.number if g else -1)) for g in whole]
    rows = [(g, places) for g, places in rows if len(places)]
    if not rows:
        return None
    return sketch.picture(
        "shape-outlines",
        "Fitted superellipses over crops",
        "Fitted superellipse over the source image, Jaccard overlap with the mask below. In each "
        "row (one group) at even ranks from the worst fit to the best, of the particles read for "
        "the montages.",
        outlines.outlines_over_crops,
        grouped,
        crops,
        rows,
    )


def _circles(grouped: Grouped) -> str:
    """Return how many are circles, of which d says nothing."""
    n = int(grouped.particles.flags("is_circle").sum())
    if not n:
        return "A circle has no d."
    return f"{counted(n, 'particle')} may as well be circles: they have no d and stand at 2."
