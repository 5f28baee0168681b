"""Measure every region of label maps: size, shape, direction and contrast."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stempede_kernels import interop
from stempede_kernels.dispatch import implementation, kind_of, on_gpu
from stempede_kernels.regions.contrast import background_level, contrast, sample
from stempede_kernels.regions.features import features
from stempede_kernels.regions.sums import Floats

__all__ = ["FEATURES", "regions"]

FEATURES = (
    "area_px2",
    "filled_area_px2",
    "convex_area_px2",
    "bbox_area_px2",
    "perimeter_px",
    "perimeter_crofton_px",
    "equivalent_diameter_px",
    "major_axis_px",
    "minor_axis_px",
    "max_feret_px",
    "min_feret_px",
    "orientation_deg",
    "max_feret_angle_deg",
    "min_feret_angle_deg",
    "aspect_ratio",
    "eccentricity",
    "circularity",
    "solidity",
    "extent",
    "euler_number",
    "convexity",
    "roundness",
    *(f"hu{k}" for k in range(1, 8)),
    "contrast",
)
"""The 30 features, in the order of the ``particles`` table."""


def regions(
    labels: Any,
    images: Any = None,
    *,
    background: Any = None,
    noise: Any = None,
    valid: Any = None,
    ring_gap_px: int = 2,
    ring_width_px: int = 4,
    on_transfer: Callable[[str, int], None] | None = None,
) -> dict[str, NDArray[Any]]:
    """Measure every region of every frame; README.md in this folder defines each column.

    Parameters
    ----------
    labels : (b, y, x) or (y, x) int array
        Regions, positive within each frame, with or without gaps; 0 on the background. A label
        need not be connected. NumPy, torch or CuPy.
    images : array of the same shape, real, optional
        Counts, taken as float32; pixels that are not finite are left out. Without images the
        contrast is NaN.
    background : array of the same shape, real, optional
        Local background in counts. By default the mean of a ring around each region.
    noise : float or (b,) array, optional
        Standard deviation of the background of each frame in counts. By default estimated
        from differences of pixels that belong to no region.
    valid : bool array of the same shape, optional
        Pixels that may count as background; all by default.
    ring_gap_px, ring_width_px : int
        The ring holds the pixels outside all regions whose square (Chebyshev) distance d from
        the region is ``ring_gap_px < d <= ring_gap_px + ring_width_px``.
    on_transfer : callable, optional
        Called with ``"up"`` or ``"down"`` and the bytes of each copy to or from the device.

    Returns
    -------
    dict of str to (n,) array
        One row per region, ordered by frame and label, always on the host. ``frame_index``
        (position in the batch), ``label``, ``first_px`` (raster index ``y * width + x`` of the
        first pixel) and ``bbox_{y0,x0,y1,x1}_px`` (ends excluded) are int64, ``touches_edge``
        is bool; float64 are the centroid ``y_px x_px``, the 30 ``FEATURES``,
        ``min_rect_length_px min_rect_width_px min_rect_angle_deg edge_length_px`` and the
        intensities ``mean_inside mean_background noise`` in counts. NaN where a feature is
        undefined: a ratio with a zero denominator, the direction of a region without one.

    Raises
    ------
    TypeError
        If an array has the wrong kind of numbers, or arrays lie in different places.
    ValueError
        If shapes differ, a label is negative, or a ring width is not positive.

    Examples
    --------
    >>> table = regions(np.ones((3, 4), np.int32))
    >>> float(table["area_px2"][0]), float(table["aspect_ratio"][0].round(3))
    (12.0, 1.369)
    """
    _check(labels, images, background, valid)
    if ring_gap_px < 0 or ring_width_px < 1:
        raise ValueError(
            f"a ring needs ring_gap_px >= 0 and ring_width_px >= 1, "
            f"found {ring_gap_px} and {ring_width_px}"
        )
    maps: list[Any] = [
        None if array is None else _prepare(array, dtype)
        for array, dtype in zip(
            (labels, images, background, valid), ("int32", "float32", "float32", "bool")
        )
    ]
    count = on_transfer or (lambda _direction, _nbytes: None)
    module = implementation(__name__, labels)
    runs, sums = module.accumulate(*maps, ring_gap_px, ring_width_px, count)
    level, noise = _levels(maps, noise, count)
    return {
        **features(runs, sums, tuple(maps[0].shape[1:])),
        **contrast(runs, sums, level, noise, from_map=background is not None),
    }


def _check(labels: Any, images: Any, background: Any, valid: Any) -> None:
    """Refuse maps that do not fit the labels."""
    if labels.ndim not in (2, 3):
        raise ValueError(f"labels must be (y, x) or (b, y, x), found {labels.ndim} axes")
    if 0 in tuple(labels.shape)[-2:]:
        raise ValueError(f"labels has frames of {tuple(labels.shape)[-2:]}; they hold no pixel")
    kinds = {
        "labels": (labels, ("int", "uint")),
        "images": (images, ("int", "uint", "float")),
        "background": (background, ("int", "uint", "float")),
        "valid": (valid, ("bool",)),
    }
    for name, (array, allowed) in kinds.items():
        if array is None:
            continue
        found = str(array.dtype).rpartition(".")[2]
        if not found.startswith(allowed):
            raise TypeError(f"{name} must be {' or '.join(allowed)}, found {found}; convert it")
        if tuple(array.shape) != tuple(labels.shape):
            raise ValueError(
                f"{name} has shape {tuple(array.shape)} and labels {tuple(labels.shape)}; "
                "they must be equal"
            )
        if kind_of(array) != kind_of(labels) or on_gpu(array) != on_gpu(labels):
            raise TypeError(f"{name} and labels lie in different places; put both in one")


def _prepare(array: Any, dtype: str) -> Any:
    """Return a contiguous ``(b, y, x)`` array for the host, tensor for a GPU."""
    if on_gpu(array):
        array = interop.as_torch(array).to(getattr(interop.torch(), dtype)).contiguous()
    else:
        array = np.ascontiguousarray(interop.as_numpy(array), dtype=dtype)
    return array if array.ndim == 3 else array[None]


def _levels(
    maps: list[Any], noise: Any, count: Callable[[str, int], None]
) -> tuple[Floats, Floats]:
    """Return background level and noise of each frame, NaN without images."""
    labels, images, _, valid = maps
    if images is None:
        return np.full(len(labels), np.nan), np.full(len(labels), np.nan)
    free = [part == 0 for part in sample(labels)]
    if valid is not None:
        free = [part & also for part, also in zip(free, sample(valid))]
    host = [_download(part, count) for part in (*sample(images), *free)]
    level, estimate = background_level((host[0], host[1]), (host[2], host[3]))
    if noise is None:
        return level, estimate
    given = np.asarray(noise.get() if hasattr(noise, "get") else noise, dtype=np.float64)
    return level, np.broadcast_to(given, estimate.shape)


def _download(array: Any, count: Callable[[str, int], None]) -> NDArray[Any]:
    """Return a small array on the host."""
    if isinstance(array, np.ndarray):
        return array
    host: NDArray[Any] = array.cpu().numpy()
    count("down", host.nbytes)
    return host
