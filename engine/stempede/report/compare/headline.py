"""Runs side by side: size and size distribution with their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from stempede.report.ensemble import read_ensemble
from stempede.report.findings import calibration
from stempede.report.folder import RunFolder
from stempede.report.html import number, span
from stempede.report.sizes import Summary

HEADS = ("run", "size", "mean", "95 % CI", "σ/d, %", "95 % CI, %", "N", "frames", "u_cal", "state")


def compare_runs(runs: Iterable[Path | str]) -> str:
    """Return a plain table of the headline sizes of runs.

    Intervals are each run's own, with frames as units; runs whose headline is another measure
    or unit than the first one's are named below the table.

    Parameters
    ----------
    runs : iterable of Path
        Run folders.

    Raises
    ------
    ResultsError
        A folder is not a run.
    """
    opened = [RunFolder.open(run) for run in runs]
    names = [run.name for run in opened]
    if len(set(names)) < len(names):
        names = [str(run.path) for run in opened]
    found = [_headline(run) for run in opened]
    rows = list(zip(names, opened, found, strict=True))
    lines = [HEADS, *(_line(*row) for row in rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(HEADS))]
    text = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
    return "\n".join([*(t.rstrip() for t in text), *_warnings(rows)])


def _headline(run: RunFolder) -> Summary | None:
    summary = read_ensemble(run).headline
    return summary if summary is not None and summary.n else None


def _line(name: str, run: RunFolder, summary: Summary | None) -> tuple[str, ...]:
    state = "provisional" if run.provisional else run.state
    if summary is None:
        return (name, "no particles", *["–"] * (len(HEADS) - 3), state)
    u_cal = summary.u_cal
    return (
        name,
        summary.axis,
        number(summary.mean.value, 4),
        span(summary.mean.low, summary.mean.high),
        number(100 * summary.rel_sd.value),
        span(summary.rel_sd.low, summary.rel_sd.high, "", 100),
        f"{summary.n:,}",
        f"{summary.n_frames:,}",
        f"{number(u_cal, 2)} {summary.unit}" if math.isfinite(u_cal) else "–",
        state,
    )


def _warnings(rows: list[tuple[str, RunFolder, Summary | None]]) -> list[str]:
    """Return what keeps these runs from being compared."""
    measured = [(name, run, s) for name, run, s in rows if s is not None]
    said = []
    for name, run, s in measured:
        first, _, reference = measured[0]
        if s.axis != reference.axis:
            said.append(f"{name} measures {s.axis}, {first} {reference.axis}: not comparable")
        if s.unit == "nm" and not math.isfinite(calibration(run.frames)[1]):
            said.append(f"{name}: the uncertainty of its pixel size is not given")
    return said
