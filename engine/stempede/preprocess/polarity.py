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
CLEAR = 0.08


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
        clear = [np.sign(e) for e in evidence if abs(e) >= CLEAR] or [np.sign(sum(evidence))]
        return {"sign": int(np.sign(sum(clear))), "evidence": float(np.mean(evidence or [0.0]))}


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
    """Return how one-sided the band-passed image is, mean over scales, in [-1, 1].

    Particles cover the smaller part of a band: its tail on their side is the longer one.
    """
    xp = backend.xp
    small = shrink(image * valid, max(1, max(image.shape) // SIDE), xp)
    total = 0.0
    for scale in SCALES_PX:
        inner = backend.ndimage.gaussian_filter(small, scale, truncate=3)
        band = inner - backend.ndimage.gaussian_filter(small, RATIO * scale, truncate=3)
        low, middle, high = xp.quantile(band, xp.asarray([TAIL, 0.5, 1 - TAIL])).tolist()
        total += (high + low - 2 * middle) / max(high - low, 1e-12)
    return total / len(SCALES_PX)


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
