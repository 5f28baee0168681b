"""Sections on what the groups are: sizes, features, micrographs, montages."""

from __future__ import annotations

from typing import Any

import numpy as np

from stempede.errors import StempedeError
from stempede.report.findings import size_field
from stempede.report.groups import distributions, montage, overlay
from stempede.report.groups.crops import Crops
from stempede.report.groups.findings import Group, Grouped
from stempede.report.html import Html, counted, section, span, table, tag
from stempede.report.pixels import Pixels
from stempede.report.sketch import Sketch
from stempede.report.style import MUTED

_MOST_RIDGES = 12
# whose means say little: p of a cuboid runs to its bound
_SKEWED = ("p", "d", "l_ratio")


def groups(grouped: Grouped, sketch: Sketch) -> Html | None:
    """Return sizes of groups, their features, and every predictor by group."""
    listed = grouped.groups
    if not listed:
        return None
    bars = sketch(
        "group-sizes",
        "Bars of the share of each group",
        f"{rests(grouped)}. Edge-weighted shares, with the number of particles; lines: 95 % CI, "
        "frames as units, where there are enough of them.",
        distributions.group_sizes,
        listed,
    )
    return section(
        "groups",
        "Shape groups",
        tag("p", _what(grouped), class_="note"),
        tag("div", bars, class_="pair"),
        _table(grouped),
        _parallel(grouped, sketch),
        _ridges(grouped, sketch),
    )


def rests(grouped: Grouped) -> str:
    """Return what statements on groups rest on."""
    where = counted(grouped.n_frames, "frame")
    return f"N = {counted(grouped.n, 'grouped particle')} in {where}"


def _what(grouped: Grouped) -> str:
    n = len(grouped.groups)
    if n == 1:
        scores = grouped.found.run.columns("group_scores").rows()
        note = next((str(r["note"]) for r in scores if r["chosen"] and r["note"]), "")
        said = note or "nothing in these features speaks for more than one kind of particle"
        return f"One group: {said}. Figures that compare groups are left out."
    return (
        f"{n} groups, numbered by size: group 0 is the largest. They are kinds that these "
        "features tell apart; whether they are kinds of crystal is for the reader to judge, by "
        "the montages below."
    )


def _table(grouped: Grouped) -> Html:
    """Return the table of groups: size with its interval, and what describes a shape."""
    rows = grouped.found.run.columns("groups").rows()
    by_key = {(int(r["group"]), str(r["feature"])): r for r in rows}
    summary = grouped.found.headline
    size = size_field(summary.measure if summary else "major_axis", grouped.found.unit)
    shown = [(size, f"{summary.axis if summary else size}")]
    shown += [("aspect_ratio", "aspect ratio"), ("circularity", "circularity")]
    shown += [(k, k) for k in ("p", "d")] + [("l_ratio", "L"), ("jaccard", "Jaccard")]
    shown = [s for s in shown if any((g.number, s[0]) in by_key for g in grouped.groups)]
    lines: list[list[Any]] = []
    for group in grouped.groups:
        line: list[Any] = [_named(group), group.n, group.n_frames]
        line.append(span(group.share.low, group.share.high, "", 100))
        for feature, _ in shown:
            described = _median if feature in _SKEWED else _mean
            line.append(described(by_key.get((group.number, feature))))
        lines.append(line)
    heads = ["group", "particles", "frames", "95 % CI of the share, %", *(t for _, t in shown)]
    return table(
        heads,
        lines,
        caption="Mean ± standard deviation of each group, with the 95 % CI of the mean where there "
        "are enough frames; of p, d and L, which have long tails, median and quartiles. Every "
        "feature is in groups/*.parquet.",
        sortable=True,
    )


def _named(group: Group) -> Html:
    return tag("span", group.name, class_="group", style=f"--group:{group.colour}")


def _mean(row: dict[str, Any] | None) -> Html | str:
    if row is None or not np.isfinite(float(row["mean"])):
        return "–"
    mean, sd = float(row["mean"]), float(row["sd"])
    digits = max(0, 1 - int(np.floor(np.log10(sd)))) if np.isfinite(sd) and sd > 0 else 3
    digits = min(digits, 4)
    main = f"{mean:.{digits}f}" + (f" ± {sd:.{digits}f}" if np.isfinite(sd) else "")
    low, high = float(row["ci_low"]), float(row["ci_high"])
    if not np.isfinite(low):
        return main
    return tag("span", main, tag("br"), tag("small", span(low, high), class_="sub"))


def _median(row: dict[str, Any] | None) -> Html | str:
    middle = float(row.get("median", np.nan)) if row else np.nan
    if row is None or not np.isfinite(middle):
        return _mean(row)
    quartiles = span(float(row["quartile_low"]), float(row["quartile_high"]))
    return tag("span", f"{middle:.3g}", tag("br"), tag("small", quartiles, class_="sub"))


def _ridges(grouped: Grouped, sketch: Sketch) -> Html:
    """Return one small figure per predictor."""
    number, weights = grouped.number, grouped.weights
    listed = grouped.groups[:_MOST_RIDGES]
    panels = []
    for predictor in grouped.drawn:
        values = predictor.of(grouped.particles)
        there = np.isfinite(values) & (number >= 0)
        if there.sum() < 2:
            continue
        panels.append(
            sketch(
                f"group-histogram-{predictor.name}",
                f"{predictor.title} by group",
                None,
                distributions.ridges,
                np.where(there, values, np.nan),
                weights,
                number,
                listed,
                predictor.title,
            )
        )
    more = ""
    if len(grouped.groups) > _MOST_RIDGES:
        more = f" The {_MOST_RIDGES} largest groups are shown."
    return tag(
        "div",
        tag("h3", "Every predictor by group"),
        tag(
            "p",
            f"{rests(grouped)}. Filled: edge-weighted distribution of each group, scaled to its "
            "own peak, between the 0.5 and 99.5 % points of all; dark line: the normal law with "
            f"the same mean and standard deviation.{more} Hu moments: signed "
            "log₁₀(1 + |Hu|/floor), floors of 10⁻³, 10⁻⁴ and 10⁻⁴, that pixel noise reaches.",
            class_="note",
        ),
        tag("div", *panels, class_="multiples wide"),
    )


def _parallel(grouped: Grouped, sketch: Sketch) -> Html | None:
    if len(grouped.groups) < 2 or len(grouped.drawn) < 2:
        return None
    inside = np.flatnonzero(grouped.number >= 0)
    values = [p.of(grouped.particles)[inside] for p in grouped.drawn]
    figure = sketch(
        "parallel-coordinates",
        "Parallel coordinates of the groups",
        f"{rests(grouped)}. Lines: median of each group; bands: the middle half of its particles. "
        "0 is the mean of all grouped particles.",
        distributions.parallel_coordinates,
        values,
        [p.title.split(",")[0] for p in grouped.drawn],
        grouped.number[inside],
        grouped.groups,
    )
    return tag("div", figure, class_="broad")


def micrographs(grouped: Grouped, pixels: Pixels, sketch: Sketch) -> Html | None:
    """Return the frames that show most groups, particles outlined by group."""
    if not grouped.groups:
        return None
    drawn = []
    frame = np.asarray(grouped.particles["frame"], np.int64)
    for f in overlay.telling_frames(grouped):
        try:
            image = pixels.image(f)
        except (StempedeError, OSError):
            continue
        labels = pixels.labels(f)
        if labels is not None and labels.shape != image.shape:
            labels = None
        rows = np.flatnonzero((frame == f) & (grouped.number >= 0))
        kind = (
            "Shades and outlines" if labels is not None else "Ellipses of the same second moments"
        )
        drawn.append(
            sketch.picture(
                f"groups-frame-{f:06d}",
                f"Particles of frame {f} outlined by group",
                f"Frame {f}, N = {counted(len(rows), 'grouped particle')}. {kind} in the colour of "
                "the group; what has none was set aside.",
                overlay.group_overlay,
                grouped,
                image,
                overlay.Outlined(labels, rows),
                grouped.groups,
                _pixel_size_nm(grouped, f),
            )
        )
    if not drawn:
        return None
    return section(
        "group-overlays", "Groups on the micrographs", tag("div", *drawn, class_="overlays")
    )


def _pixel_size_nm(grouped: Grouped, frame: int) -> float | None:
    frames = grouped.found.run.frames
    (row,) = np.flatnonzero(np.asarray(frames["frame"]) == frame)
    size = float(frames["pixel_size_nm"][row])
    return size if np.isfinite(size) else None


def montages(grouped: Grouped, crops: tuple[Crops, Crops] | None, sketch: Sketch) -> Html | None:
    """Return a montage of the population and one of each group."""
    if crops is None or not grouped.groups:
        return None
    by_group, everyone = crops
    colour = {g.number: g.colour for g in grouped.groups}
    several = len(grouped.groups) > 1
    drawn = [
        sketch.picture(
            "montage-population",
            "Montage of all particles",
            f"The population: {len(everyone.rows):,} of {counted(grouped.n, 'particle')}, chosen "
            f"at random from {counted(everyone.n_frames, 'frame')}, at one scale"
            + ("; frames in the colour of the group." if several else "."),
            montage.montage,
            everyone,
            [colour.get(int(n), MUTED) for n in grouped.number[everyone.rows]] if several else None,
        )
    ]
    for group in grouped.groups if several else ():
        mine = by_group.take(np.flatnonzero(grouped.number[by_group.rows] == group.number))
        if not len(mine.rows):
            continue
        n_frames = len(np.unique(grouped.particles["frame"][mine.rows]))
        drawn.append(
            sketch.picture(
                f"montage-group-{group.number}",
                f"Montage of group {group.number}",
                f"Group {group.number}: {len(mine.rows):,} of {counted(group.n, 'particle')}, "
                f"chosen at random from {counted(n_frames, 'frame')}, at one scale.",
                montage.montage,
                mine,
            )
        )
    return section("montages", "Montages", tag("div", *drawn, class_="overlays"))
