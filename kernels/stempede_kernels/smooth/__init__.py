"""Gaussian and box means of images, per frame, reflected at the border."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.dispatch import implementation, run_on_frames

__all__ = ["block_mean", "box_mean", "gaussian"]


def gaussian(images: Any, sigma_px: float, truncate: float = 4.0) -> Any:
    """Smooth every frame with a Gaussian.

    Same meaning as ``scipy.ndimage.gaussian_filter`` of each frame in mode ``reflect``
    (the border pixel is repeated), summed in float32.

    Parameters
    ----------
    images : (b, y, x) or (y, x) array of float32, or of what converts to it
        NumPy, torch or CuPy; the result stays where the images lie.
    sigma_px : float
        Standard deviation; 0 gives a copy.
    truncate : float
        Radius of the window in standard deviations, rounded to whole px.

    Returns
    -------
    (b, y, x) or (y, x) float32 array
        A NaN spreads as far as the window reaches.

    Raises
    ------
    TypeError
        If the images are not real numbers.
    ValueError
        If `sigma_px` or `truncate` is negative or not finite.
    """
    weights = half_gaussian(sigma_px, truncate)
    return run_on_frames(__name__, "gaussian", {"images": (images, "float32")}, weights=weights)


def box_mean(images: Any, size_px: int) -> Any:
    """Replace every pixel by the mean of the square window around it.

    Same meaning as ``scipy.ndimage.uniform_filter`` of each frame in mode ``reflect``; the
    effort does not grow with the size on a CPU.

    Parameters
    ----------
    images : (b, y, x) or (y, x) array of float32, or of what converts to it
        NumPy, torch or CuPy; finite: sums run along rows and columns, where a NaN would last.
    size_px : int
        Side of the window, odd.

    Returns
    -------
    (b, y, x) or (y, x) float32 array

    Raises
    ------
    TypeError
        If the images are not real numbers.
    ValueError
        If the side is even or below 1.
    """
    if size_px < 1 or size_px % 2 != 1:
        raise ValueError(f"size_px must be odd and at least 1, found {size_px}")
    maps = {"images": (images, "float32")}
    return run_on_frames(__name__, "box_mean", maps, radius=int(size_px) // 2)


def block_mean(image: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Return the means of factor x factor blocks; a rim that fills no block is repeated.

    Parameters
    ----------
    image : (y, x) float32 or bool array
    factor : int
        At least 1.

    Returns
    -------
    (rows, columns) float32 array

    Raises
    ------
    TypeError
        If the image is on a GPU, or neither float32 nor bool.
    ValueError
        If it is not two-dimensional or holds no pixel, or the factor is below 1.
    """
    if image.dtype not in (np.float32, np.bool_):
        raise TypeError(f"image must be float32 or bool, found {image.dtype}; convert it first")
    if image.ndim != 2 or image.size == 0 or factor < 1:
        raise ValueError(
            f"image must be (y, x) with pixels and factor at least 1, found {image.shape} and "
            f"{factor}"
        )
    run: Any = implementation(__name__, image).block_mean
    means: NDArray[np.float32] = run(np.ascontiguousarray(image), int(factor))
    return means


def half_gaussian(sigma_px: float, truncate: float) -> NDArray[np.float32]:
    """Return the weights at distances 0, 1, … of a window whose two halves sum to 1."""
    if not (0 <= sigma_px < np.inf and 0 <= truncate < np.inf):
        raise ValueError(
            f"sigma_px and truncate must be finite and not negative, "
            f"found {sigma_px} and {truncate}"
        )
    radius = int(truncate * sigma_px + 0.5)
    distance = np.arange(radius + 1)
    weights = np.exp(-0.5 * (distance / (sigma_px or 1.0)) ** 2)
    return (weights / (2 * weights.sum() - weights[0])).astype(np.float32)
