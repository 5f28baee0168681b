"""Overlays: which frames show the best, the median and the worst, and pixels as pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_SIDE_PX = 1100
_MAX_BYTES = 1_900_000


@dataclass(frozen=True)
class Choice:
    """A frame to show: why, and its score."""

    frame: int
    rank: str
    score: float


def frame_scores(
    frames: np.ndarray,
    frame: np.ndarray,
    inner: np.ndarray,
    accepted: np.ndarray,
    contrast: np.ndarray,
) -> np.ndarray:
    """Return how well particles stand out in each frame.

    The score is the share of regions accepted among those clear of the border, times their
    median contrast in units of the background noise; 0 for frames without any.

    Parameters
    ----------
    frames : (m,) int64 array
        Frames to score, ascending.
    frame, inner, accepted, contrast : (n,) arrays
        Particles: frame number, does not touch the border, accepted, contrast.

    Returns
    -------
    (m,) float64 array
    """
    scores = np.zeros(len(frames))
    order = np.argsort(frame, kind="stable")
    starts = np.searchsorted(frame[order], frames, side="left")
    stops = np.searchsorted(frame[order], frames, side="right")
    for k, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        rows = order[start:stop]
        taken = rows[accepted[rows]]
        if not len(taken):
            continue
        n_inner = int(np.count_nonzero(inner[rows] | accepted[rows]))
        share = len(taken) / n_inner
        strength = np.abs(contrast[taken])
        known = np.isfinite(strength)
        scores[k] = share * (np.median(strength[known]) if known.any() else 1.0)
    return scores


def choose(frames: np.ndarray, scores: np.ndarray) -> list[Choice]:
    """Return the best, the median and the worst frame, two of each from 12 frames on."""
    order = np.argsort(-scores, kind="stable")
    n = len(order)
    each = 2 if n >= 12 else 1
    if n <= 3:
        names = {1: ["only"], 2: ["best", "worst"], 3: ["best", "median", "worst"]}.get(n, [])
        places = list(range(n))
    else:
        middle = (n - each) // 2
        places = [*range(each), *range(middle, middle + each), *range(n - each, n)]
        names = ["best"] * each + ["median"] * each + ["worst"] * each
    return [
        Choice(int(frames[order[p]]), name, float(scores[order[p]]))
        for p, name in zip(places, names, strict=True)
    ]


def fit(image: np.ndarray, max_side_px: int = MAX_SIDE_PX) -> tuple[np.ndarray, float]:
    """Return a (y, x) image small enough for a page, by area means, and its scale."""
    from PIL import Image

    height, width = image.shape
    scale = min(1.0, max_side_px / height, max_side_px / width)
    pixels = image.astype(np.float32)
    if image.dtype.kind == "f":
        pixels = np.nan_to_num(pixels, copy=False, posinf=0.0, neginf=0.0)
    if scale == 1.0:
        return pixels, scale
    h, w = (max(1, round(side * scale)) for side in image.shape)
    picture = Image.fromarray(pixels).resize((w, h), Image.Resampling.BOX)
    return np.asarray(picture), scale


def grey(image: np.ndarray) -> np.ndarray:
    """Stretch a (y, x) image between its 0.3 and 99.7 % quantiles to uint8."""
    finite = image[np.isfinite(image)]
    if not len(finite):
        return np.zeros(image.shape, np.uint8)
    low, high = np.quantile(finite[:: max(1, len(finite) // 200_000)], (0.003, 0.997))
    scaled = (np.nan_to_num(image, nan=low) - low) / max(high - low, 1e-12)
    stretched: np.ndarray = (255 * np.clip(scaled, 0, 1)).astype(np.uint8)
    return stretched


def jpeg_uri(rgb: np.ndarray, share: int = 1, qualities: Sequence[int] = (82, 68, 50, 30)) -> str:
    """Return a JPEG as a data URI, of the first quality that lets a page hold ``share`` of them.

    Where none does it has the last one.
    """
    from PIL import Image

    picture: Any = Image.fromarray(rgb)
    for quality in qualities:
        buffer = io.BytesIO()
        picture.save(buffer, format="JPEG", quality=quality, subsampling=0)
        if buffer.tell() <= _MAX_BYTES // max(1, share):
            break
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
