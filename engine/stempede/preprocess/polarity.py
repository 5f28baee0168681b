"""Polarity: are particles darker than their support (bright field) or brighter (HAADF).

Two things tell. Particles are convex, the support between them is not: clear outlines bend
around what is inside them. That holds for few and for crowded particles, whichever side
covers more of the frame. And particles usually cover the smaller part, and vary more than
their support: the grey levels have their longer tail on the side of the particles. The
weights of the two are a logistic fit to simulated micrographs of both polarities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from stempede.backend import Backend
from stempede.frames import Batch
from stempede.preprocess.annotations import Annotations
from stempede.preprocess.background import Background
from stempede.preprocess.defects import Defects
from stempede_kernels.order import quantiles
from stempede_kernels.smooth import block_mean, gaussian

SIDE = 640
"""Longest side of the frame, or of the middle of it, in blocks, that is looked at."""
LEVELS = 4
SMOOTH_PX = 1.5
FEWEST = 64
QUIET = 0.1
"""Quantile of the gradient that is taken for noise."""
# gradients in units of noise: where an outline begins to count, and how far it counts more
FLOOR, SPAN = 3.5, 4.5
BEND = 3.0
"""Curvature, in reciprocals of the smoothing, beyond 1 / BEND of which a bend counts full."""
LEAST = 0.005
"""Clear outline, as a share of the pixels seen, that is as good as none: noise shows 0.001."""
TAIL = 0.01
# log-odds of bright against dark particles; the simulation holds no frame covered by more
# than half, so the tail, which suffers there, counts less than its fit (3 and 3) says
BENDS_WEIGH, TAILS_WEIGH = 4.0, 2.0
CLEAR = 1 / 3
"""Evidence at odds of 2 to 1."""


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
                contrast_evidence(image, valid, batch.backend)
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

    def agree(self, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
        """Return whether two votes have the same sign, which alone is used."""
        return bool(a["sign"] == b["sign"])


def frame_sign(image: Any, valid: Any, vote: int, backend: Backend) -> int:
    """Return +1 (bright particles) or -1 (dark) of one (y, x) frame.

    Parameters
    ----------
    image, valid : (y, x) arrays
    vote : int
        Sign of the session, followed where the frame is not clear; 0 if there is none.
    backend : Backend
    """
    evidence = contrast_evidence(image, valid, backend)
    if abs(evidence) < CLEAR:
        return vote or -1
    return 1 if evidence > 0 else -1


def contrast_evidence(image: Any, valid: Any, backend: Backend) -> float:
    """Return the probability of bright particles less that of dark ones, -1 to 1.

    Where the whole frame, in blocks, does not decide, its middle is looked at in finer ones.

    Parameters
    ----------
    image : (y, x) float32 array
        Counts less their background.
    valid : (y, x) bool array
    backend : Backend
    """
    factor = max(1, -(-max(image.shape) // SIDE))
    log_odds = 0.0
    while True:
        window = tuple(_middle(length, SIDE * factor) for length in image.shape)
        bend, tail = bends_and_tails(image[window], valid[window], factor, backend)
        log_odds += BENDS_WEIGH * bend + TAILS_WEIGH * tail
        evidence = float(np.tanh(log_odds / 2))
        if abs(evidence) >= CLEAR or factor == 1:
            return evidence
        factor = -(-factor // 2)


def bends_and_tails(image: Any, valid: Any, factor: int, backend: Backend) -> tuple[float, float]:
    """Return how clear outlines bend and which tail of the levels is longer, both -1 to 1.

    Parameters
    ----------
    image : (y, x) float32 array
    valid : (y, x) bool array
    factor : int
        Blocks of so many px are the finest scale; three coarser ones follow, each of twice
        the size.
    backend : Backend

    Returns
    -------
    bend : float
        Length bent around bright less that around dark regions over their sum; near 0 where
        little outline is clear.
    tail : float
        Longer less shorter tail over their sum, positive on the bright side; mean over scales.
    """
    xp, ndimage = backend.xp, backend.ndimage
    view = shrink(image, factor, xp)
    seen = None if valid.all() else shrink(valid.astype(xp.float32), factor, xp) > 0.99
    balance, bent, tails = 0.0, LEAST * view.size, []
    for level in range(LEVELS):
        if level:
            view = shrink(view, 2, xp)
            seen = None if seen is None else shrink(seen.astype(xp.float32), 2, xp) > 0.99
        if min(view.shape) < 8 * SMOOTH_PX:
            break
        smooth = gaussian(view, SMOOTH_PX, truncate=3)
        # nothing that is not valid reaches in through the smoothing
        known = (
            xp.ones(view.shape, bool)
            if seen is None
            else ndimage.minimum_filter(seen.astype(xp.uint8), 9) > 0
        )
        sample = smooth[::2, ::2][known[::2, ::2]]
        if sample.size < FEWEST:
            break
        low, middle, high = quantiles(sample, (TAIL, 0.5, 1 - TAIL), xp)
        tails.append((high + low - 2 * middle) / max(high - low, 1e-20))
        turn = bends(smooth, known, xp)
        # lengths are in blocks, which double from level to level
        balance += 2**level * float(turn.sum())
        bent += 2**level * float(xp.abs(turn).sum())
    return balance / bent, float(np.mean(tails or [0.0]))


def bends(smooth: Any, known: Any, xp: Any = np) -> Any:
    """Return the bend of the clear outlines of a (y, x) float32 array, positive around bright.

    Returns
    -------
    (n,) float32 array
        For each pixel of a clear outline its clearness times its curvature, which counts up
        to a limit: a contact of two particles is sharp but short.
    """
    p = xp.pad(smooth, 1, mode="edge")
    along_y, along_x = p[2:, 1:-1] - p[:-2, 1:-1], p[1:-1, 2:] - p[1:-1, :-2]
    slope = xp.sqrt(along_y * along_y + along_x * along_x)
    quiet = quantiles(slope[::2, ::2][known[::2, ::2]], (QUIET,), xp)[0]
    # gradients of noise are Rayleigh distributed
    slope *= np.float32(np.sqrt(-2 * np.log(1 - QUIET)) / max(quiet, 1e-20))
    rows, columns = xp.nonzero((slope > FLOOR) & known)
    place = (rows + 1) * p.shape[1] + columns + 1

    def at(dy: int, dx: int) -> Any:
        return p.ravel()[place + (dy * p.shape[1] + dx)]

    up, down, left, right, here = at(-1, 0), at(1, 0), at(0, -1), at(0, 1), at(0, 0)
    y, x = (down - up) / 2, (right - left) / 2
    xy = (at(1, 1) + at(-1, -1) - at(1, -1) - at(-1, 1)) / 4
    along = 2 * x * y * xy - (up + down - 2 * here) * x * x - (left + right - 2 * here) * y * y
    square = y * y + x * x
    curvature = along / xp.maximum(square * xp.sqrt(square), np.float32(1e-30))
    clear = xp.minimum(slope[rows, columns] - FLOOR, SPAN)
    return xp.clip(curvature * (BEND * SMOOTH_PX), -1, 1) * clear


def shrink(image: Any, factor: int, xp: Any = np) -> Any:
    """Return the means of factor x factor blocks of a (y, x) image; an odd rim is cut."""
    if factor == 1:
        return image
    h, w = image.shape[0] // factor, image.shape[1] // factor
    image = image[: h * factor, : w * factor]
    if xp is np and image.size:
        return block_mean(image, factor)
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
