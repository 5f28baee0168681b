"""Weights against edge bias: how likely the frame was to hold a particle of this size whole."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

Box = tuple[int, int, int, int]

# inclusion-exclusion doubles with each box; frames have one bar, rarely two or three
_MOST_BOXES = 6


def miles_lantuejoul(
    height_px: int,
    width_px: int,
    extent_y_px: np.ndarray,
    extent_x_px: np.ndarray,
    boxes: Sequence[Box] = (),
) -> np.ndarray:
    """Return the Miles-Lantuejoul weight of particles that a frame holds whole.

    A particle of extents f_y, f_x that lies anywhere is whole in a frame with a
    chance in proportion to ``(H - f_y) (W - f_x)``; its weight is ``H W`` over that
    (Serra, Image Analysis and Mathematical Morphology, 1982, ch. VIII). Where
    boxes are excluded, the places at which the particle's bounding box would meet
    one of them are taken off, their unions counted once.

    Parameters
    ----------
    height_px, width_px : int
        Shape of the frame.
    extent_y_px, extent_x_px : (n,) array
        Extents of the particles' bounding boxes.
    boxes : sequence of (y0, x0, y1, x1)
        Excluded rectangles, ends exclusive; the six largest are taken into account.

    Returns
    -------
    (n,) float64 array
        At least 1; infinite chances of being cut (a particle as large as the frame) give the
        weight of the largest particle that still has one place to lie.
    """
    fy = np.asarray(extent_y_px, dtype=np.float64)
    fx = np.asarray(extent_x_px, dtype=np.float64)
    room = (height_px - fy) * (width_px - fx)
    largest = sorted(boxes, key=lambda b: (b[2] - b[0]) * (b[3] - b[1]))[-_MOST_BOXES:]
    spans = [_forbidden(box, fy, fx, height_px, width_px) for box in largest]
    for n in range(1, len(spans) + 1):
        for some in combinations(spans, n):
            low = np.maximum.reduce([s[0] for s in some])
            high = np.minimum.reduce([s[1] for s in some])
            room -= (-1) ** (n - 1) * np.maximum(high - low, 0.0).prod(axis=0)
    return height_px * width_px / np.maximum(room, 1.0)


def _forbidden(
    box: Box, fy: np.ndarray, fx: np.ndarray, height_px: int, width_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return low and high (2, n) of the first corners at which a particle would meet the box."""
    y0, x0, y1, x1 = box
    low = np.stack([np.maximum(y0 - fy, 0.0), np.maximum(x0 - fx, 0.0)])
    high = np.stack([np.minimum(y1, height_px - fy), np.minimum(x1, width_px - fx)])
    return low, high
