"""Averages over simulated dots, from images through the whole route: is each error true?

Uniform dots of 7 × 6 cells at the doses and detectors of ``p04`` (200 e/Å²), ``p05`` (500) and
``p10`` (300, analog). Of each dot the error over its stated one is taken of the mean staggered
tilt, of every layer's mean, of core minus shell, and of a and b.

Run from the repository: ``PYTHONPATH=tests python -m accuracy.study_dot_averages --scale 1``;
``--parts FOLDER`` keeps what is measured there, block by block, and goes on from it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from accuracy.columns_route import match_sites, measure
from accuracy.record import write
from accuracy.study_columns_route import PIXEL_NM, SCANS, pulls_of
from stempede.simulate.columns import Dot, Scene, Tilt
from stempede.tables import Table

DOTS, BLOCK = 510, 15
FRAME_PX = 330
TILT_DEG = 9.0
QUANTITIES = (
    "staggered_tilt_deg",
    "layer 0",
    "layer 1",
    "layer 2",
    "core_minus_shell_deg",
    "a_nm",
    "b_nm",
)


def pulls(name: str, dots: int, seed: int = 0) -> np.ndarray:
    """Return all quantities' pulls of a few dots of one dose: what a quick look has time for."""
    found = pulls_of_block(name, seed, 0, dots)
    return np.array([z for dot in found for q, z in dot.items() if q in QUANTITIES])


def study(scale: float, seed: int = 0, parts: Path | None = None) -> dict[str, Any]:
    """Return mean and spread of the pulls by dose and quantity."""
    cells = {}
    blocks = max(1, round(scale * DOTS / BLOCK))
    for name in SCANS:
        found = [_kept(name, seed, k, parts) for k in range(blocks)]
        cells[name] = summary([pulls for block in found for pulls in block])
    return {"seed": seed, "cells": cells}


def summary(dots: list[dict[str, float]]) -> dict[str, Any]:
    """Return the figures of one dose from the pulls of each dot."""
    figures: dict[str, Any] = {"dots": len(dots)}
    for quantity in QUANTITIES:
        z = np.array([pulls[quantity] for pulls in dots if quantity in pulls])
        figures[quantity] = {
            "dots": len(z),
            "mean": float(z.mean()),
            "sd": float(z.std()),
            "se_sd": float(z.std() / np.sqrt(2 * len(z))),
            "within_1_96": float((np.abs(z) < 1.96).mean()),
        }
    return figures


def _kept(name: str, seed: int, block: int, parts: Path | None) -> list[dict[str, float]]:
    """Return the pulls of a block of dots, from its file where there is one."""
    if parts is None:
        return pulls_of_block(name, seed, block)
    path = parts / f"{name}-{seed}-{block:03d}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(pulls_of_block(name, seed, block)), encoding="utf-8")
    kept: list[dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    return kept


def pulls_of_block(name: str, seed: int, block: int, count: int = BLOCK) -> list[dict[str, float]]:
    """Measure a block of dots of one dose; a dot that is not found as one crystal has no pulls."""
    scan = replace(SCANS[name], height_px=FRAME_PX, width_px=FRAME_PX)
    dots = [
        Dot(cells=(7, 6), cut_corners=k % 2, tilt=Tilt("uniform", TILT_DEG)) for k in range(count)
    ]
    number = 1000 * (1 + list(SCANS).index(name)) + block + 100_000 * seed
    found, truths = measure(tuple(Scene((dot,), scan) for dot in dots), number)
    pulls = []
    for k, truth in enumerate(truths):
        rows, own = match_sites(found, truth, k, PIXEL_NM)
        pulls.append(pulls_of(found, truth, k, rows, own) | _layers(found["layers"], k))
    return pulls


def _layers(layers: Table, frame: int) -> dict[str, float]:
    """Return the pulls of the layers' means of a dot; its parity may start at another site."""
    rows = (layers["frame"] == frame) & (layers["quantity"] == "staggered_tilt_deg")
    known = rows & np.isfinite(layers["mean"]) & np.isfinite(layers["se"])
    means, errors = layers["mean"][known], layers["se"][known]
    if not len(means):
        return {}
    true = TILT_DEG * np.sign(np.median(means))
    numbers = layers["layer"][known]
    return {
        f"layer {n}": float((mean - true) / se)
        for n, mean, se in zip(numbers.tolist(), means, errors)
        if n >= 0
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="run the study of averages over dots")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the study; 1 writes")
    parser.add_argument("--parts", type=Path, help="folder of blocks that are done")
    given = parser.parse_args()
    result = study(given.scale, parts=given.parts)
    print(json.dumps(result, indent=1))
    if given.scale >= 1:
        print(write("dot_averages", result))
