"""The answer of a run at the top of its page: size, spread, and what they rest on."""

from __future__ import annotations

import math
from typing import Any

from stempede.report.findings import Findings, calibration
from stempede.report.html import Html, counted, measured, number, span, tag
from stempede.report.sizes import Interval, Summary


def headline(found: Findings) -> Html:
    """Return mean size, size distribution and counts as three cards."""
    summary = found.headline
    if summary is None or not math.isfinite(summary.mean.value):
        n = len(found.particles)
        text = f"{counted(n, 'region')} detected, none accepted." if n else "No region detected."
        if found.outcomes["accepted"]:
            text = "The reductions, which give it, could not be run."
        size = _card("Particle size", "none", text)
        return tag("div", size, _counts_card(found), class_="headline two")
    cards = (_mean_card(summary, found.ensemble.uncurated), _spread_card(summary))
    return tag("div", *cards, _counts_card(found), class_="headline")


def _card(name: str, value: Any, *details: Any) -> Html:
    return tag(
        "div",
        tag("p", name, class_="name"),
        tag("p", value, class_="value"),
        *(tag("p", d, class_="detail") for d in details if d),
    )


def _value(interval: Interval, unit: str, scale: float = 1.0) -> list[Any]:
    if interval.known and not interval.symmetric:
        return [number(scale * interval.value), tag("small", f" {unit}")]
    centre, margin = measured(scale * interval.value, scale * interval.half_width)
    small = f" ± {margin} {unit}" if margin else f" {unit}"
    return [centre, tag("small", small)]


def _mean_card(summary: Summary, uncurated: Summary | None) -> Html:
    unit, raw = summary.unit, summary.raw_mean.value
    details = [_interval_words(summary.mean, summary, unit)]
    if summary.mean.known and summary.note:
        details.append(summary.note)
    if math.isfinite(summary.u_cal) and unit == "nm":
        details.append(f"calibration adds a standard uncertainty u_cal of {_two(summary.u_cal)} nm")
    if math.isfinite(raw) and raw:
        shift = 100 * (summary.mean.value / raw - 1)
        details.append(
            f"without edge weights: {number(raw, 4)} {unit} (they move it by {_signed(shift)} %)"
        )
    if uncurated is not None:
        details.append(f"before exclusions by hand: {number(uncurated.mean.value, 4)} {unit}")
    name = f"Mean {summary.name}, edge-weighted"
    return _card(name, _value(summary.mean, unit), *details)


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _two(value: float) -> str:
    return number(value, 2)


def _interval_words(interval: Interval, summary: Summary, unit: str, scale: float = 1.0) -> str:
    if not interval.known:
        return summary.note or "CI not available"
    low, high = interval.low, interval.high
    return f"95 % CI {span(low, high, unit, scale)}, {summary.unit_kind}s as sampling units"


def _spread_card(summary: Summary) -> Html:
    spread, raw = summary.rel_sd, summary.raw_rel_sd.value
    if not math.isfinite(spread.value):
        return _card("Size distribution, σ/d", "–", "needs two particles")
    interval = "CI not available"
    if spread.known:
        interval = f"95 % CI {span(spread.low, spread.high, '%', 100)}"
    as_counted = f"without edge weights: {number(100 * raw)} %" if math.isfinite(raw) else ""
    return _card("Size distribution, σ/d", _value(spread, "%", 100), interval, as_counted)


def _counts_card(found: Findings) -> Html:
    states = found.run.frames.text("state")
    failed = sum(s == "problem" for s in states)
    where = f"in {counted(len(states) - failed, 'frame')}"
    if failed:
        where += f", {failed:,} more failed"
    if failed == len(states):
        where = f"all {counted(failed, 'frame')} failed" if failed else "in 0 frames"
    source, u = calibration(found.run.frames)
    trust = f", ± {_two(100 * u)} % (u_cal)" if math.isfinite(u) else ", uncertainty not given"
    scale = f"pixel size: {source}{trust}"
    return _card(
        "Particles accepted",
        f"{found.outcomes['accepted']:,}",
        f"of {counted(len(found.particles), 'region')} detected {where}",
        scale if source else "no pixel size: lengths are in px",
    )
