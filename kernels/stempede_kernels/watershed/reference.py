"""Watershed of one frame with a plain priority queue."""

import heapq

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.label.reference import neighbours


def watershed(
    height: NDArray[np.float32],
    markers: NDArray[np.int32],
    mask: NDArray[np.bool_],
    connectivity: int = 1,
) -> NDArray[np.int32]:
    """Flood one frame ``(y, x)`` in the order of (level, age)."""
    labels = np.where(mask & (markers > 0), markers, 0).astype(np.int32)
    height = np.where(np.isnan(height), np.inf, height)
    sources = list(zip(*np.nonzero(labels), strict=True))
    queue = [(float(height[pixel]), age, pixel) for age, pixel in enumerate(sources)]
    heapq.heapify(queue)
    age = len(queue)
    while queue:
        level, _, pixel = heapq.heappop(queue)
        for near in neighbours(pixel, mask.shape, connectivity):
            if mask[near] and not labels[near]:
                labels[near] = labels[pixel]
                heapq.heappush(queue, (max(level, float(height[near])), age, near))
                age += 1
    return labels
