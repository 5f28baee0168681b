"""Sections of the page that show results: sizes, samples, systematics, features."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from stempede.report import figures
from stempede.report.findings import FEATURE_SIZES, FEATURES, Findings, size_field
from stempede.report.html import Html, counted, section, span, table, tag
from stempede.report.sizes import LAWS, Interval, Summary
from stempede.report.sketch import Sketch


def basis(n: int, n_frames: int) -> str:
    """Return what a statement rests on."""
    return f"N = {counted(n, 'particle')} in {counted(n_frames, 'frame')}"


def sizes(found: Findings, sketch: Sketch) -> Html | None:
    """Return the size distribution with its fits, and every size measure."""
    summary = found.headline
    values, weights, n_frames = found.sizes()
    if summary is None or not len(values):
        return None
    rests = basis(len(values), n_frames)
    fits = found.ensemble.fits
    beyond = int(np.count_nonzero(values > figures.bin_edges(values)[-1]))
    outside = f" {counted(beyond, 'particle')} beyond the axis." if beyond else ""
    drawn = [
        sketch(
            "size-histogram",
            f"Histogram of {summary.axis}",
            f"{rests}. Bars: edge-weighted density; lines: fits to the same particles; orange: "
            f"mean and its 95 % CI, if there is one.{outside}",
            figures.size_histogram,
            values,
            weights,
            summary.axis,
            fits,
            summary.mean,
        )
    ]
    quantiles = found.ensemble.quantiles
    if quantiles:
        drawn.append(
            sketch(
                "size-qq",
                f"Quantile-quantile plot of {summary.axis}",
                f"{rests}. Measured per cent points against those of each fitted law: points on "
                "the grey line mean that the law holds, ends included.",
                figures.quantile_plot,
                quantiles,
                LAWS,
                summary.axis,
            )
        )
    return section(
        "sizes",
        "Sizes",
        tag("div", *drawn, class_="pair"),
        _fit_table(found),
        _measure_table(found),
        _small_note(found),
    )


def _fit_table(found: Findings) -> Html | None:
    fits = found.ensemble.fits
    if not fits:
        return None
    rows = [(fit.name, fit.aic, fit.delta_aic, fit.words) for fit in fits]
    unit = found.headline.unit if found.headline else ""
    return table(
        ("distribution", "AIC", "ΔAIC", f"parameters, {unit}"),
        rows,
        caption="Fitted distributions; the smallest AIC describes the sizes best. Normal: mean ± "
        "standard deviation; log-normal: median ×/÷ geometric standard deviation.",
        digits=4,
    )


def _measure_table(found: Findings) -> Html:
    measures, unit = found.ensemble.measures, found.unit
    rows: list[list[Any]] = []
    for title, pick, scale in _statistics(unit):
        row: list[Any] = [title]
        for summary in measures:
            interval = pick(summary)
            row += [scale * interval.value, span(interval.low, interval.high, "", scale)]
        if any(isinstance(v, float) and math.isfinite(v) for v in row):
            rows.append(row)
    heads = ["statistic"]
    for summary in measures:
        heads += [summary.name, "95 % CI"]
    return table(
        heads,
        rows,
        caption="Size statistics of the session, edge-weighted unless as counted. GSD: geometric "
        "standard deviation; ICC: correlation of sizes within a frame; design effect: variance "
        "of the mean over that of as many independent particles.",
        digits=4,
    )


def _statistics(unit: str) -> list[tuple[str, Callable[[Summary], Interval], float]]:
    """Return title, value and scale of each row of the table of sizes."""

    def of(name: str) -> Callable[[Summary], Interval]:
        return lambda s: s.more.get(name, Interval())

    return [
        (f"mean, {unit}", lambda s: s.mean, 1.0),
        (f"mean as counted, {unit}", lambda s: s.raw_mean, 1.0),
        ("σ/d, %", lambda s: s.rel_sd, 100.0),
        ("σ/d as counted, %", lambda s: s.raw_rel_sd, 100.0),
        (f"median, {unit}", of("median"), 1.0),
        (f"10 % point, {unit}", of("q10"), 1.0),
        (f"90 % point, {unit}", of("q90"), 1.0),
        (f"volume-weighted mean, {unit}", of("volume_mean"), 1.0),
        (f"geometric mean, {unit}", of("geometric_mean"), 1.0),
        ("GSD", of("geometric_sd"), 1.0),
        ("ICC", lambda s: Interval(s.icc), 1.0),
        ("design effect", lambda s: Interval(s.design_effect), 1.0),
    ]


def _small_note(found: Findings) -> Html | None:
    if not found.n_small:
        return None
    return tag(
        "p",
        f"{counted(found.n_small, 'accepted particle')} under 10 px in diameter: their size "
        "depends on single pixels, their shape features say little.",
        class_="banner",
    )


def features(found: Findings, sketch: Sketch) -> Html | None:
    """Return small panels of the features of accepted particles."""
    rows = found.accepted
    panels = []
    square = "²"
    named = [
        (
            size_field(m, found.unit),
            f"{m.replace('_', ' ')}, {found.unit}" + (square if m == "area" else ""),
        )
        for m in FEATURE_SIZES
    ]
    for name, title in (*named, *FEATURES):
        values = found.particles[name][rows]
        values = values[np.isfinite(values)]
        if len(values) < 2:
            continue
        label = f"Distribution of {title}"
        panels.append(sketch(f"feature-{name}", label, None, figures.feature, values, title))
    if not panels:
        return None
    n_frames = len(np.unique(found.particles["frame"][rows]))
    return section(
        "features",
        "Features of accepted particles",
        tag(
            "p",
            f"{basis(int(rows.sum()), n_frames)}{_calibrated(found)}. Bars: particles per bin, as "
            "counted, between the 0.5 and 99.5 % points; line: median.",
            class_="note",
        ),
        tag("div", *panels, class_="multiples"),
    )


def _calibrated(found: Findings) -> str:
    """Return how many of the accepted particles have sizes in nm, where not all do."""
    n = len(found.sizes()[0])
    return "" if n == found.outcomes["accepted"] else f", {n:,} of them with lengths in nm"


def systematics(found: Findings, sketch: Sketch) -> Html | None:
    """Return what statistics do not cover: threshold, and drift over the frames."""
    summary, ensemble = found.headline, found.ensemble
    if summary is None or not len(ensemble.frames):
        return None
    drawn = []
    again = ensemble.sensitivity
    if again is not None:
        largest = 100 * max(abs(s.value) for s in again.shifts)
        drawn.append(
            sketch(
                "sensitivity",
                "Change of the mean size with the segmentation threshold",
                f"{basis(again.n, again.n_frames)} measured again with other thresholds: the "
                f"mean {summary.name} moves by up to {largest:.2g} % (bars: 95 % CI of the shift). "
                "The band is the 95 % CI of the session's mean, which this comes on top of.",
                figures.sensitivity,
                again.scales,
                again.shifts,
                summary.mean,
                summary.name,
            )
        )
    if len(ensemble.frames) > 1:
        drawn.append(_drift(found, summary, sketch))
    missing = "Sizes at other thresholds were not measured in this run."
    return section(
        "systematics",
        "Systematics",
        tag("p", missing, class_="note") if again is None else None,
        tag("div", *drawn, class_="pair") if drawn else None,
    )


def _drift(found: Findings, summary: Summary, sketch: Sketch) -> Html:
    ensemble = found.ensemble
    return sketch(
        "size-by-frame",
        "Mean size of each frame in order",
        f"Mean {summary.name} of each of {len(ensemble.frames):,} frames with particles; larger "
        "points hold more particles. A trend means that the specimen or the focus changed over "
        "the session.",
        figures.per_frame,
        ensemble.frames,
        ensemble.means,
        ensemble.counts,
        summary.mean,
        summary.axis,
    )


def samples(found: Findings, sketch: Sketch) -> Html | None:
    """Return the sizes of each sample, where frames carry labels."""
    listed = found.ensemble.samples
    if not listed:
        return None
    rows = [
        (
            s.label,
            s.n,
            s.n_frames,
            s.mean.value,
            span(s.mean.low, s.mean.high),
            s.unit,
            100 * s.rel_sd.value,
            span(s.rel_sd.low, s.rel_sd.high, "", 100),
        )
        for s in listed
    ]
    # a sample without pixel size is told in px and stays out of a figure in nm
    alike = [s for s in listed if s.unit == found.unit and math.isfinite(s.mean.value)]
    shown = table(
        ("sample", "particles", "frames", "mean", "95 % CI", "unit", "σ/d, %", "95 % CI, %"),
        rows,
        caption=f"Mean {listed[0].name} by sample: edge-weighted, frames as sampling units.",
        sortable=True,
        digits=4,
    )
    drawn = None
    if 1 < len(alike) <= 40:
        figure = sketch(
            "samples",
            f"Mean {alike[0].axis} by sample",
            "Points: edge-weighted means; lines: 95 % CI, none for samples of fewer than 5 frames.",
            figures.by_label,
            [s.label for s in alike],
            [s.mean for s in alike],
            alike[0].axis,
        )
        drawn = tag("div", figure, class_="pair")
    return section("samples", "Samples", drawn, shown)
