"""Medians and quantiles, each by one selection: NumPy selects one rank far faster than several."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def quantiles(values: Any, shares: tuple[float, ...], xp: Any = np) -> list[float]:
    """Return quantiles of all values, as ``numpy.quantile`` does.

    Parameters
    ----------
    values : array of floats
        At least one, none of them NaN.
    shares : tuple of float
        0 to 1.
    xp : module
        NumPy or CuPy, whose the values are.
    """
    if xp is not np:
        found: list[float] = xp.quantile(values, xp.asarray(shares)).tolist()
        return found
    return [float(_quantile(values.reshape(1, -1), share)[0]) for share in shares]


def median(values: Any, xp: Any = np) -> float:
    """Return the median of all values; see ``quantiles``."""
    return quantiles(values, (0.5,), xp)[0]


def row_medians(values: Any, xp: Any = np) -> Any:
    """Return the median of each row of an (n, m) array of floats without NaN, on its device."""
    if xp is not np:
        return xp.median(values, axis=1)
    return _quantile(values, 0.5)


def _quantile(values: NDArray[Any], share: float) -> NDArray[np.float64]:
    """Return a quantile of each row, between two values in proportion."""
    rank = share * (values.shape[1] - 1)
    below = int(rank)
    parted = np.partition(values, below, axis=1)
    low = parted[:, below].astype(np.float64)
    if rank == below:
        return low
    high = parted[:, below + 1 :].min(axis=1)
    found: NDArray[np.float64] = low + (high - low) * (rank - below)
    return found
