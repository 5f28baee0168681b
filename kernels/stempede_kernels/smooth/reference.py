"""Separable means of one frame in float64, reflected at the border."""

import numpy as np
from numpy.typing import NDArray


def gaussian(image: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Weigh the window of every pixel of one frame ``(y, x)`` by the distance along each axis."""
    full = np.concatenate([weights[:0:-1], weights]).astype(np.float64)
    radius = len(weights) - 1
    padded = np.pad(image.astype(np.float64), radius, mode="symmetric")
    columns = np.apply_along_axis(np.convolve, 0, padded, full, "valid")
    result: NDArray[np.float64] = np.apply_along_axis(np.convolve, 1, columns, full, "valid")
    return result


def box_mean(image: NDArray[np.float32], radius: int) -> NDArray[np.float64]:
    """Average the window of every pixel of one frame ``(y, x)``."""
    return gaussian(image, np.full(radius + 1, 1 / (2 * radius + 1)))


def block_mean(image: NDArray[np.float32], factor: int) -> NDArray[np.float64]:
    """Average the blocks of one frame ``(y, x)``; the last row and column are repeated."""
    more = [(0, -n % factor) for n in image.shape]
    filled = np.pad(image.astype(np.float64), more, mode="edge")
    rows, columns = (n // factor for n in filled.shape)
    result: NDArray[np.float64] = filled.reshape(rows, factor, columns, factor).mean(axis=(1, 3))
    return result
