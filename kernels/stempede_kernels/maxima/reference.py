"""Maxima of one frame by a search for the highest way out of each."""

import heapq

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.label.reference import neighbours

Pixel = tuple[int, int]


def label_h_maxima(
    height: NDArray[np.float32],
    mask: NDArray[np.bool_],
    h: float,
    h_relative: float = 0.0,
    connectivity: int = 2,
) -> tuple[NDArray[np.int32], int]:
    """Number the maxima of one frame ``(y, x)`` whose dynamic is high enough."""
    level = np.where(np.isnan(height), -np.inf, height).astype(np.float64)
    markers = np.zeros(level.shape, np.int32)
    seen = np.zeros(level.shape, bool)
    n_markers = 0
    for first in zip(*np.nonzero(mask), strict=True):
        if seen[first]:
            continue
        plateau = _plateau(level, mask, first, connectivity)
        seen[tuple(np.transpose(plateau))] = True
        least = max(h, h_relative * level[first])
        dynamic = _dynamic(level, mask, first, connectivity)
        if dynamic >= least and dynamic > 0:
            n_markers += 1
            markers[tuple(np.transpose(plateau))] = n_markers
    return markers, n_markers


def _plateau(
    level: NDArray[np.float64], mask: NDArray[np.bool_], first: Pixel, connectivity: int
) -> list[Pixel]:
    """List the pixels of one level connected to the first."""
    plateau = [first]
    for pixel in plateau:
        for near in neighbours(pixel, level.shape, connectivity):
            if mask[near] and level[near] == level[first] and near not in plateau:
                plateau.append(near)
    return plateau


def _dynamic(
    level: NDArray[np.float64], mask: NDArray[np.bool_], first: Pixel, connectivity: int
) -> float:
    """Descend as little as possible until a higher pixel is reached; inf if there is none."""
    saddle = level[first]
    reached = {first}
    front = [(-level[first], first)]
    while front:
        minus_level, pixel = heapq.heappop(front)
        saddle = min(saddle, -minus_level)
        if (level[pixel], first) > (level[first], pixel):
            return float(level[first] - saddle)
        for near in neighbours(pixel, level.shape, connectivity):
            if mask[near] and near not in reached:
                reached.add(near)
                heapq.heappush(front, (-level[near], near))
    return np.inf
