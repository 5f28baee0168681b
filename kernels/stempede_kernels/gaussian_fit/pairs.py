"""Which Gaussians reach into which windows."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# room for what moves during the fit
SLACK_PX = 1.0


def pairs_in_reach(
    frame: Ints,
    theta: Floats,
    window: int,
    reach_sigma: float,
    wanted: bool,  # noqa: FBT001
) -> tuple[Ints, Ints]:
    """List for each fit the others of its frame that reach its window, in order of number.

    Parameters
    ----------
    frame : (n,) int64 array
    theta : (n, 9) float64 array
        Positions and precisions.
    window : int
        Side of the windows in px.
    reach_sigma : float
        Radius of a Gaussian in its larger widths.
    wanted : bool
        False lists none.

    Returns
    -------
    first, beside : (n + 1,) and (p,) int64 arrays
        Neighbours of f: ``beside[first[f] : first[f + 1]]``.
    """
    n = len(theta)
    usable = np.isfinite(theta[:, :6]).all(axis=1)
    if not wanted or usable.sum() < 2:
        return np.zeros(n + 1, np.int64), np.zeros(0, np.int64)
    radius = np.where(usable, reach_sigma * wider_sigma(theta) + SLACK_PX, 0.0)
    half = window / 2
    cell = half + radius[usable].max()
    ones, others = _candidates(frame, theta, np.flatnonzero(usable), cell)
    gap = np.maximum(np.abs(theta[ones, :2] - theta[others, :2]) - half, 0.0)
    kept = (ones != others) & ((gap**2).sum(axis=1) <= radius[others] ** 2)
    ones, others = ones[kept], others[kept]
    order = np.lexsort((others, ones))
    first = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(ones, minlength=n), out=first[1:])
    return first, others[order]


def _candidates(frame: Ints, theta: Floats, usable: Ints, cell: float) -> tuple[Ints, Ints]:
    """Return all pairs of one frame whose cells of a grid touch, each with itself too."""
    place = theta[usable, :2]
    index = np.floor((place - place.min(axis=0)) / cell).astype(np.int64) + 1
    width = int(index[:, 1].max()) + 2
    height = int(index[:, 0].max()) + 2
    key = (frame[usable] * height + index[:, 0]) * width + index[:, 1]
    order = np.argsort(key, kind="stable")
    key = key[order]
    ones, others = [], []
    for step in (i * width + k for i in (-1, 0, 1) for k in (-1, 0, 1)):
        low = np.searchsorted(key, key + step, "left")
        count = np.searchsorted(key, key + step, "right") - low
        ends = np.cumsum(count)
        ones.append(np.repeat(order, count))
        places = np.arange(ends[-1]) + np.repeat(low - ends + count, count)
        others.append(order[places])
    return usable[np.concatenate(ones)], usable[np.concatenate(others)]


def wider_sigma(theta: Floats) -> Floats:
    """Return the larger width of every Gaussian."""
    mean = 0.5 * (theta[:, 3] + theta[:, 5])
    half = np.hypot(0.5 * (theta[:, 3] - theta[:, 5]), theta[:, 4])
    with np.errstate(divide="ignore", invalid="ignore"):
        sigma: Floats = 1.0 / np.sqrt(mean - half)
    return sigma
