"""What a finished run says in a terminal, and with which exit status it leaves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

UNAVAILABLE = "CI not available (fewer than 5 frames)"


def summarise(run: Path) -> dict[str, Any]:
    """Return the headline of a run as plain numbers.

    Parameters
    ----------
    run : Path
        Run folder.

    Returns
    -------
    dict
        ``frames problems particles accepted size unit mean mean_ci relative_sd relative_sd_ci
        wall_s particles_per_min state``; None where a number cannot be had.
    """
    from stempede.io.results import Results

    results = Results(run)
    record, frames, ensemble = results.run, results.read("frames"), results.read("ensemble")
    mean, spread = _headline(ensemble, "mean"), _headline(ensemble, "relative_sd")
    measured = frames["state"] == "measured"
    # frames read, measured and written; not the start of workers or the reductions
    seconds = record["measure_s"]
    n_particles = int(frames["n_particles"][measured].clip(0).sum())
    return {
        "run": str(run),
        "state": record["state"],
        "frames": len(frames),
        "problems": int((~measured).sum()),
        "particles": n_particles,
        "accepted": int(frames["n_accepted"][measured].clip(0).sum()),
        "size": mean.get("size"),
        "unit": mean.get("unit"),
        "mean": mean.get("value"),
        "mean_ci": mean.get("ci"),
        "relative_sd": spread.get("value"),
        "relative_sd_ci": spread.get("ci"),
        "wall_s": record["wall_s"],
        "particles_per_min": 60 * n_particles / seconds if seconds else None,
    }


def _headline(ensemble: Any, quantity: str) -> dict[str, Any]:
    """Return the session's edge-weighted row of the headline measure, as plain values."""
    here = (
        (ensemble["scope"] == "session")
        & (ensemble["selection"] == "accepted")
        & (ensemble["quantity"] == quantity)
        & (ensemble["weighting"] == "edge")
        & ensemble["headline"]
    )
    rows = np.flatnonzero(here)
    if not len(rows) or not math.isfinite(ensemble["value"][rows[0]]):
        return {}
    row = {name: ensemble[name][rows[0]] for name in ("size", "unit", "value")}
    interval = [float(ensemble[name][rows[0]]) for name in ("ci_low", "ci_high")]
    finite = all(math.isfinite(v) for v in interval)
    return {
        "size": str(row["size"]),
        "unit": str(row["unit"]),
        "value": float(row["value"]),
        "ci": interval if finite else None,
    }


def describe(summary: dict[str, Any]) -> list[str]:
    """Return the lines a person reads."""
    lines = [
        f"frames           {summary['frames']:,}"
        + (f", {summary['problems']:,} with problems" if summary["problems"] else ""),
        f"particles        {summary['particles']:,} found, {summary['accepted']:,} accepted",
    ]
    if summary["mean"] is not None:
        name, unit = summary["size"].replace("_", " "), summary["unit"]
        lines.append(f"mean {name:<12}{size_with_interval(summary, 'mean', unit)}")
        lines.append(f"σ/d              {size_with_interval(summary, 'relative_sd', '')}")
    if summary["particles_per_min"]:
        lines.append(f"particles/min    {summary['particles_per_min']:,.0f}")
    return lines


def size_with_interval(summary: dict[str, Any], name: str, unit: str) -> str:
    """Return a value with its 95 % interval, or with the reason why it has none."""
    value, interval = summary[name], summary[f"{name}_ci"]
    digits = ".3f" if not unit else ".2f"
    text = f"{value:{digits}} {unit}".rstrip()
    if interval is None:
        return f"{text}, {UNAVAILABLE}"
    return f"{text} [{interval[0]:{digits}}, {interval[1]:{digits}}]"


def status(summary: dict[str, Any], allowed: float) -> int:
    """Return 1 where too many frames have problems, or none was measured; else 0."""
    share = summary["problems"] / summary["frames"] if summary["frames"] else 1.0
    return int(share > allowed or summary["problems"] == summary["frames"])
