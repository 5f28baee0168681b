"""Find the disjoint regions of a frame whose outlines are sharpest."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.dispatch import implementation

__all__ = ["sharp_regions"]


def sharp_regions(
    levels: NDArray[np.uint16],
    strength: NDArray[np.float32],
    floor: float,
    *,
    share: float = 0.0,
    min_area_px: int = 1,
    max_area_px: int | None = None,
    max_thickness_px: float = 0.0,
    doubt: float = 1.0,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Choose regions {level >= t}, each with its own t, by the strength of their outlines.

    The gain of a region is the sum over its outline of (strength - floor); of all sets of
    disjoint regions the one of greatest total gain is returned. So each region lies at its
    own sharpest level, a support gives way to the particles on it where their outlines
    gain more, and noise, whose strength is below the floor, gains nothing.

    Parameters
    ----------
    levels : (y, x) uint16 array
        Quantised heights, regions high. The effort is that of the pixels above the lowest
        level.
    strength : (y, x) float32 array
        Strength of an outline through each pixel, finite and not negative (gradient in units
        of noise).
    floor : float
        Strength below which an outline loses.
    share : float
        Where positive, regions are chosen a second time with the floor raised to this share
        of the typical mean strength (median by gain) of the first choice.
    min_area_px, max_area_px : int, optional
        Regions out of these bounds are not chosen; no upper bound where None.
    max_thickness_px : float
        A region above ``max_area_px`` is chosen all the same where 2 area / perimeter does
        not exceed this: a network of touching particles, not a support.
    doubt : float
        Factor, 0 to 1, on the gain of regions that touch the rim of the frame or are larger
        than ``max_area_px``: smaller regions inside them are preferred.

    Returns
    -------
    labels : (y, x) int32 array
        1..n in raster order of the first pixel, 0 elsewhere. Holes are left open.
    regions : (n, 3) float64 array
        Area in px, perimeter in cracks between pixels (the frame's rim not counted), sum of
        strength along it.

    Raises
    ------
    TypeError
        If the arrays are on a GPU, or not uint16 and float32.
    ValueError
        If they are not two-dimensional and of one shape.
    """
    if levels.dtype != np.uint16 or strength.dtype != np.float32:
        raise TypeError(
            f"levels must be uint16 and strength float32, found {levels.dtype} and "
            f"{strength.dtype}; convert them first"
        )
    if levels.ndim != 2 or levels.shape != strength.shape or 0 in levels.shape:
        raise ValueError(
            f"levels and strength must be (y, x) of one shape, found {levels.shape} and "
            f"{strength.shape}; pass one frame at a time"
        )
    most = levels.size if max_area_px is None else max_area_px
    run: Any = implementation(__name__, levels).sharp_regions
    labels, regions = run(
        np.ascontiguousarray(levels),
        np.ascontiguousarray(strength),
        float(floor),
        float(share),
        int(min_area_px),
        int(most),
        float(max_thickness_px),
        float(doubt),
    )
    return labels, regions
