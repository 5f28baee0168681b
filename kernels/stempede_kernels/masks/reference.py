"""Masks of one frame changed region by region, in plain sight."""

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.label.reference import label

Mask = NDArray[np.bool_]


def hysteresis(low: Mask, high: Mask, connectivity: int = 1) -> Mask:
    """Keep the regions of ``low`` that hold a pixel of ``high``."""
    kept = np.zeros(low.shape, bool)
    for region in _regions(low, connectivity):
        kept |= region & bool((region & high).any())
    return kept


def fill_holes(mask: Mask, largest_px: int) -> Mask:
    """Fill background regions away from the border, up to a size."""
    filled = mask.copy()
    for region in _regions(~mask, 1):
        border = region[[0, -1]].any() or region[:, [0, -1]].any()
        filled |= region & bool(not border and region.sum() <= largest_px)
    return filled


def drop_small(mask: Mask, least_px: int, connectivity: int = 1) -> Mask:
    """Drop regions below a size."""
    kept = np.zeros(mask.shape, bool)
    for region in _regions(mask, connectivity):
        kept |= region & bool(region.sum() >= least_px)
    return kept


def _regions(mask: Mask, connectivity: int) -> list[Mask]:
    labels, n_labels = label(mask, connectivity)
    return [labels == number for number in range(1, n_labels + 1)]
