"""Elongation of columns and the view it names, from images through the whole route.

Dots of 6 × 6 cells whose X columns stand as halves to either side of their bonds' axis (a tilt
that alternates along the beam), whose Pb+X columns do so along 25° from a, or that are turned as
a whole, at doses where columns have widths of their own; the probe is astigmatic by 3 %.

Run from the repository: ``PYTHONPATH=tests python -m accuracy.study_elongation --scale 1``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from accuracy.columns_route import measure
from accuracy.record import command_line
from stempede.simulate.columns import Dot, Scan, Scene, Tilt
from stempede.tables import Table

DOTS = 12
DOSES = (4000.0, 10000.0)
PBX_DEG = 25.0
# staggered tilt in degrees, spread of X and of Pb+X in pm, view
CASES = {
    "untilted": (0.0, 0.0, 0.0, "undecided"),
    "X 15 pm": (0.0, 15.0, 0.0, "a--like"),
    "X 30 pm, Pb+X 20 pm": (0.0, 30.0, 20.0, "a--like"),
    "X 45 pm": (0.0, 45.0, 0.0, "a--like"),
    "9°": (9.0, 0.0, 0.0, "c+-like"),
    "9°, X 20 pm, Pb+X 30 pm": (9.0, 20.0, 30.0, "c+-like"),
    "3°, X 40 pm": (3.0, 40.0, 0.0, "a--like"),
}


def study(scale: float, seed: int = 0, doses: Sequence[float] = DOSES) -> dict[str, Any]:
    """Return found spreads, coverage and views by dose and case, and slopes by dose."""
    n = max(1, round(scale * DOTS))
    cells = {}
    for k, dose in enumerate(doses):
        cases = {
            name: _case(dose, case, n, 1000 * seed + 100 * k + c)
            for c, (name, case) in enumerate(CASES.items())
        }
        cells[f"{dose:.0f} e/A2"] = {
            "cases": cases,
            **{f"slope_{of}": slope(cases, of) for of in ("x", "pbx")},
        }
    return {"seed": seed, "dots per case": n, "cells": cells}


def slope(cases: dict[str, Any], of: str) -> float:
    """Return the least-squares slope through zero of found on true spread."""
    true = np.array([case[of]["true_pm"] for case in cases.values()])
    found = np.array([case[of]["found_pm"] for case in cases.values()])
    return float(true @ found / (true @ true))


def _case(dose: float, case: tuple[float, float, float, str], n: int, seed: int) -> dict[str, Any]:
    tilt, x, pbx, view = case
    scan = Scan(
        height_px=330,
        width_px=330,
        dose_e_per_A2=dose,
        carbon=0.1,
        astigmatism=0.03,
        astigmatism_deg=40.0,
    )
    spread = {"x_spread_pm": x, "pbx_spread_pm": pbx, "pbx_spread_deg": PBX_DEG}
    dot = Dot(cells=(6, 6), tilt=Tilt("uniform", tilt), **spread)
    found, truths = measure((Scene((dot,), scan),) * n, seed)
    crystals, octahedra = found["crystals"], found["octahedra"]
    views = [str(v) for v in crystals["view"]]
    figures: dict[str, Any] = {
        "views": {v: views.count(v) for v in sorted(set(views))},
        "named_rightly": views.count(view) / n,
        "x": _figures(crystals, octahedra, "x_elongation_pm", x),
        "pbx": _figures(crystals, octahedra, "pbx_elongation_pm", pbx),
    }
    if pbx:
        turn = np.array([t["truth_crystals"]["rotation_deg"][0] for t in truths]) + PBX_DEG
        off = (crystals["pbx_elongation_angle_deg"] - turn[crystals["frame"]] + 90) % 180 - 90
        figures["pbx"]["angle_rms_deg"] = float(np.sqrt(np.mean(off**2)))
    return figures


def _figures(crystals: Table, octahedra: Table, name: str, true: float) -> dict[str, Any]:
    """Return what crystals give in the mean (of squares, which noise does not shift), and sites."""
    value, se = crystals[name], crystals[f"se_{name}"]
    square = np.mean(np.sign(value) * value**2)
    sites = (octahedra[name] - true) / octahedra[f"se_{name}"]
    return {
        "true_pm": true,
        "found_pm": float(np.sign(square) * np.sqrt(abs(square))),
        "crystals_within_2_se": float(np.mean(np.abs(value - true) < 2 * se)),
        "median_se_pm": float(np.median(se)),
        "sites_within_2_se": float(np.nanmean(np.abs(sites) < 2)),
        "with_value": float(np.isfinite(octahedra[name]).mean()),
    }


if __name__ == "__main__":
    command_line("elongation", study)
