"""Votes and edges on circles, in plain steps."""

import numpy as np
from numpy.typing import NDArray


def vote(
    edges: NDArray[np.float64],
    shape: tuple[int, int],
    radii: NDArray[np.float64],
    *,
    cell: int,
    rim: int,
    near: float,
    least: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Most votes over half a circle, and the radius that has them."""
    size = tuple(-(-n // cell) + 2 * rim for n in shape)
    best, radius = np.full(size, least), np.zeros(size)
    for r in radii:
        reach = int(r * near / cell + 0.5)
        counts = np.zeros(tuple(n + 2 * reach for n in size))
        centres = (edges[:, :2] + r * edges[:, 2:] + 0.5) / cell + rim + reach
        np.add.at(counts, tuple(centres.astype(int).T), 1)
        square = (2 * reach + 1, 2 * reach + 1)
        votes = np.lib.stride_tricks.sliding_window_view(counts, square).sum((2, 3)) / (np.pi * r)
        better = votes > best
        best, radius = np.where(better, votes, best), np.where(better, r, radius)
    return best, radius


def edges_on(
    circles: NDArray[np.float64],
    at: NDArray[np.float64],
    slopes: tuple[NDArray[np.float32], NDArray[np.float32]],
    *,
    directions: int,
    floor: float,
    facing: float,
) -> NDArray[np.int8]:
    """Which of the places on each circle and direction has the steepest edge; -1 where none."""
    down, right = slopes
    angles = 2 * np.pi * np.arange(directions) / directions
    sine, cosine = np.sin(angles)[:, None], np.cos(angles)[:, None]
    y, x, r = circles.T[:, :, None, None]
    iy = (np.clip(y + sine * (r * at), 0, down.shape[0] - 1) + 0.5).astype(int)
    ix = (np.clip(x + cosine * (r * at), 0, down.shape[1] - 1) + 0.5).astype(int)
    inward = -down[iy, ix] * sine - right[iy, ix] * cosine
    rise = np.sqrt(down[iy, ix] ** 2 + right[iy, ix] ** 2)
    inward[(inward < floor) | (inward / np.maximum(rise, 1e-12) < facing)] = 0
    return np.where(inward.max(axis=2) > 0, inward.argmax(axis=2), -1).astype(np.int8)


def apart(circles: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """Which circles are not too close to one that is kept before them."""
    kept = np.zeros(len(circles), bool)
    for i, (y, x, r) in enumerate(circles):
        others = circles[kept]
        gap = np.hypot(others[:, 0] - y, others[:, 1] - x)
        kept[i] = np.all(gap > share * np.maximum(others[:, 2], r))
    return kept
