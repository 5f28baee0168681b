"""Polarity: are particles darker than their support (bright field) or brighter (HAADF)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from stempede.backend import Backend
from stempede.frames import Batch

SIDE = 512
SCALES_PX = (1.5, 3.0, 6.0, 12.0)
RATIO = 1.6
TAIL = 0.01
PLATEAU_PX = 3.0
PLATEAU_QUANTILES = (0.01, 0.12, 0.88, 0.99)
PLATEAU_WEIGHT = 0.5
CLEAR = 0.27


class Polarity:
    """Vote of the first frames on the sign of the contrast.

    The result is ``{"sign": -1 | 0 | 1, "evidence": mean}``; frames without clear
    evidence of their own follow the sign.
    """

    name: ClassVar[str] = "preprocess.polarity"

    def __call__(self, batches: Sequence[Batch]) -> dict[str, Any]:
        """Return the vote over all frames of the batches."""
        evidence = [
            contrast_evidence(image, valid, batch.backend)
            for batch in batches
            for image, valid in zip(batch.images, batch.maps["valid"])
        ]
        mean = float(np.mean(evidence or [0.0]))
        return {"sign": int(np.sign(mean)), "evidence": mean}


def frame_sign(image: Any, valid: Any, vote: int, backend: Backend) -> int:
    """Return +1 (bright particles) or -1 (dark) of one (y, x) frame.

    Parameters
    ----------
    image, valid : (y, x) arrays
    vote : int
        Sign of the session, 0 if there is none.
    backend : Backend
    """
    evidence = contrast_evidence(image, valid, backend)
    if abs(evidence) < CLEAR and vote:
        return vote
    return 1 if evidence > 0 else -1


def contrast_evidence(image: Any, valid: Any, backend: Backend) -> float:
    """Return how much speaks for bright particles, less what speaks for dark ones.

    Two things are added. Particles cover the smaller part of a frame: bands of scales have
    their longer tail on the side of the particles. And the bare background is a plateau: the
    grey levels at its end of the histogram lie closer together, which holds for crowded
    frames too.
    """
    xp = backend.xp
    small = shrink(image * valid, max(1, max(image.shape) // SIDE), xp)
    tails = sum(_tails(small, scale, backend) for scale in SCALES_PX) / len(SCALES_PX)
    smooth = backend.ndimage.gaussian_filter(small, PLATEAU_PX, truncate=3)
    ends = xp.quantile(smooth, xp.asarray(PLATEAU_QUANTILES)).tolist()
    low, high = ends[1] - ends[0], ends[3] - ends[2]
    return tails + PLATEAU_WEIGHT * (high - low) / max(high + low, 1e-12)


def _tails(small: Any, scale: float, backend: Backend) -> float:
    """Return how one-sided a band of scales is, in [-1, 1]."""
    xp, ndimage = backend.xp, backend.ndimage
    band = ndimage.gaussian_filter(small, scale, truncate=3)
    band -= ndimage.gaussian_filter(small, RATIO * scale, truncate=3)
    low, middle, high = xp.quantile(band, xp.asarray([TAIL, 0.5, 1 - TAIL])).tolist()
    found: float = (high + low - 2 * middle) / max(high - low, 1e-12)
    return found


def shrink(image: Any, factor: int, xp: Any = np) -> Any:
    """Return the means of factor x factor blocks of a (y, x) image; an odd rim is cut."""
    if factor == 1:
        return image
    h, w = image.shape[0] // factor, image.shape[1] // factor
    total = xp.zeros((h, w), image.dtype)
    for dy in range(factor):
        for dx in range(factor):
            total += image[dy : h * factor : factor, dx : w * factor : factor][:h, :w]
    return total / np.asarray(factor**2, image.dtype)
