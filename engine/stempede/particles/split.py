"""Split: touching particles, by distance transform, h-maxima markers and watershed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stempede.frames import Batch


@dataclass(frozen=True)
class Split:
    """Cut regions at their necks.

    Parameters
    ----------
    depth : float
        A neck is cut when the distance to the background falls by more than this share
        of the smaller part's greatest distance.
    """

    depth: float = 0.25

    name: ClassVar[str] = "particles.split"
    reads: ClassVar[tuple[str, ...]] = ("regions",)
    writes: ClassVar[tuple[str, ...]] = ("labels",)

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with ``labels``: int32, 0 background, 1..n per frame in raster order."""
        labels = batch.backend.through_host(
            self.name, split_regions, batch.maps["regions"], depth=self.depth
        )
        return batch.with_(maps={"labels": labels})


def split_regions(regions: np.ndarray, depth: float) -> np.ndarray:
    """Return (b, y, x) int32 labels of regions cut at their necks."""
    return np.stack([_split_frame(r, depth) for r in regions])


def _split_frame(regions: np.ndarray, depth: float) -> np.ndarray:
    from scipy import ndimage
    from skimage.morphology import h_maxima
    from skimage.segmentation import relabel_sequential, watershed

    distance = ndimage.distance_transform_edt(regions > 0).astype(np.float32)
    # in the logarithm a drop by a share is a drop by a constant
    height = np.log(np.maximum(distance, 1.0)).astype(np.float32)
    markers, _ = ndimage.label(h_maxima(height, -np.log1p(-depth)) > 0, np.ones((3, 3)))
    markers[regions == 0] = 0
    labels = watershed(-distance, markers, mask=regions > 0)
    return _raster_order(relabel_sequential(labels)[0])


def _raster_order(labels: np.ndarray) -> np.ndarray:
    first = np.unique(labels.ravel(), return_index=True)
    order = first[0][np.argsort(first[1], kind="stable")]
    order = order[order > 0]
    table = np.zeros(int(labels.max(initial=0)) + 1, np.int32)
    table[order] = np.arange(1, len(order) + 1)
    out: Any = table[labels]
    return out
