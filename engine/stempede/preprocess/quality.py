"""Quality: what is wrong with a frame before anything is looked for in it, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stempede.frames import Batch
from stempede.preprocess.focus import sharpness
from stempede_kernels.order import median

BLOCKS = 8
"""Blocks along each side whose grey levels are compared."""
EVERY = 4
"""One pixel in so many along a line is enough to tell its level."""
MAD_TO_SIGMA = 1.4826
CLIP_SIGMA = 3.0


@dataclass(frozen=True)
class Quality:
    """Measure saturation, unevenness and streaks of the frames as the detector gave them.

    Parameters
    ----------
    focus : bool
        Measure the sharpness too: for routes without ``preprocess.normalise``, which does.
    """

    focus: bool = False

    name: ClassVar[str] = "preprocess.quality"
    reads: ClassVar[tuple[str, ...]] = ("images", "valid", "frames")
    writes: ClassVar[tuple[str, ...]] = ("frames",)

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with ``saturated_fraction unevenness streaks`` in ``frames``."""
        xp, valid = batch.backend.xp, batch.maps["valid"]
        found: dict[str, list[float]] = {
            "saturated_fraction": [],
            "unevenness": [],
            "streaks": [],
            **({"focus": []} if self.focus else {}),
        }
        for image, there in zip(batch.images, valid):
            found["saturated_fraction"].append(saturated(image, there, xp))
            found["unevenness"].append(unevenness(image, there, xp))
            found["streaks"].append(streaks(image, xp))
            if self.focus:
                found["focus"].append(sharpness(image, xp))
        columns = {name: np.array(values) for name, values in found.items()}
        return batch.with_(tables={"frames": batch.tables["frames"].with_columns(columns)})


def saturated(image: Any, valid: Any, xp: Any = np) -> float:
    """Return the share of valid pixels that stand at the frame's highest value.

    Parameters
    ----------
    image : (y, x) float32 array
    valid : (y, x) bool array
    xp : module
        NumPy or CuPy.

    Returns
    -------
    float
        One pixel's share where nothing is cut off; 0 without a valid pixel.
    """
    n = int(xp.count_nonzero(valid))
    return int(xp.count_nonzero(valid & (image >= image.max()))) / n if n else 0.0


def unevenness(image: Any, valid: Any, xp: Any) -> float:
    """Return how much the grey level wanders over the frame, against its spread in one place.

    Haze from contamination, charging and a bad gain reference wander; particles do so where
    they cover one side only.

    Parameters
    ----------
    image : (y, x) float32 array
    valid : (y, x) bool array
    xp : module
        NumPy or CuPy.

    Returns
    -------
    float
        Robust spread of the medians of 8 x 8 blocks over the median spread within them; NaN
        for frames too small to tell.
    """
    height, width = (n // BLOCKS * BLOCKS for n in image.shape)
    if min(height, width) < 4 * BLOCKS:
        return float("nan")
    step = max(1, min(height, width) // (32 * BLOCKS))
    seen = image[:height, :width]
    blocks = seen.reshape(BLOCKS, height // BLOCKS, BLOCKS, width // BLOCKS)
    blocks = blocks[:, ::step, :, ::step].transpose(0, 2, 1, 3).reshape(BLOCKS**2, -1)
    low, middle, high = xp.quantile(blocks, xp.asarray([0.25, 0.5, 0.75]), axis=1)
    kept = valid[:height, :width].reshape(BLOCKS, height // BLOCKS, BLOCKS, width // BLOCKS)
    whole = xp.count_nonzero(kept, axis=(1, 3)).reshape(-1) > height * width // BLOCKS**2 / 2
    if int(whole.sum()) < BLOCKS:
        return float("nan")
    within = float(xp.median((high - low)[whole])) / 1.349
    level = middle[whole]
    between = MAD_TO_SIGMA * float(xp.median(xp.abs(level - xp.median(level))))
    return between / within if within > 0 else float("nan")


def streaks(image: Any, xp: Any) -> float:
    """Return how much the level jumps from line to line, in units of what noise explains.

    Charging and flashes of the tip shift whole lines of a scan.

    Parameters
    ----------
    image : (y, x) float32 array
        Lines of the scan along x.
    xp : module
        NumPy or CuPy.

    Returns
    -------
    float
        About 1 where lines are alike; NaN for an image without noise.
    """
    steps = xp.diff(image[:, ::EVERY], axis=0)
    sigma = MAD_TO_SIGMA * median(xp.abs(steps[::EVERY]), xp)
    if not sigma > 0:
        return float("nan")
    jump = xp.clip(steps, -CLIP_SIGMA * sigma, CLIP_SIGMA * sigma).mean(axis=1)
    spread = MAD_TO_SIGMA * float(xp.median(xp.abs(jump - xp.median(jump))))
    return spread / (sigma / float(np.sqrt(steps.shape[1])))
