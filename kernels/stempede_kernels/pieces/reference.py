"""Pieces of labels and parts of them, label by label and pixel by pixel."""

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


def separate(labels: NDArray[np.int32], least_px: int) -> NDArray[np.int32]:
    """Part the labels of a frame ``(y, x)``; the same meaning as the kernel, in plain steps."""
    parts = sorted((sorted(p) for p in _parts(labels > 0, corners=False)), key=lambda p: p[0])
    held = [sorted({int(labels[pixel]) for pixel in part}) for part in parts]
    out = np.zeros_like(labels)
    for number, (part, own) in enumerate(zip(parts, held), start=1):
        alike = max(len(p) for p, o in zip(parts, held) if o[-1] == own[-1])
        for pixel in part:
            if len(own) > 1:
                out[pixel] = len(parts) + labels[pixel]
            elif len(part) >= min(least_px, alike):
                out[pixel] = number
    return out


def paint_parts(
    labels: NDArray[np.int32], parts: NDArray[np.int32], factor: int
) -> NDArray[np.int32]:
    """Paint parts over one frame ``(y, x)``; the same meaning as the kernel, in plain steps."""
    middles = labels[factor // 2 :: factor, factor // 2 :: factor]
    owner = {int(p): int(a) for p, a in zip(parts.ravel(), middles.ravel()) if p > 0}
    out = labels.copy()
    left = []
    for y, x in np.argwhere(np.isin(labels, [a for a in owner.values() if a > 0])).tolist():
        block = min(y // factor, parts.shape[0] - 1), min(x // factor, parts.shape[1] - 1)
        out[y, x] = parts[block] if owner.get(int(parts[block])) == labels[y, x] else 0
        if out[y, x] == 0:
            left.append((y, x))
    for _ in range(2 * factor + 2):
        seen = out.copy()
        for y, x in left:
            near = seen[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].ravel().tolist()
            out[y, x] = max([p for p in near if owner.get(p) == labels[y, x]], default=0)
        left = [(y, x) for y, x in left if out[y, x] == 0]
    return out


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
