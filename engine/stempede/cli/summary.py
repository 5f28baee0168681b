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
    if "columns" in results.tables():
        return _of_columns(run, results)
    record, frames = results.run, results.read("frames")
    # a recipe of one's own need not reduce to an ensemble
    ensemble = results.read("ensemble") if "ensemble" in results.tables() else None
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


def _of_columns(run: Path, results: Any) -> dict[str, Any]:
    """Return the headline of a columns run.

    ``columns accepted inferred crystals octahedra`` are numbers of rows, ``crystal_tilts_deg``
    has (staggered tilt, standard error) of each crystal.
    """
    record, frames, columns = results.run, results.read("frames"), results.read("columns")
    crystals, octahedra = results.read("crystals"), results.read("octahedra")
    measured = frames["state"] == "measured"
    inferred = columns["state"] == "INFERRED"
    seconds = record["measure_s"]
    tilts = zip(
        crystals["staggered_tilt_deg"].tolist(),
        crystals["se_staggered_tilt_deg"].tolist(),
        strict=True,
    )
    return {
        "run": str(run),
        "state": record["state"],
        "frames": len(frames),
        "problems": int((~measured).sum()),
        "columns": len(columns),
        "accepted": int(columns["accepted"].sum()),
        "inferred": int((columns["accepted"] & inferred).sum()),
        "crystals": len(crystals),
        "octahedra": int(np.isfinite(octahedra["tilt_deg"]).sum()),
        "crystal_tilts_deg": [[t, se] for t, se in tilts if math.isfinite(t)],
        "wall_s": record["wall_s"],
        "columns_per_min": 60 * len(columns) / seconds if seconds else None,
    }


def _headline(ensemble: Any, quantity: str) -> dict[str, Any]:
    """Return the session's edge-weighted row of the headline measure, as plain values."""
    if ensemble is None:
        return {}
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
    if "columns" in summary:
        return _columns_lines(summary)
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


def _columns_lines(summary: dict[str, Any]) -> list[str]:
    lines = [
        f"frames           {summary['frames']:,}"
        + (f", {summary['problems']:,} with problems" if summary["problems"] else ""),
        f"columns          {summary['columns']:,} found, {summary['accepted']:,} accepted, "
        f"{summary['inferred']:,} of them inferred from the lattice",
        f"crystals         {summary['crystals']:,} with {summary['octahedra']:,} octahedra",
    ]
    tilts = summary["crystal_tilts_deg"]
    if tilts:
        middle = sorted(abs(t) for t, _ in tilts)[len(tilts) // 2]
        typical = sorted(se for _, se in tilts)[len(tilts) // 2]
        lines.append(f"|staggered tilt| {middle:.2f}° (median crystal, se {typical:.2f}°)")
    if summary["columns_per_min"]:
        lines.append(f"columns/min      {summary['columns_per_min']:,.0f}")
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
