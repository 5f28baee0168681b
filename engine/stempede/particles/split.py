"""Split: touching particles, by distance transform, h-maxima markers and watershed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from stempede_kernels.distance import distance
from stempede_kernels.maxima import label_h_maxima
from stempede_kernels.pieces import whole_pieces
from stempede_kernels.watershed import watershed

from stempede.frames import Batch


@dataclass(frozen=True)
class Split:
    """Cut regions at their necks.

    Parameters
    ----------
    depth : float
        A neck is cut where the distance to the background falls by this share of the
        smaller part's greatest distance.
    least_px : float
        And by this much at least, so that the ragged outline of a small region makes no neck.
    """

    depth: float = 0.12
    least_px: float = 0.75

    name: ClassVar[str] = "particles.split"
    reads: ClassVar[tuple[str, ...]] = ("regions",)
    writes: ClassVar[tuple[str, ...]] = ("labels",)

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with ``labels``: int32, 0 background, 1..n per frame in raster order."""
        labels = batch.backend.through_host(
            self.name,
            split_regions,
            batch.maps["regions"],
            depth=self.depth,
            least_px=self.least_px,
        )
        return batch.with_(maps={"labels": labels})


def split_regions(regions: np.ndarray, depth: float, least_px: float) -> np.ndarray:
    """Return (b, y, x) int32 labels of regions cut at their necks.

    Labels run from 1 in raster order of each particle's first pixel, per frame.
    """
    mask = regions > 0
    inside = distance(mask & ~borders(regions))
    markers, _ = label_h_maxima(inside, least_px, mask, h_relative=depth)
    parts = watershed(-inside, markers, mask)
    return np.stack([number(*pair) for pair in zip(parts, regions)])


def borders(regions: np.ndarray) -> np.ndarray:
    """Return the pixels of (b, y, x) labels that touch another label by an edge."""
    touch = np.zeros(regions.shape, bool)
    for axis in (1, 2):
        first = np.take(regions, range(regions.shape[axis] - 1), axis)
        second = np.take(regions, range(1, regions.shape[axis]), axis)
        meet = (first != second) & (first > 0) & (second > 0)
        ahead = (slice(None),) * axis + (slice(None, -1),)
        behind = (slice(None),) * axis + (slice(1, None),)
        touch[ahead] |= meet
        touch[behind] |= meet
    return touch


def number(parts: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Return (y, x) labels of the pairs of part and region, whole and in raster order."""
    n = int(parts.max(initial=0)) + 1
    pair = regions.astype(np.int64) * n + parts
    pair[parts == 0] = 0
    _, index = np.unique(pair, return_inverse=True)
    whole = whole_pieces(index.reshape(parts.shape).astype(np.int32))
    labels, first = np.unique(whole, return_index=True)
    order = labels[np.argsort(first, kind="stable")]
    table = np.zeros(int(whole.max(initial=0)) + 1, np.int32)
    table[order[order > 0]] = np.arange(1, np.count_nonzero(order) + 1)
    return table[whole]
