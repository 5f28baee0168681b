"""Connected regions of one frame, by flooding them in raster order."""

import numpy as np
from numpy.typing import NDArray


def label(mask: NDArray[np.bool_], connectivity: int = 1) -> tuple[NDArray[np.int32], int]:
    """Number the regions of one frame ``(y, x)``."""
    labels = np.zeros(mask.shape, np.int32)
    n_labels = 0
    for start in zip(*np.nonzero(mask), strict=True):
        if labels[start]:
            continue
        n_labels += 1
        labels[start] = n_labels
        front = [start]
        while front:
            for pixel in neighbours(front.pop(), mask.shape, connectivity):
                if mask[pixel] and not labels[pixel]:
                    labels[pixel] = n_labels
                    front.append(pixel)
    return labels, n_labels


def renumber(labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
    """Number the labels of one frame ``(y, x)`` by their first pixels."""
    found = list(dict.fromkeys(int(label) for label in labels.flat if label > 0))
    numbered = np.zeros(labels.shape, np.int32)
    for number, label in enumerate(found, start=1):
        numbered[labels == label] = number
    return numbered, len(found)


def neighbours(
    pixel: tuple[int, int], shape: tuple[int, ...], connectivity: int
) -> list[tuple[int, int]]:
    """List the neighbours inside the frame: by edges (up, left, right, down), then by corners."""
    y, x = pixel
    near = [(y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)]
    if connectivity == 2:
        near += [(y - 1, x - 1), (y - 1, x + 1), (y + 1, x - 1), (y + 1, x + 1)]
    return [(j, i) for j, i in near if 0 <= j < shape[0] and 0 <= i < shape[1]]
