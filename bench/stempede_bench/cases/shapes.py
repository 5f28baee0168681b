"""Superellipses fitted and drawn against the same with SciPy and NumPy, one by one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from stempede_bench.contract import Case, Contender, DisagreementError

N_FITS, N_DRAWN, SIDE = 60, 200, 44
SAMPLES = 4


@lru_cache(maxsize=1)
def shapes(n: int) -> np.ndarray:
    """Return (n, 7) shapes that fill most of a crop, from a fixed seed."""
    rng = np.random.default_rng(11)
    rows = np.empty((n, 7))
    rows[:, :2] = SIDE / 2 - 0.5 + rng.uniform(-1, 1, (n, 2))
    rows[:, 2] = rng.uniform(13, 16, n)
    rows[:, 3] = rng.uniform(0, 2 * np.pi, n)
    rows[:, 4] = np.exp(rng.uniform(np.log(0.8), np.log(2), n))
    rows[:, 5] = rng.integers(1, 7, n)
    rows[:, 6] = rng.uniform(1, 1.6, n)
    return rows


def radius(theta: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Return equation 1."""
    half = 0.5 * shape[5] * (theta - shape[3])
    first, second = (shape[6] * np.abs(np.cos(half))) ** shape[4], np.abs(np.sin(half)) ** shape[4]
    result: np.ndarray = shape[2] * (first + second) ** (-1 / shape[4])
    return result


class Drawing(Case):
    """Crops of one shape each: exact shares against sixteen samples a pixel."""

    name = "superellipse-drawing"
    unit = "crops"
    goal = 10.0

    def items(self) -> int:
        """Return the crops."""
        return N_DRAWN

    def contenders(self) -> tuple[Contender, ...]:
        """Return the kernel's drawing and a vectorised one per crop."""
        from stempede_kernels.superellipse import render

        rows = shapes(N_DRAWN)
        at = (np.arange(SIDE * SAMPLES) + 0.5) / SAMPLES - 0.5

        def sampled() -> np.ndarray:
            drawn = np.empty((len(rows), SIDE, SIDE), np.float32)
            for k, shape in enumerate(rows):
                dy, dx = at[:, None] - shape[0], at[None] - shape[1]
                inside = np.hypot(dy, dx) <= radius(np.arctan2(dy, dx), shape)
                blocks = inside.reshape(SIDE, SAMPLES, SIDE, SAMPLES)
                drawn[k] = blocks.mean(axis=(1, 3))
            return drawn

        return (
            Contender("stempede_kernels.superellipse.render", lambda: render(rows, SIDE)),
            Contender("numpy sampling", sampled),
        )

    def agree(self, outputs: Mapping[str, Any]) -> dict[str, float]:
        """Compare areas and pixels; sixteen samples tell a pixel to some twentieth."""
        ours, theirs = outputs.values()
        areas = np.abs(ours.sum(axis=(1, 2)) / theirs.sum(axis=(1, 2)) - 1).max()
        pixels = float(np.sqrt(np.mean((ours - theirs) ** 2)))
        if areas > 0.02 or pixels > 0.03:
            raise DisagreementError(f"areas differ by {areas:.3f}, pixels by {pixels:.3f}")
        return {"largest relative difference of area": float(areas), "rms of pixels": pixels}


class Fitting(Case):
    """One fit per outline, from the same starts, with the same distances and derivatives."""

    name = "superellipse-fit"
    unit = "fits"
    goal = 20.0

    def items(self) -> int:
        """Return the fits."""
        return N_FITS

    def contenders(self) -> tuple[Contender, ...]:
        """Return the kernel's fits and ``scipy.optimize.least_squares`` per outline."""
        from scipy.optimize import least_squares

        from stempede_kernels.superellipse import cpu
        from stempede_kernels.superellipse.reference import misfits

        outlines, order, start = _problem()
        region = np.arange(N_FITS)

        def one_by_one() -> np.ndarray:
            costs = np.empty(N_FITS)
            for k in range(N_FITS):
                points = outlines.points[outlines.begin[k] : outlines.begin[k + 1]].astype(float)
                root, d = np.sqrt(points[:, 2]), int(order[k])
                found = least_squares(
                    lambda t, points=points, root=root, d=d: root * misfits(points, t, d)[0],
                    start[k],
                    jac=lambda t, points=points, root=root, d=d: (
                        root[:, None] * misfits(points, t, d)[1]
                    ),
                    ftol=1e-4,
                )
                costs[k] = 2 * found.cost / points[:, 2].sum()
            return costs

        return (
            Contender(
                "stempede_kernels.superellipse",
                lambda: cpu.fit(outlines, region, order, start, 40).cost,
            ),
            Contender("scipy.optimize.least_squares", one_by_one),
        )

    def agree(self, outputs: Mapping[str, Any]) -> dict[str, float]:
        """Compare root-mean-square distances: most fits end alike, none of ours far worse."""
        ours, theirs = (np.sqrt(cost) for cost in outputs.values())
        apart = ours - theirs
        if np.median(np.abs(apart)) > 0.01 or apart.max() > 0.2:
            raise DisagreementError(f"distances differ by up to {np.abs(apart).max():.3f} px")
        return {
            "median difference of distance, px": float(np.median(np.abs(apart))),
            "largest by which ours is worse, px": float(apart.max()),
        }


@lru_cache(maxsize=1)
def _problem() -> tuple[Any, np.ndarray, np.ndarray]:
    """Return outlines of drawn shapes, d, and starts some way off the truth."""
    from stempede_kernels.superellipse import cpu, render

    rows = shapes(N_DRAWN)[:N_FITS]
    labels = (render(rows, SIDE) >= 0.5).astype(np.int32)
    boxes = []
    for mask in labels > 0:
        y, x = np.nonzero(mask)
        boxes.append([y.min(), x.min(), y.max() + 1, x.max() + 1])
    number, box = np.arange(N_FITS), np.array(boxes)
    outlines = cpu.trace(labels, number, np.ones(N_FITS, np.int64), box)
    start = np.empty((N_FITS, 6))
    start[:, :2] = rows[:, :2] - outlines.middle + 0.5
    start[:, 2] = np.log(rows[:, 2]) - 0.05
    start[:, 3] = rows[:, 3] + 0.1 / rows[:, 5]
    start[:, 4], start[:, 5] = np.log(rows[:, 4]) + 0.2, np.log(rows[:, 6]) + 0.1
    return outlines, rows[:, 5].astype(np.int64), start
