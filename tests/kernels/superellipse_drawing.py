"""Labelled superellipses for tests, drawn by the reference alone."""

import numpy as np

from stempede_kernels.superellipse import reference

# y, x, radius, angle, p, d, L; odd places, unequal axes, both sides of p = 2
SHAPES = np.array(
    [
        [20.3, 24.8, 13.0, 0.3, 2.0, 2, 1.7],
        [21.7, 22.4, 14.0, 1.1, 6.0, 2, 1.0],
        [19.6, 23.1, 16.0, 0.4, 1.4, 3, 1.6],
        [22.2, 21.9, 15.0, 2.0, 0.8, 4, 1.8],
        [20.9, 22.6, 15.0, 0.1, 1.0, 5, 1.5],
        [21.1, 26.5, 15.0, 0.9, 1.2, 1, 2.6],
    ]
)
FRAME = (45, 49)


def labelled(shapes=SHAPES, frame=FRAME, value=1):
    """Return (n, y, x) int32 labels, one shape per frame, and frame, label and box of each."""
    y, x = np.mgrid[: frame[0], : frame[1]]
    labels = np.zeros((len(shapes), *frame), np.int32)
    boxes = []
    for k, shape in enumerate(shapes):
        dy, dx = y - shape[0], x - shape[1]
        inside = np.hypot(dy, dx) <= reference.radius(np.arctan2(dy, dx), shape)
        labels[k][inside] = value
        rows, columns = np.nonzero(inside)
        boxes.append([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
    n = len(shapes)
    return labels, np.arange(n), np.full(n, value), np.array(boxes)
