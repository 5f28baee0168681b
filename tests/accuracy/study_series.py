"""Series of fast scans against one scan of the whole dose: registration, sums, tilts.

Dots are Gaussian columns on a CsPbI3 lattice, drawn apart from the code they judge. Every
series has 20 scans of 100 e/A^2 at 0.15 A/px and drifts by up to 1 nm.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from accuracy.record import command_line
from series_drawing import Dot, dot, drift, expected, series
from stempede.backend import Backend
from stempede.frames import Batch, FrameRecord, Frames
from stempede.preprocess.align import Align
from stempede.preprocess.registration import Scans, register
from stempede_kernels.gaussian_fit import fit_gaussians

SHAPE = (512, 512)
PIXEL_A = 0.15
SCANS, DOSE = 20, 100.0
JUMP_PX = 10.0
"""An error this large is a step of the lattice, not noise: half a vector is 21 px."""

CPU = Backend.choose("cpu")


def study(scale: float = 1.0) -> dict[str, Any]:
    """Return the figures of registration, and of columns and tilts in the sums."""
    n = max(2, round(200 * scale))
    return {
        "scans": SCANS,
        "dose_e_per_A2": DOSE,
        "dot": _dots(n),
        "lattice fills the frame": _registered(max(2, n // 10), cells=20.0),
        "dot of 5 cells": _registered(max(2, n // 10), cells=5.0),
        "stage jumps by 40 px": _registered(max(2, n // 10), leap_px=40.0),
        "ways to sum": _ways(max(2, n // 5)),
    }


def _drawn(seed: int, **drawing: Any) -> tuple[np.random.Generator, Dot]:
    rng = np.random.default_rng([303, seed])
    tilt = rng.uniform(5, 12)
    return rng, dot(SHAPE, turn_deg=rng.uniform(0, 90), tilt_deg=tilt, **drawing)


def _dots(n: int) -> dict[str, float]:
    """Return registration, column and tilt errors of n dots, and of single scans of all dose."""
    shift_errors, columns, tilts = [], {"series": [], "scan": []}, {"series": [], "scan": []}
    pulls = []
    for seed in range(n):
        rng, drawn = _drawn(seed)
        path = drift(rng, SCANS)
        found = Align("average")(_batch(series(rng, SHAPE, drawn, path, DOSE)))
        shifts = found.tables["shifts"]
        error = np.stack([shifts["shift_y_px"], shifts["shift_x_px"]], 1) - path
        error -= np.nanmean(error, 0)
        shift_errors.append(error)
        se = np.stack([shifts["se_shift_y_px"], shifts["se_shift_x_px"]], 1)
        pulls.append((error / se).ravel())
        one = rng.poisson(expected(SHAPE, drawn, path[0], SCANS * DOSE)).astype(np.float32)
        for name, image in (("series", found.images[0]), ("scan", one)):
            at = _fitted(image, drawn, path[0])
            columns[name].append(_relative(at, drawn))
            tilts[name].append(_tilt_errors(at, drawn))
    rms = {k: _rms(np.concatenate(v)) for k, v in tilts.items()}
    scatter = {k: _rms(np.concatenate(v)) for k, v in columns.items()}
    return {
        **_registration(shift_errors),
        "pull_sd": float(np.nanstd(np.concatenate(pulls))),
        "tilt_rmse_deg": rms["series"],
        "tilt_rmse_one_scan_deg": rms["scan"],
        "tilt_ratio": rms["series"] / rms["scan"],
        "column_rmse_pm": 100 * PIXEL_A * scatter["series"],
        "column_rmse_one_scan_pm": 100 * PIXEL_A * scatter["scan"],
        "column_ratio": scatter["series"] / scatter["scan"],
    }


def _registered(n: int, leap_px: float = 0.0, **drawing: Any) -> dict[str, float]:
    """Return registration errors of n series."""
    errors = []
    for seed in range(n):
        rng, drawn = _drawn(1000 + seed, **drawing)
        path = drift(rng, SCANS, 66.0 - leap_px)
        angle = rng.uniform(0, 2 * np.pi)
        path[SCANS // 3 :] += leap_px * np.array([np.sin(angle), np.cos(angle)])
        images = series(rng, SHAPE, drawn, path, DOSE)
        scans = Scans.of(images, np.ones(images.shape, bool), CPU)
        error = register(scans, np.ones(SCANS, bool), 4.0).shifts - path
        errors.append(error - error.mean(0))
    return _registration(errors)


def _registration(errors: list[np.ndarray]) -> dict[str, float]:
    jumped = [bool(np.nanmax(np.abs(e)) > JUMP_PX) for e in errors]
    lengths = [PIXEL_A * np.sqrt(np.nanmean((e**2).sum(1))) for e in errors]
    return {
        "series": len(errors),
        "jumps": sum(jumped),
        "shift_rms_A": float(np.sqrt(np.mean(np.square(lengths)))),
        "shift_rms_worst_series_A": float(np.max(lengths)),
        "dropped_scans": int(sum(np.isnan(e[:, 0]).sum() for e in errors)),
    }


def _ways(n: int) -> dict[str, dict[str, float]]:
    """Return columns in sums made in several ways, with true shifts, against one scan."""
    ways = {"one scan": None, "whole pixels": _whole, "count by count": _split, "linear": _linear}
    scatter = {name: [] for name in ways}
    bias = {name: [] for name in ways}
    width = {name: [] for name in ways}
    for seed in range(n):
        rng, drawn = _drawn(2000 + seed)
        path = drift(rng, SCANS)
        scans = series(rng, SHAPE, drawn, path, DOSE)
        one = rng.poisson(expected(SHAPE, drawn, path[0], SCANS * DOSE)).astype(np.float32)
        for name, way in ways.items():
            image = one if way is None else sum(way(a, s, rng) for a, s in zip(scans, path))
            at = _fitted(np.asarray(image, np.float32), drawn, path[0], width[name])
            relative = _relative(at, drawn)
            scatter[name].append(relative)
            # the bias that the phase of a column on the grid would make
            phase = np.stack([drawn.y, drawn.x], 1) + path[0]
            phase -= np.rint(phase)
            bias[name].append((relative * np.sign(phase)).ravel())
    one_scan = _rms(np.concatenate(scatter["one scan"]))
    return {
        name: {
            "scatter_ratio": _rms(np.concatenate(scatter[name])) / one_scan,
            "phase_bias_px": float(np.mean(np.concatenate(bias[name]))),
            "width_px": float(np.mean(width[name])),
        }
        for name in ways
    }


def _whole(image: np.ndarray, shift: np.ndarray, _rng: np.random.Generator) -> np.ndarray:
    return np.roll(image, tuple((-np.rint(shift)).astype(int)), (0, 1))


def _split(image: np.ndarray, shift: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move each count to one of the four pixels it falls between, at random."""
    low = np.floor(-shift).astype(int)
    up, right = -shift - low
    moved = np.roll(image, tuple(low), (0, 1)).astype(np.int64)
    down = rng.binomial(moved, up)
    rows = moved - down + np.roll(down, 1, 0)
    across = rng.binomial(rows, right)
    return (rows - across + np.roll(across, 1, 1)).astype(np.float32)


def _linear(image: np.ndarray, shift: np.ndarray, _rng: np.random.Generator) -> np.ndarray:
    """Resample between pixels, as registration usually does."""
    low = np.floor(-shift).astype(int)
    up, right = -shift - low
    moved = np.roll(image, tuple(low), (0, 1))
    rows = (1 - up) * moved + up * np.roll(moved, 1, 0)
    return (1 - right) * rows + right * np.roll(rows, 1, 1)


def _batch(images: np.ndarray) -> Batch:
    records = tuple(
        FrameRecord(k, "/series.tif", k, images.shape[1:], "uint16") for k in range(len(images))
    )
    return Frames(records, lambda r: images[r.frame]).read(range(len(images)), CPU)


def _fitted(
    image: np.ndarray, drawn: Dot, shift: np.ndarray, widths: list[float] | None = None
) -> np.ndarray:
    """Return fitted positions of the drawn columns, widths shared by those of one site."""
    n = len(drawn.y)
    start = np.zeros((n, 7))
    start[:, 0], start[:, 1] = drawn.y + shift[0], drawn.x + shift[1]
    start[:, 2] = drawn.electrons * SCANS * DOSE / 200 / (2 * np.pi * 9)
    start[:, 3:5], start[:, 6] = 3.0, 0.05
    group = np.minimum(drawn.site, 2).astype(np.int64)
    fits = fit_gaussians(
        image[None],
        np.zeros(n, np.int64),
        start,
        model="circular",
        noise="poisson",
        window=15,
        group=group,
    )
    if widths is not None:
        widths.append(float(np.median(fits.parameters[:, 3])))
    return np.asarray(fits.parameters[:, :2])


def _relative(at: np.ndarray, drawn: Dot) -> np.ndarray:
    """Return (n, 2) position errors, px, without what all columns share."""
    error = at - np.stack([drawn.y, drawn.x], 1)
    return error - np.median(error, 0)


def _tilt_errors(at: np.ndarray, drawn: Dot) -> np.ndarray:
    """Return errors of the tilts of sites with four X and four neighbours."""
    true = np.stack([drawn.y, drawn.x], 1)
    return _tilts(at, drawn) - _tilts(true, drawn)


def _tilts(at: np.ndarray, drawn: Dot) -> np.ndarray:
    index = {(i, j): k for k, (i, j) in enumerate(zip(drawn.i.tolist(), drawn.j.tolist()))}
    found = []
    for (i, j), k in index.items():
        if drawn.site[k] != 0 or i % 1 != 0:
            continue
        angles = []
        for di, dj in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            x, pb = index.get((i + di / 2, j + dj / 2)), index.get((i + di, j + dj))
            if x is not None and pb is not None:
                bond, edge = at[x] - at[k], at[pb] - at[k]
                cross = edge[1] * bond[0] - edge[0] * bond[1]
                angles.append(np.rad2deg(np.arctan2(cross, edge @ bond)))
        if len(angles) == 4:
            found.append(np.mean(angles))
    return np.array(found)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean(values**2)))


if __name__ == "__main__":
    command_line("series", study)
