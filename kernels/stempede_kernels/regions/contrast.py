"""Contrast of regions against their surroundings, in units of the background's noise."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.regions.sums import Floats, Runs, Sums

LAG_PX = 4
"""Offset, in y and in x, of the two pixels of a pair: longer than most noise is correlated."""

KEPT = 0.8
"""Share of the smallest differences that the noise is taken from."""

# rms of a standard normal within its central 80 %
_TRIMMED_RMS = 0.661606
_FEWEST_PAIRS = 16
_FEWEST_RING_PIXELS = 8


def sample(array: Any) -> tuple[Any, Any]:
    """Return the two pixels of at most some 32,000 pairs per frame, on a fixed grid.

    Parameters
    ----------
    array : (b, y, x) array or tensor

    Returns
    -------
    first, second : (b, p, q) views
        Pixels (y, x) and (y + LAG_PX, x + LAG_PX).
    """
    height, width = array.shape[1:]
    steps = slice(None, None, max(1, height // 64)), slice(None, None, max(1, width // 512))
    reach = max(0, height - LAG_PX), max(0, width - LAG_PX)
    first = array[:, : reach[0], : reach[1]]
    second = array[:, LAG_PX:, LAG_PX:]
    return first[:, *steps], second[:, *steps]


def background_level(
    images: tuple[Floats, Floats], free: tuple[NDArray[np.bool_], NDArray[np.bool_]]
) -> tuple[Floats, Floats]:
    """Return median and noise of each frame's background; NaN where too little is free.

    Noise is the root mean square of the smallest 80 % of the differences of pixel pairs,
    scaled to the standard deviation of one normal pixel. Slopes of the support and a tenth of
    outliers (missed particles, edges) hardly move it, and coarse counts do not make it zero.

    Parameters
    ----------
    images : pair of (b, p, q) float arrays
        As ``sample`` returns them.
    free : pair of (b, p, q) bool arrays
        Pixels that belong to no region and may be used.
    """
    n_frames = len(images[0])
    level, noise = np.full(n_frames, np.nan), np.full(n_frames, np.nan)
    for k in range(n_frames):
        pixels = images[0][k][free[0][k] & np.isfinite(images[0][k])]
        if pixels.size:
            level[k] = np.median(pixels.astype(np.float64))
        difference = images[1][k].astype(np.float64) - images[0][k]
        difference = difference[free[0][k] & free[1][k] & np.isfinite(difference)]
        if difference.size >= _FEWEST_PAIRS:
            # a slope shifts all differences alike
            difference -= np.median(difference)
            square = np.sort(difference**2)[: int(KEPT * difference.size)]
            noise[k] = np.sqrt(square.mean() / 2) / _TRIMMED_RMS
    return level, noise


def contrast(
    runs: Runs, sums: Sums, level: Floats, noise: Floats, *, from_map: bool
) -> dict[str, Floats]:
    """Return the intensity columns of n regions.

    Parameters
    ----------
    level, noise : (b,) float64 arrays
        Of each frame. The level stands in where a ring holds fewer than eight pixels.
    from_map : bool
        The local background was summed inside the region, from a background map.
    """
    inside, n_inside, around, n_around = sums.light.T
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_inside = inside / n_inside
        local = around / n_around
        if not from_map:
            local = np.where(n_around >= _FEWEST_RING_PIXELS, local, level[runs.frame])
        value = (mean_inside - local) / noise[runs.frame]
    return {
        "contrast": np.where(np.isfinite(value), value, np.nan),
        "mean_inside": mean_inside,
        "mean_background": local,
        "noise": noise[runs.frame],
    }
