"""Masks changed region by region: hysteresis, holes, small regions, per frame."""

from typing import Any

from stempede_kernels.dispatch import check_connectivity, run_on_frames

__all__ = ["drop_small", "fill_holes", "hysteresis"]


def hysteresis(low: Any, high: Any, connectivity: int = 1) -> Any:
    """Keep the regions of one mask that hold a pixel of another.

    With ``low = image > a`` and ``high = image > b`` this is
    ``skimage.filters.apply_hysteresis_threshold`` (connectivity 1).

    Parameters
    ----------
    low, high : (b, y, x) or (y, x) bool arrays
        Regions, and what they must hold; pixels of `high` outside `low` count for nothing.
    connectivity : {1, 2}
        1: pixels of a region touch by their edges; 2: by their corners too.

    Returns
    -------
    (b, y, x) or (y, x) bool array
    """
    check_connectivity(connectivity)
    maps = {"low": (low, "bool"), "high": (high, "bool")}
    return run_on_frames(__name__, "hysteresis", maps, connectivity=connectivity)


def fill_holes(mask: Any, largest_px: int | None = None) -> Any:
    """Fill the background regions that do not reach the border of the frame.

    Background pixels are connected by their edges, as in ``scipy.ndimage.binary_fill_holes``.

    Parameters
    ----------
    mask : (b, y, x) or (y, x) bool array
    largest_px : int, optional
        Holes of more pixels than this stay; all are filled by default.

    Returns
    -------
    (b, y, x) or (y, x) bool array
    """
    largest = 2**31 - 1 if largest_px is None else int(largest_px)
    return run_on_frames(__name__, "fill_holes", {"mask": (mask, "bool")}, largest_px=largest)


def drop_small(mask: Any, least_px: int, connectivity: int = 1) -> Any:
    """Drop the regions of fewer than ``least_px`` pixels.

    Parameters
    ----------
    mask : (b, y, x) or (y, x) bool array
    least_px : int
        Pixels of the smallest region that stays.
    connectivity : {1, 2}
        1: pixels of a region touch by their edges; 2: by their corners too.

    Returns
    -------
    (b, y, x) or (y, x) bool array
    """
    check_connectivity(connectivity)
    return run_on_frames(
        __name__,
        "drop_small",
        {"mask": (mask, "bool")},
        least_px=int(least_px),
        connectivity=connectivity,
    )
