"""One whole piece per label, label by label."""

import numpy as np
from numpy.typing import NDArray


def whole_pieces(labels: NDArray[np.int32], *, fill: bool = True) -> NDArray[np.int32]:
    """Keep the largest piece of every label of a frame ``(y, x)``; fill its holes if asked."""
    out = np.zeros_like(labels)
    for label in np.unique(labels[labels > 0]):
        parts = _parts(labels == label, corners=False)
        largest = max(parts, key=lambda part: (len(part), [-c for c in min(part)]))
        out[tuple(np.array(largest).T)] = label
    h, w = labels.shape
    filled = out.copy()
    for gap in _parts(out == 0, corners=True):
        near = {(y + dy, x + dx) for y, x in gap for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))}
        at_rim = any(y in (0, h - 1) or x in (0, w - 1) for y, x in gap)
        owners = {int(out[p]) for p in near if 0 <= p[0] < h and 0 <= p[1] < w} - {0}
        if not at_rim and len(owners) == 1:
            filled[tuple(np.array(gap).T)] = owners.pop()
    return filled


def _parts(mask: NDArray[np.bool_], *, corners: bool) -> list[list[tuple[int, int]]]:
    """Connected parts of a mask, by edges or by corners too."""
    reach = (-1, 0, 1)
    steps = [(dy, dx) for dy in reach for dx in reach if corners or dy == 0 or dx == 0]
    left = set(map(tuple, np.argwhere(mask).tolist()))
    parts = []
    while left:
        todo, part = [left.pop()], []
        while todo:
            y, x = todo.pop()
            part.append((y, x))
            for dy, dx in steps:
                if (y + dy, x + dx) in left:
                    left.remove((y + dy, x + dx))
                    todo.append((y + dy, x + dx))
        parts.append(part)
    return parts
