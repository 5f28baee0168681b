"""Masks on a GPU changed region by region, through the labels of their regions."""

from typing import Any

import torch

from stempede_kernels.label import gpu as labelling

# the kernels are those of label, which lists them
COMPILE_CASES: list[tuple[Any, dict[str, str], dict[str, Any], int]] = []


def hysteresis(low: Any, high: Any, connectivity: int) -> Any:
    """Keep regions of a batch ``(b, y, x)`` that hold a pixel of another."""
    regions, n_regions = _number(low, connectivity)
    reached = torch.zeros(n_regions + 1, dtype=torch.bool, device=low.device)
    reached[regions[high]] = True
    reached[0] = False
    return reached[regions]


def fill_holes(mask: Any, largest_px: int) -> Any:
    """Fill the holes of a batch ``(b, y, x)``."""
    regions, n_regions = _number(~mask, 1)
    is_hole = labelling.areas(regions, n_regions) <= largest_px
    for border in (regions[:, 0], regions[:, -1], regions[:, :, 0], regions[:, :, -1]):
        is_hole[border.flatten()] = False
    is_hole[0] = False
    return mask | is_hole[regions]


def drop_small(mask: Any, least_px: int, connectivity: int) -> Any:
    """Drop the small regions of a batch ``(b, y, x)``."""
    regions, n_regions = _number(mask, connectivity)
    stays = labelling.areas(regions, n_regions) >= least_px
    stays[0] = False
    return stays[regions]


def _number(mask: Any, connectivity: int) -> tuple[Any, int]:
    """Return region numbers that go on from frame to frame, int64, and how many there are."""
    return labelling.number_on(*labelling.label(mask, connectivity))
