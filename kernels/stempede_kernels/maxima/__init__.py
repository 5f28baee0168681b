"""Regional maxima that stand out by a given height, per frame."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stempede_kernels.dispatch import check_connectivity, run_on_frames

__all__ = ["h_maxima", "label_h_maxima"]


def h_maxima(
    height: Any,
    h: ArrayLike,
    mask: Any = None,
    *,
    h_relative: ArrayLike = 0.0,
    connectivity: int = 2,
) -> Any:
    """Mark the regional maxima whose dynamic is at least ``max(h, h_relative * peak height)``.

    The dynamic of a maximum is the least descent on any way to a higher maximum. Of equally
    high maxima the one that comes first in raster order counts as higher, so that two equal
    peaks with a shallow saddle between them give one marker
    (``skimage.morphology.h_maxima`` gives two). The highest maximum of every connected region
    of the mask has no higher one to go to and is always marked. Exact: no tolerance is added
    to `h`.

    Parameters
    ----------
    height : (b, y, x) or (y, x) array of float32, or of what converts to it
        Landscape; NaN counts as -inf.
    h : float or (b,) array
        Least dynamic, in units of `height`, for all frames or for each.
    mask : (b, y, x) or (y, x) bool array, optional
        Pixels that belong to the landscape; without it, all but -inf and NaN.
    h_relative : float or (b,) array
        Least dynamic as a share of the height of the maximum itself, which suits touching
        particles of different sizes.
    connectivity : {1, 2}
        1: ways lead over edges; 2: over corners too.

    Returns
    -------
    (b, y, x) or (y, x) bool array
        All pixels of the plateaus of the maxima that were kept.

    Raises
    ------
    TypeError
        If a dtype does not fit, or the arrays lie in different places.
    ValueError
        If shapes differ, a threshold is negative or NaN, or the connectivity is not 1 or 2.

    References
    ----------
    Grimaud, "New measure of contrast: the dynamics", Proc. SPIE 1769 (1992); Najman and
    Couprie, "Building the component tree in quasi-linear time", IEEE TIP 15 (2006).
    """
    markers, _ = label_h_maxima(height, h, mask, h_relative=h_relative, connectivity=connectivity)
    return markers > 0


def label_h_maxima(
    height: Any,
    h: ArrayLike,
    mask: Any = None,
    *,
    h_relative: ArrayLike = 0.0,
    connectivity: int = 2,
) -> tuple[Any, Any]:
    """Number the maxima that `h_maxima` marks, ready to be the markers of a watershed.

    Parameters are those of `h_maxima`.

    Returns
    -------
    markers : (b, y, x) or (y, x) int32 array
        1 … n within each frame, in raster order of the first pixel; 0 elsewhere.
    counts : (b,) int32 array, or an int32 scalar for a single frame
        Maxima per frame, n.
    """
    check_connectivity(connectivity)
    if mask is None:
        mask = height > -np.inf
    n_frames = 1 if height.ndim == 2 else len(height)
    return run_on_frames(
        __name__,
        "label_h_maxima",
        {"height": (height, "float32"), "mask": (mask, "bool")},
        h=_per_frame(h, n_frames, "h"),
        h_relative=_per_frame(h_relative, n_frames, "h_relative"),
        connectivity=connectivity,
    )


def _per_frame(threshold: ArrayLike, n_frames: int, name: str) -> NDArray[np.float64]:
    """Spread a threshold over the frames."""
    values = np.asarray(threshold, np.float64)
    if values.shape not in ((), (n_frames,)):
        raise ValueError(
            f"{name} must be one number or one for each of {n_frames} frames, "
            f"found shape {values.shape}"
        )
    if not (values >= 0).all():
        raise ValueError(f"{name} must be 0 or more, found {values.min()}")
    return np.broadcast_to(values, (n_frames,))
