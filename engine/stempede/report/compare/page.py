"""The page of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from stempede.errors import ResultsError
from stempede.report.compare import charts, words
from stempede.report.compare.comparison import Comparison, write_tables
from stempede.report.compare.contrasts import Described
from stempede.report.compare.sides import number_of
from stempede.report.document import document, write_page
from stempede.report.html import Html, join, number, section, span, table, tag
from stempede.report.sketch import Sketch

_UNITS = {"dose_e_per_A2": "e/Å²", "cumulative_dose_e_per_A2": "e/Å²", "dwell_us": "µs"}


def write_comparison(comparison: Comparison, folder: Path | str) -> Path:
    """Write ``comparison.html``, its figures and CSV files into a folder.

    Parameters
    ----------
    comparison : Comparison
    folder : Path
        Made where it is not there.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ResultsError
        The folder cannot be written to.
    """
    folder = Path(folder)
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        text = document(comparison.title, body(comparison, Sketch(folder / "figures")))
        page = write_page(folder / "comparison.html", text)
    except OSError as error:
        raise ResultsError(
            f"wanted to write a comparison into {folder}, but {error}; choose another --out"
        ) from error
    write_tables(comparison, folder)
    return page


def body(comparison: Comparison, sketch: Sketch) -> Html:
    """Return the page's body; figures are written to their folder on the way."""
    parts = {
        "Side by side": _table(comparison),
        "Sizes": _sizes(comparison, sketch),
        "Groups": _groups(comparison, sketch),
        "Trajectory": _trajectory(comparison, sketch),
        "Tests": _tests(comparison),
    }
    shown = {name: part for name, part in parts.items() if part is not None}
    links = [tag("li", tag("a", n, href=f"#{_anchor(n)}")) for n in shown]
    said = [tag("p", s) for s in comparison.said]
    return join(
        tag(
            "header",
            tag("p", "stempede · comparison", class_="eyebrow"),
            tag("h1", comparison.title),
            tag("p", f"{comparison.basis}; frames or areas are the sampling units.", class_="sub"),
            tag("div", *said, class_="note") if said else None,
            tag("nav", tag("ul", *links), aria_label="Sections"),
        ),
        tag("main", *shown.values()),
        tag(
            "footer",
            "Numbers in full digits are in ",
            tag("code", "sides.csv"),
            " and ",
            tag("code", "tests.csv"),
            " beside this page, figures in ",
            tag("code", "figures/"),
            ".",
        ),
    )


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _section(title: str, *parts: Any) -> Html:
    return section(_anchor(title), title, *parts)


def _table(comparison: Comparison) -> Html:
    rows = [words.described_row(d) for d in comparison.described]
    heads = [", ".join(comparison.by) or "run", *words.DESCRIBED]
    keep = [
        k
        for k in range(len(heads))
        if any(math.isfinite(r[k]) if isinstance(r[k], float) else r[k] for r in rows)
    ]
    return _section(
        "Side by side",
        table(
            [heads[k] for k in keep],
            [[_wrapped(row[k], long=k == len(heads) - 1) for k in keep] for row in rows],
            caption=f"Batch by batch: images, crystals, time, then what was found. Size is "
            f"the {comparison.axis.split(',')[0]}, edge-weighted; groups: share of each.",
            sortable=True,
        ),
    )


def _wrapped(cell: Any, *, long: bool) -> Any:
    return tag("span", cell, class_="wrap") if long else cell


def _sizes(comparison: Comparison, sketch: Sketch) -> Html | None:
    if not comparison.one_axis:
        return None
    described = comparison.described
    names = [d.side.name for d in described]
    return _section(
        "Sizes",
        tag(
            "div",
            sketch(
                "compare-sizes",
                "Size distributions side by side",
                f"{comparison.basis}. Edge-weighted distributions on one scale; tick: mean, bar: "
                "its 95 % CI where there are enough frames.",
                charts.size_ridges,
                described,
            ),
            sketch(
                "compare-mean",
                "Mean sizes with their intervals",
                "Mean size; lines: 95 % CI.",
                charts.points,
                names,
                [d.mean for d in described],
                f"mean {comparison.axis}",
                1.0,
            ),
            sketch(
                "compare-spread",
                "Size distributions σ/d with their intervals",
                "Size distribution, standard deviation over mean; lines: 95 % CI.",
                charts.points,
                names,
                [d.rel_sd for d in described],
                f"σ/d of the {comparison.axis.split(',')[0]}, %",
                100.0,
            ),
            class_="pair",
        ),
    )


def _groups(comparison: Comparison, sketch: Sketch) -> Html | None:
    if not comparison.groups:
        return None
    return _section(
        "Groups",
        tag("div", _shares(comparison, sketch), class_="broad"),
    )


def _shares(comparison: Comparison, sketch: Sketch) -> Html:
    return sketch(
        "compare-groups",
        "Shares of the groups side by side",
        f"{comparison.basis}. Edge-weighted share of each group among the grouped particles; "
        "lines: 95 % CI, frames or areas as units.",
        charts.group_shares,
        comparison.described,
        comparison.groups,
    )


def _tests(comparison: Comparison) -> Html | None:
    if not comparison.contrasts:
        return None
    return _section(
        "Tests",
        table(
            words.TESTED,
            [words.tested_row(c) for c in comparison.contrasts],
            caption="Welch's t on estimates whose errors come from leaving out one frame (or "
            "area) at a time; σ/d by its ratio, on the logarithm; Holm's correction over this "
            "whole table. Effect sizes: Hedges' g in standard deviations of particles, the ratio "
            "of σ/d, Cohen's h of shares (0.2 small, 0.5 middling, 0.8 large).",
            sortable=True,
            tall=len(comparison.contrasts) > 16,
        ),
    )


def _trajectory(comparison: Comparison, sketch: Sketch) -> Html | None:
    """Return sizes and groups against a label that is a number, where one is."""
    numeric = [
        name
        for name in comparison.by
        if all(number_of(d.side.labels[name]) is not None for d in comparison.described)
    ]
    numeric = [n for n in numeric if len({d.side.labels[n] for d in comparison.described}) > 2]
    if len(numeric) != 1 or not comparison.one_axis:
        return None
    (along,) = numeric
    lines: dict[str, list[Described]] = {}
    for one in comparison.described:
        others = [f"{k} {v}" for k, v in one.side.labels.items() if k != along]
        lines.setdefault(" · ".join(others) or "all", []).append(one)
    x_label = _label(along, comparison.described)
    drawn = []
    for title, field, y_label, scale in (
        ("size", "mean", f"mean {comparison.axis}", 1.0),
        ("spread", "rel_sd", f"σ/d of the {comparison.axis.split(',')[0]}, %", 100.0),
    ):
        series = {
            name: (_x(along, parts), [getattr(d, field) for d in parts])
            for name, parts in lines.items()
        }
        drawn.append(
            sketch(
                f"trajectory-{title}",
                f"{y_label} against {along}",
                f"{comparison.basis}. Points: edge-weighted; lines: 95 % CI.",
                _drawn,
                series,
                x_label,
                y_label,
                scale,
            )
        )
    if comparison.groups and len(lines) == 1:
        (parts,) = lines.values()
        by_group = {
            f"group {g}": (_x(along, parts), [d.shares[g] for d in parts])
            for g in comparison.groups
        }
        drawn.append(
            sketch(
                "trajectory-groups",
                f"Shares of groups against {along}",
                "Edge-weighted share of each group; lines: 95 % CI.",
                _drawn_groups,
                by_group,
                x_label,
                "share of grouped particles, %",
                100.0,
            )
        )
    return _section(
        "Trajectory", tag("div", *drawn, class_="pair"), _slopes(along, lines, comparison.axis)
    )


def _drawn(series: charts.Series, x: str, y: str, scale: float) -> Any:
    return charts.trajectory(series, x, y, scale, groups=False)


def _drawn_groups(series: charts.Series, x: str, y: str, scale: float) -> Any:
    return charts.trajectory(series, x, y, scale, groups=True)


def _x(along: str, parts: Sequence[Described]) -> np.ndarray:
    return np.array([number_of(d.side.labels[along]) for d in parts], float)


def _label(along: str, described: Sequence[Described]) -> str:
    """Return a label with the unit that its values carry, if they share one."""
    values = [d.side.labels[along].split(" ", 1) for d in described]
    units = {v[1] if len(v) == 2 else "" for v in values}
    unit = _UNITS.get(along) or (units.pop() if len(units) == 1 else "")
    name = along.removesuffix("_e_per_A2").removesuffix("_us").replace("_", " ")
    return f"{name}, {unit}" if unit else name


def _slopes(along: str, lines: dict[str, list[Described]], axis: str) -> Html | None:
    """Return the straight line through the means of frames, frames as units."""
    rows = []
    for name, parts in lines.items():
        x, y = [], []
        for one in parts:
            at = number_of(one.side.labels[along])
            sample = one.side.sample()
            total, weight = sample.sums(sample.x), sample.sums(np.ones(len(sample.x)))
            means = total[weight > 0] / weight[weight > 0]
            x += [at] * len(means)
            y += means.tolist()
        if len(y) < 5 or len(set(x)) < 2:
            continue
        fit = stats.linregress(x, y)
        reach = float(stats.t.ppf(0.975, len(y) - 2)) * float(fit.stderr)
        bounds = span(fit.slope - reach, fit.slope + reach)
        rows.append(
            [name, len(y), f"{number(float(fit.slope))} ({bounds})", words.probability(fit.pvalue)]
        )
    if not rows:
        return None
    return table(
        ("series", "frames or areas", f"slope of {axis} per unit of {along} (95 % CI)", "p"),
        rows,
        caption="Least-squares line through the means of frames (or areas), one point each. A "
        "trend need not be straight: see the figure first.",
    )
