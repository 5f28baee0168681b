"""How well shapes are found: drawn superellipses as masks and through the route, real particles.

A shape is told apart if, drawn without noise 132 px large, no superellipse of another d overlaps
it by more than 0.97. Overlaps are those of the fitted shape with the particle's own mask.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from accuracy.drawn_shapes import Shapes, cover, draw, expose, measured, through_the_route
from accuracy.record import command_line
from stempede import open_frames
from stempede_kernels.superellipse import Fits, fit

# longer side of the box (px), electrons per pixel, frames
CELLS = ((44.0, 200.0, 5), (20.0, 200.0, 1), (44.0, 60.0, 3), (100.0, 200.0, 6))
BLUR_PX, CONTRAST = 1.0, 0.4
LARGE_PX, MIDDLE_PX = 132.0, 140
OTHER_FITS = 0.97
SPIKY = 0.6
"""p below which bounds are lower."""
SETS = {
    "nanocrystals": "bf-nanocrystals-masks/images",
    "tetrahedra": "bf-au-tetrahedra-prisms-masks/tetrahedra/image",
    "prisms": "bf-au-tetrahedra-prisms-masks/patchy-nanoprism/image",
    "one crowded image": "bf-nanocrystals-sophon/images",
}
"""Public sets by their folder."""


def study(scale: float) -> dict[str, Any]:
    """Return by cell what the masks and the route give; below scale 1 the first cell alone."""
    cells = {}
    for extent, electrons, frames in CELLS if scale >= 1 else CELLS[:1]:
        name = f"{extent:g} px, {electrons:g} electrons per px"
        cells[name] = cell(extent, electrons, max(1, round(frames * scale)))
    return {"cells": cells, "blur_px": BLUR_PX, "contrast": CONTRAST}


def cell(extent_px: float, electrons: float, n_frames: int) -> dict[str, Any]:
    """Draw frames, measure true masks and what the route makes of the images."""
    rng = np.random.default_rng([int(extent_px), int(electrons)])
    truths, labels, images = [], [], []
    for _ in range(n_frames):
        shapes = draw(rng, extent_px)
        share, mask = cover(shapes)
        truths.append(shapes)
        labels.append(mask)
        images.append(expose(share, rng, blur_px=BLUR_PX, electrons=electrons, contrast=CONTRAST))
    drawn, truth = _masks(np.stack(labels), truths)
    routed, matched, found = _route(np.stack(images), np.stack(labels), truths)
    return {
        "particles": len(truth),
        "found": found,
        "true masks": _score(drawn, truth),
        "route": _score(routed, matched),
    }


def _masks(labels: np.ndarray, truths: list[Shapes]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Fit the true masks."""
    frame, label, box = _boxes(labels)
    truth = np.stack([truths[f].rows()[k - 1] for f, k in zip(frame, label, strict=True)])
    return _columns(fit(labels, frame, label, box)), truth


def _columns(fits: Fits) -> dict[str, np.ndarray]:
    return {
        "p": fits.shapes[:, 4],
        "d": fits.shapes[:, 5],
        "l_ratio": fits.shapes[:, 6],
        "jaccard": fits.jaccard,
        "se_log_p": fits.errors[:, 4],
        "se_log_l": fits.errors[:, 5],
    }


def _boxes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return frame, label and box of each region of (n, y, x) labels."""
    from scipy.ndimage import find_objects

    rows = [
        (k, number + 1, where[0].start, where[1].start, where[0].stop, where[1].stop)
        for k, frame in enumerate(labels)
        for number, where in enumerate(find_objects(frame))
        if where is not None
    ]
    table = np.array(rows)
    return table[:, 0], table[:, 1], table[:, 2:]


def _route(
    images: np.ndarray, labels: np.ndarray, truths: list[Shapes]
) -> tuple[dict[str, np.ndarray], np.ndarray, float]:
    """Run the route; return its accepted particles, the truth of each, and the share found."""
    parts: list[dict[str, np.ndarray]] = []
    matched = []
    for k, batch in enumerate(through_the_route(images)):
        particles = batch.tables["particles"]
        rows = np.flatnonzero(particles["accepted"])
        own, true = batch.maps["labels"][0], labels[k]
        pairs = np.zeros((own.max() + 1, true.max() + 1), np.int64)
        np.add.at(pairs, (own.ravel(), true.ravel()), 1)
        pairs[:, 0] = 0
        which = pairs[particles["label"][rows]].argmax(axis=1)
        rows, which = rows[which > 0], which[which > 0]
        matched.append(truths[k].rows()[which - 1])
        columns = {n: particles[n][rows] for n in ("p", "d", "l_ratio", "jaccard")}
        columns["se_log_p"] = particles["se_p"][rows] / columns["p"]
        columns["se_log_l"] = particles["se_l_ratio"][rows] / columns["l_ratio"]
        parts.append(columns)
    found = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    truth = np.concatenate(matched)
    return found, truth, len(truth) / sum(len(t.y) for t in truths)


def told_apart(truth: np.ndarray) -> np.ndarray:
    """Return for (n, 7) shapes whether no other d follows them, drawn large and without noise."""
    from stempede_kernels.superellipse import render

    shapes = truth.copy()
    unit = shapes * [0, 0, 0, 1, 1, 1, 1] + [MIDDLE_PX, MIDDLE_PX, 40, 0, 0, 0, 0]
    side = np.empty(len(shapes))
    for k, mask in enumerate(render(unit, 2 * MIDDLE_PX + 1) >= 0.5):
        rows, columns = np.nonzero(mask)
        side[k] = max(np.ptp(rows), np.ptp(columns)) + 1
    unit[:, 2] *= LARGE_PX / side
    labels = (render(unit, 2 * MIDDLE_PX + 1) >= 0.5).astype(np.int32)
    frame, label, box = _boxes(labels)
    found = fit(labels, frame, label, box)
    right = found.shapes[:, 5] == truth[:, 5]
    other = np.where(right, np.nan_to_num(found.jaccard_other), found.jaccard)
    result: np.ndarray = other <= OTHER_FITS
    return result


def _score(found: dict[str, np.ndarray], truth: np.ndarray) -> dict[str, float]:
    p, d, l_ratio = truth[:, 4], truth[:, 5], truth[:, 6]
    judged = told_apart(truth) & (d <= 4)
    right = found["d"] == d
    sure = judged & right & (p >= SPIKY)
    log_p, log_l = np.log(found["p"] / p)[sure], np.log(found["l_ratio"] / l_ratio)[sure]
    spiky = p < SPIKY
    return {
        "jaccard": float(np.nanmean(found["jaccard"][~spiky])),
        "jaccard_spiky": float(np.nanmean(found["jaccard"][spiky])) if spiky.any() else np.nan,
        "told_apart": int(judged.sum()),
        "d_right": float(right[judged].mean()),
        "d_right_not_spiky": float(right[judged & ~spiky].mean()),
        "log_p_median_error": float(np.median(log_p)),
        "log_p_spread": _spread(log_p),
        "log_l_median_error": float(np.median(log_l)),
        "log_l_spread": _spread(log_l),
        "log_p_pull_spread": _spread(log_p / found["se_log_p"][sure]),
        "log_l_pull_spread": _spread(log_l / found["se_log_l"][sure]),
    }


def _spread(values: np.ndarray) -> float:
    """Return a robust standard deviation about the median."""
    return float(1.4826 * np.nanmedian(np.abs(values - np.nanmedian(values))))


def real(data: Path, most_images: int = 4) -> dict[str, Any]:
    """Return by public set how well fitted shapes overlap the particles the route accepts."""
    result = {}
    for name, folder in SETS.items():
        frames = open_frames(data / "micrographs" / folder)
        tables = [b.tables["particles"] for b in measured(frames, most_images)]
        overlaps = np.concatenate([t["jaccard"][t["accepted"]] for t in tables])
        result[name] = {
            "particles": len(overlaps),
            "jaccard": float(np.nanmean(overlaps)),
            "below_0.8": float(np.nanmean(overlaps < 0.8)),
        }
    return result


if __name__ == "__main__":
    command_line("shapes", study)
