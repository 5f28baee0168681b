"""Square windows of frames at one size, what is foreign left out, on the host."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.crops import cpu
from stempede_kernels.threads import spread

__all__ = ["Cut", "cut", "paint"]


class Cut(NamedTuple):
    """Resampled windows.

    Parameters
    ----------
    crops : (n, size, size) float32 array
        Means over the points of each pixel that count; 0 where none does.
    missing : (n, size, size) bool array
        Pixels without such a point.
    support : (n, 3) float64 array
        Number, mean and standard deviation of the pixels that see background alone.
    """

    crops: NDArray[np.float32]
    missing: NDArray[np.bool_]
    support: NDArray[np.float64]


def cut(
    images: NDArray[np.float32],
    labels: NDArray[np.int32],
    valid: NDArray[np.bool_],
    place: NDArray[np.int64],
    window: NDArray[np.float64],
    size: int,
) -> Cut:
    """Resample windows of frames.

    Parameters
    ----------
    images, labels, valid : (b, y, x) arrays
        Pixels of other labels, not valid or outside the frame do not enter.
    place : (n, 3) int64 array
        Index of the frame, label, points per crop pixel and axis.
    window : (n, 3) float64 array
        Middle y, x and side of a crop pixel, px.
    size : int
        Side of the crops.

    Returns
    -------
    Cut
        Each point is bilinear over the neighbours that enter; it counts if they weigh half or
        more.
    """
    n = len(place)
    crops = np.zeros((n, size, size), np.float32)
    missing = np.zeros((n, size, size), np.bool_)
    support = np.zeros((n, 3))
    spread(cpu.cut, n, images, labels, valid, place, window, crops, missing, support, at_once=16)
    return Cut(crops, missing, support)


def paint(found: Cut, seed: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Fill what is missing with normal noise of the support, a hash of seed (n,) and pixel.

    The crops are changed in place and returned.
    """
    n = len(found.crops)
    spread(cpu.paint, n, found.crops, found.missing, found.support, seed, at_once=64)
    return found.crops
