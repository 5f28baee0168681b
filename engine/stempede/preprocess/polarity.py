"""Polarity: are particles darker than their support (bright field) or brighter (HAADF).

Particles are convex, the support between them is not: seen from the particles' side, clear
outlines curve around what is inside them. That holds for few and for crowded particles, for
small and large ones, and does not ask which side covers more of the frame, is flatter, or
lies at the end of the histogram.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from stempede.backend import Backend
from stempede.frames import Batch
from stempede.preprocess.annotations import Annotations
from stempede.preprocess.background import Background
from stempede.preprocess.defects import Defects

SIDE = 640
"""Longest side of the frame, or of the middle of it, that is looked at."""
LEVELS = 4
SMOOTH_PX = 1.5
QUIET = 0.1
"""Quantile of the gradient that is taken for noise."""
# gradients in units of noise: where an outline begins to count, and how far it counts more
FLOOR, SPAN = 3.5, 4.5
BEND = 3.0
"""Curvature, in reciprocals of the smoothing, beyond 1 / BEND of which a bend counts full."""
LEAST = 0.001
"""Clear outline, as a share of the pixels seen, that is as good as none."""
CLEAR = 0.1


class Polarity:
    """Vote of the first frames on the sign of the contrast.

    The result holds ``sign`` (-1 dark, +1 bright), ``evidence`` (mean over frames, -1 to 1),
    ``frames_dark``, ``frames_bright``, ``frames_undecided`` (counts) and ``decided`` (1, or 0
    where no frame was clear and dark is assumed). Frames without clear evidence of their
    own follow the sign.
    """

    name: ClassVar[str] = "preprocess.polarity"

    def __call__(self, batches: Sequence[Batch]) -> dict[str, Any]:
        """Return the vote over all frames of the batches."""
        evidence = np.array(
            [
                outline_evidence(image, valid, batch.backend)
                for batch in map(_cleaned, batches)
                for image, valid in zip(batch.images, batch.maps["valid"])
            ]
        )
        clear = np.abs(evidence) >= CLEAR
        # a clear frame counts by how clear it is; bright field is the commoner case
        total = float(evidence[clear].sum())
        return {
            "sign": 1 if total > 0 else -1,
            "evidence": float(evidence.mean()) if len(evidence) else 0.0,
            "frames_dark": int((clear & (evidence < 0)).sum()),
            "frames_bright": int((clear & (evidence > 0)).sum()),
            "frames_undecided": int((~clear).sum()),
            "decided": int(total != 0),
        }


def frame_sign(image: Any, valid: Any, vote: int, backend: Backend) -> int:
    """Return +1 (bright particles) or -1 (dark) of one (y, x) frame.

    Parameters
    ----------
    image, valid : (y, x) arrays
    vote : int
        Sign of the session, followed where the frame is not clear; 0 if there is none.
    backend : Backend
    """
    evidence = outline_evidence(image, valid, backend)
    if abs(evidence) < CLEAR:
        return vote or -1
    return 1 if evidence > 0 else -1


def outline_evidence(image: Any, valid: Any, backend: Backend) -> float:
    """Return how much of the clear outline bends around bright rather than dark regions.

    Parameters
    ----------
    image : (y, x) float32 array
        Counts less their background.
    valid : (y, x) bool array
    backend : Backend

    Returns
    -------
    float
        Bent length around bright less that around dark regions over their sum, -1 to 1; near
        0 where little outline is clear. Where the whole frame, in blocks, does not decide,
        its middle is looked at in finer ones.
    """
    factor = max(1, -(-max(image.shape) // SIDE))
    found = 0.0
    while True:
        window = tuple(_middle(length, SIDE * factor) for length in image.shape)
        found += bent_balance(image[window], valid[window], factor, backend)
        if abs(found) >= CLEAR or factor == 1:
            return float(np.clip(found, -1, 1))
        factor = -(-factor // 2)


def bent_balance(image: Any, valid: Any, factor: int, backend: Backend) -> float:
    """Return the balance of bends, -1 (dark inside) to 1, over scales from ``factor`` px on."""
    xp, ndimage = backend.xp, backend.ndimage
    view = shrink(image, factor, xp)
    seen = shrink(valid.astype(xp.float32), factor, xp) > 0.99
    balance, bent = 0.0, LEAST * view.size
    for level in range(LEVELS):
        if min(view.shape) < 8 * SMOOTH_PX:
            break
        if level:
            view = shrink(view, 2, xp)
            seen = shrink(seen.astype(xp.float32), 2, xp) > 0.99
        smooth = ndimage.gaussian_filter(view, SMOOTH_PX, truncate=3)
        slope, curvature = bends(smooth, xp)
        whole = ndimage.minimum_filter(seen, 9)
        quiet = slope[::2, ::2][whole[::2, ::2]]
        if quiet.size < 64:
            break
        noise = float(xp.quantile(quiet, QUIET)) / np.sqrt(-2 * np.log(1 - QUIET))
        weight = xp.clip(slope * np.float32(1 / max(noise, 1e-20)) - FLOOR, 0, SPAN) * whole
        turn = xp.clip(curvature * np.float32(BEND * SMOOTH_PX), -1, 1) * weight
        # lengths are in blocks, which double from level to level
        balance += 2**level * float(turn.sum())
        bent += 2**level * float(xp.abs(turn).sum())
    return balance / bent


def bends(smooth: Any, xp: Any = np) -> tuple[Any, Any]:
    """Return slope and curvature of the level lines of a (y, x) float32 array.

    Curvature is in 1/px, positive around bright regions.
    """
    p = xp.pad(smooth, 1, mode="edge")
    y = (p[2:, 1:-1] - p[:-2, 1:-1]) * np.float32(0.5)
    x = (p[1:-1, 2:] - p[1:-1, :-2]) * np.float32(0.5)
    yy = p[2:, 1:-1] + p[:-2, 1:-1] - 2 * smooth
    xx = p[1:-1, 2:] + p[1:-1, :-2] - 2 * smooth
    xy = (p[2:, 2:] + p[:-2, :-2] - p[2:, :-2] - p[:-2, 2:]) * np.float32(0.25)
    steep = y * y + x * x
    slope = xp.sqrt(steep)
    along = 2 * x * y * xy - yy * x * x - xx * y * y
    return slope, along / xp.maximum(steep * slope, np.float32(1e-30))


def shrink(image: Any, factor: int, xp: Any = np) -> Any:
    """Return the means of factor x factor blocks of a (y, x) image; an odd rim is cut."""
    if factor == 1:
        return image
    h, w = image.shape[0] // factor, image.shape[1] // factor
    image = image[: h * factor, : w * factor]
    rows = image[::factor].copy()
    for dy in range(1, factor):
        rows += image[dy::factor]
    total = rows[:, ::factor].copy()
    for dx in range(1, factor):
        total += rows[:, dx::factor]
    total *= np.float32(1 / factor**2)
    return total


def _middle(length: int, size: int) -> slice:
    start = max(0, (length - size) // 2)
    return slice(start, min(length, start + size))


def _cleaned(batch: Batch) -> Batch:
    """Return the batch as the route brings it to its own decision, by default parameters."""
    return Background()(Defects()(Annotations()(batch)))
