"""What dropping particles at the border does to the mean, and what the weights leave of it.

Run from the repository: ``PYTHONPATH=tests python -m accuracy.study_edge_bias --scale 1``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from accuracy.record import command_line
from stempede.particles.weights import Box, miles_lantuejoul

HEIGHT, WIDTH = 800, 1024
PARTICLES = 400_000
RELATIVE_SD = 0.25
CAPTION: Box = (720, 700, 800, 1024)

# mean diameter (px), length over width, excluded boxes
CELLS: dict[str, tuple[float, float, tuple[Box, ...]]] = {
    "discs of 40 px": (40.0, 1.0, ()),
    "discs of 80 px": (80.0, 1.0, ()),
    "discs of 200 px": (200.0, 1.0, ()),
    "ellipses of 120 px, 3 to 1": (120.0, 3.0, ()),
    "discs of 80 px, caption": (80.0, 1.0, (CAPTION,)),
    "discs of 200 px, caption": (200.0, 1.0, (CAPTION,)),
}


def study(scale: float, seed: int = 0) -> dict[str, Any]:
    """Return relative bias of the raw and the weighted mean size per cell, with its error."""
    n = round(scale * PARTICLES)
    cells = {
        name: _cell(n, *cell, np.random.default_rng([seed, k]))
        for k, (name, cell) in enumerate(CELLS.items())
    }
    return {"particles": n, "seed": seed, "cells": cells}


def _cell(
    n: int, mean: float, aspect: float, boxes: tuple[Box, ...], rng: np.random.Generator
) -> dict[str, float]:
    s2 = np.log1p(RELATIVE_SD**2)
    size = mean * np.exp(np.sqrt(s2) * rng.standard_normal(n) - 0.5 * s2)
    # extents of an ellipse of these axes at a random angle
    major, minor = size * np.sqrt(aspect), size / np.sqrt(aspect)
    turn = rng.uniform(0, np.pi, n)
    fy = np.hypot(major * np.sin(turn), minor * np.cos(turn))
    fx = np.hypot(major * np.cos(turn), minor * np.sin(turn))
    reach = 2.0 * float(major.max())
    y = rng.uniform(-reach / 2, HEIGHT + reach / 2, n)
    x = rng.uniform(-reach / 2, WIDTH + reach / 2, n)
    whole = (y > fy / 2) & (y < HEIGHT - fy / 2) & (x > fx / 2) & (x < WIDTH - fx / 2)
    for y0, x0, y1, x1 in boxes:
        # the disc itself, not its bounding box, decides whether it is cut
        dy, dx = np.clip(y, y0, y1) - y, np.clip(x, x0, x1) - x
        whole &= np.hypot(dy, dx) > size / 2
    kept = size[whole]
    w = miles_lantuejoul(HEIGHT, WIDTH, fy[whole], fx[whole], boxes)
    weighted = np.average(kept, weights=w)
    error = np.sqrt((w**2 * (kept - weighted) ** 2).sum()) / w.sum()
    return {
        "kept": int(whole.sum()),
        "raw_bias": float(kept.mean() / mean - 1),
        "weighted_bias": float(weighted / mean - 1),
        "standard_error": float(error / mean),
    }


if __name__ == "__main__":
    command_line("edge_bias", study)
