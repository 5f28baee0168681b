"""Distance to the nearest background pixel, by looking at all of them."""

import numpy as np
from numpy.typing import NDArray


def distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Measure one frame ``(y, x)`` in float64."""
    result = np.zeros(mask.shape, np.float64)
    background = np.argwhere(~mask)  # (n, 2)
    for y, x in np.argwhere(mask):
        squares = ((background - (y, x)) ** 2).sum(axis=1)
        result[y, x] = np.sqrt(squares.min()) if len(squares) else np.inf
    return result
