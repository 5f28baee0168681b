"""A page of one measurement: ratios, floors, shares of the stages, growth with the scene."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from stempede.report import html, style
from stempede.report.html import Html, tag
from stempede_bench.registry import GROUPS

Result = Mapping[str, Any]

TITLES = {
    "kernels": "Kernels",
    "routes": "Routes",
    "io": "Reading",
    "models": "Networks",
    "session": "A session, files to tables",
}
VARIED = {
    "side": "side of the frame, px",
    "count": "particles of a frame",
    "batch": "frames per call",
}


def page(measured: Mapping[str, Any]) -> str:
    """Return a self-contained HTML document of what ``stempede bench`` measured."""
    results = measured["results"]
    usual = [r for r in results if not r["scene"]]
    parts = [_section(group, [r for r in usual if r["case"] in GROUPS[group]]) for group in GROUPS]
    body = tag(
        "body",
        tag(
            "header",
            tag("p", "stempede · bench", class_="eyebrow"),
            tag("h1", measured["machine"].get("device") or measured["machine"]["processor"]),
            html.facts(_machine(measured["machine"])),
        ),
        tag("main", *filter(None, parts), _growth([r for r in results if r["scene"]])),
        tag("script", Html(style.SORT)),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", "stempede bench"),
        tag("style", Html(style.CSS)),
    )
    return "<!DOCTYPE html>\n" + tag("html", head, body, lang="en") + "\n"


def _machine(facts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    rest = [(name.replace("_", " "), value) for name, value in facts.items() if name != "versions"]
    return [
        *((name, str(value)) for name, value in rest if value is not None),
        ("versions", versions),
    ]


def _section(group: str, results: Sequence[Result]) -> Html | None:
    if not results:
        return None
    rows = [row for result in results for row in _rows(result)]
    heads = (
        "case",
        "contender",
        "ms",
        "quartiles, ms",
        "per second",
        "peer / ours",
        "of the floor",
    )
    table = html.table(heads, rows, caption="Medians; ratios pair by pair.", digits=3)
    shares = [_shares(result) for result in results if sum(result["stages_s"].values()) > 0]
    return html.section(group, TITLES[group], table, *shares)


def _rows(result: Result) -> list[list[Any]]:
    rows = []
    for timing in result["timings"]:
        ratio = result["ratios"].get(timing["name"])
        said = f"{ratio[1]:.2f} [{ratio[0]:.2f}, {ratio[2]:.2f}]" if ratio else ""
        ours = timing is result["timings"][0]
        floor = (
            f"{result['floor_s'] / timing['median_s']:.1%}" if ours and result["floor_s"] else ""
        )
        spread = f"{1e3 * timing['q1_s']:.1f} – {1e3 * timing['q3_s']:.1f}"
        rate = f"{result['items'] / timing['median_s']:,.0f} {result['unit']}"
        case = result["case"] if ours else ""
        rows.append([case, timing["name"], 1e3 * timing["median_s"], spread, rate, said, floor])
    return rows


def _shares(result: Result) -> Html:
    """Draw the stages of a route as one bar each, longest first."""
    ranked = sorted(result["stages_s"].items(), key=lambda item: item[1])
    with _pyplot() as plt:
        figure, axes = plt.subplots(figsize=(7, 0.5 + 0.26 * len(ranked)), layout="constrained")
        axes.barh([name for name, _ in ranked], [1e3 * s for _, s in ranked], color=style.BLUE)
        axes.set_xlabel("ms")
        return _figure(figure, plt, f"Stages of {result['case']}, one call.")


def _growth(results: Sequence[Result]) -> Html | None:
    """Draw time per item against what was varied."""
    curves: dict[tuple[str, str], list[tuple[float, float, str]]] = defaultdict(list)
    for result in results:
        field, value = result["scene"].split(", ")[0].split("=")
        for timing in result["timings"]:
            point = (float(value), 1e6 * timing["median_s"] / result["items"], timing["name"])
            curves[result["case"], field].append(point)
    if not curves:
        return None
    figures = [_curve(case, field, points) for (case, field), points in curves.items()]
    return html.section("growth", "Growth with the scene", *figures)


def _curve(case: str, field: str, points: Sequence[tuple[float, float, str]]) -> Html:
    from matplotlib.ticker import LogLocator

    colours = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE)
    with _pyplot() as plt:
        figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
        for name, colour in zip(dict.fromkeys(p[2] for p in points), colours):
            x, y = zip(*((x, y) for x, y, other in points if other == name), strict=True)
            axes.loglog(x, y, "o-", color=colour, label=name)
        axes.set_xlabel(VARIED[field])
        axes.set_ylabel("µs per item")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.set_xticks(sorted({p[0] for p in points}), minor=False)
        axes.minorticks_off()
        axes.legend()
        return _figure(figure, plt, f"{case} against {field}.")


def _pyplot() -> Any:
    import contextlib

    @contextlib.contextmanager
    def settings() -> Any:
        import matplotlib as mpl

        mpl.use("Agg")
        import matplotlib.pyplot as plt

        with mpl.rc_context(style.RC):
            yield plt

    return settings()


def _figure(figure: Any, plt: Any, caption: str) -> Html:
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg")
    plt.close(figure)
    # matplotlib's own text, without the XML declaration
    picture = Html(drawn.getvalue()[drawn.getvalue().index("<svg") :])
    return tag("figure", picture, tag("figcaption", caption))
