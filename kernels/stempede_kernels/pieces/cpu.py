"""Pieces of labels, from runs, and parts of them, for host arrays."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stempede_kernels.label.cpu import label_runs


def whole_pieces(labels: NDArray[np.int32], *, fill: bool) -> NDArray[np.int32]:
    """Keep the largest piece of every label of a batch ``(b, y, x)``; fill its holes if asked."""
    out = np.zeros_like(labels)
    for frame, kept in zip(labels, out):
        _keep_largest(frame, kept, int(frame.max()))
        if fill:
            _fill_holes(kept)
    return out


def separate(labels: NDArray[np.int32], *, least_px: int) -> NDArray[np.int32]:
    """Part the labels of a batch ``(b, y, x)`` that lie apart."""
    out = np.zeros_like(labels)
    for frame, parted in zip(labels, out):
        _separate(frame, (frame > 0).view(np.uint8), least_px, int(frame.max()), parted)
    return out


def paint_parts(
    labels: NDArray[np.int32], parts: NDArray[np.int32], factor: int, first: int
) -> NDArray[np.int32]:
    """Paint parts, numbered from ``first`` or later, over one frame ``(y, x)`` of labels."""
    owner = np.zeros(max(int(parts.max()) - first, 0) + 1, np.int32)
    middles = labels[factor // 2 :: factor, factor // 2 :: factor]
    owner[parts[parts > 0] - first] = middles[parts > 0]
    has_parts = np.zeros(first, np.bool_)
    has_parts[owner] = True
    has_parts[0] = False
    out = np.empty_like(labels)
    left = _paint_blocks(labels, parts, factor, first, owner, has_parts, out)
    _spread(labels, first, owner, left, 2 * factor + 2, out)
    return out


@njit(cache=True, nogil=True)
def _separate(labels, mask, least_px, n_labels, out):
    begin, starts, stops, piece, n_pieces = label_runs(mask, 0)
    area, label = np.zeros(n_pieces + 1, np.int64), np.zeros(n_pieces + 1, np.int32)
    several = np.zeros(n_pieces + 1, np.bool_)
    for y in range(len(begin) - 1):
        for run in range(begin[y], begin[y + 1]):
            number = piece[run]
            area[number] += stops[run] - starts[run]
            if label[number] == 0:
                label[number] = labels[y, starts[run]]
            for x in range(starts[run], stops[run]):
                several[number] |= labels[y, x] != label[number]
                label[number] = max(label[number], labels[y, x])
    largest = np.zeros(n_labels + 1, np.int64)
    for number in range(1, n_pieces + 1):
        largest[label[number]] = max(largest[label[number]], area[number])
    for y in range(len(begin) - 1):
        for run in range(begin[y], begin[y + 1]):
            number = piece[run]
            if several[number]:
                out[y, starts[run] : stops[run]] = n_pieces + labels[y, starts[run] : stops[run]]
            elif area[number] >= min(least_px, largest[label[number]]):
                out[y, starts[run] : stops[run]] = number


@njit(cache=True, nogil=True)
def _paint_blocks(labels, parts, factor, first, owner, has_parts, out):
    """Paint each block's part where it belongs; return the pixels that are left, (n, 2)."""
    height, width = labels.shape
    left = np.empty((1024, 2), np.int32)
    n = 0
    for y in range(height):
        row = parts[min(y // factor, parts.shape[0] - 1)]
        for x in range(width):
            label = labels[y, x]
            out[y, x] = label
            if not has_parts[label]:
                continue
            part = row[min(x // factor, parts.shape[1] - 1)]
            if part > 0 and owner[part - first] == label:
                out[y, x] = part
                continue
            out[y, x] = 0
            if n == len(left):
                longer = np.empty((2 * n, 2), np.int32)
                longer[:n] = left
                left = longer
            left[n, 0], left[n, 1] = y, x
            n += 1
    return left[:n]


@njit(cache=True, nogil=True)
def _spread(labels, first, owner, left, n_rounds, out):
    """Give pixels that are left the greatest part of their label beside them."""
    height, width = labels.shape
    value = np.empty(len(left), np.int32)
    n = len(left)
    for _ in range(n_rounds):
        for k in range(n):
            y, x = left[k]
            value[k] = 0
            for v in range(max(y - 1, 0), min(y + 2, height)):
                for u in range(max(x - 1, 0), min(x + 2, width)):
                    near = out[v, u]
                    if near >= first and owner[near - first] == labels[y, x]:
                        value[k] = max(value[k], near)
        n_left = 0
        # written after all are looked at, so that the order of pixels does not matter
        for k in range(n):
            out[left[k, 0], left[k, 1]] = value[k]
            if value[k] == 0:
                left[n_left] = left[k]
                n_left += 1
        n = n_left


@njit(cache=True, nogil=True)
def _runs(labels):
    """Runs of equal label in raster order: first run of each row, start, stop, label."""
    height, width = labels.shape
    n = 0
    for y in range(height):
        n += 1
        for x in range(1, width):
            n += labels[y, x] != labels[y, x - 1]
    begin = np.empty(height + 1, np.int32)
    start, stop, value = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    run = 0
    for y in range(height):
        begin[y] = run
        start[run] = 0
        for x in range(1, width):
            if labels[y, x] != labels[y, x - 1]:
                stop[run], value[run] = x, labels[y, x - 1]
                run += 1
                start[run] = x
        stop[run], value[run] = width, labels[y, width - 1]
        run += 1
    begin[height] = run
    return begin, start, stop, value


@njit(cache=True, nogil=True)
def _root(parent, run):
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


@njit(cache=True, nogil=True)
def _pieces(begin, start, stop, value, reach):
    """Root run of every run: the first of its piece. Background joins with ``reach`` px more."""
    parent = np.arange(len(start)).astype(np.int32)
    for y in range(1, len(begin) - 1):
        above = begin[y - 1]
        for run in range(begin[y], begin[y + 1]):
            wide = reach if value[run] == 0 else 0
            while above > begin[y - 1] and stop[above - 1] + reach > start[run]:
                above -= 1
            while above < begin[y] and stop[above] + wide <= start[run]:
                above += 1
            other = above
            while other < begin[y] and start[other] < stop[run] + wide:
                if value[other] == value[run] and stop[other] + wide > start[run]:
                    a, b = _root(parent, other), _root(parent, run)
                    parent[max(a, b)] = min(a, b)
                other += 1
    for run in range(len(parent)):
        parent[run] = parent[parent[run]]
    return parent


@njit(cache=True, nogil=True)
def _keep_largest(labels, out, n_labels):
    begin, start, stop, value = _runs(labels)
    piece = _pieces(begin, start, stop, value, 0)
    area = np.zeros(len(piece), np.int64)
    for run in range(len(piece)):
        area[piece[run]] += stop[run] - start[run]
    largest = np.full(n_labels + 1, -1, np.int32)
    for run in range(len(piece)):
        best = largest[value[run]]
        if piece[run] == run and (best < 0 or area[run] > area[best]):
            largest[value[run]] = run
    for y in range(len(begin) - 1):
        for run in range(begin[y], begin[y + 1]):
            if value[run] > 0 and piece[run] == largest[value[run]]:
                out[y, start[run] : stop[run]] = value[run]


@njit(cache=True, nogil=True)
def _fill_holes(labels):
    """Give background pieces that touch one label only, and not the rim, to that label."""
    begin, start, stop, value = _runs(labels)
    piece = _pieces(begin, start, stop, value, 1)
    height, width = labels.shape
    # 0: no neighbour seen yet; -1: several, or the rim
    owner = np.zeros(len(piece), np.int32)
    for y in range(height):
        for run in range(begin[y], begin[y + 1]):
            if value[run] != 0:
                continue
            root = piece[run]
            if y == 0 or y == height - 1 or start[run] == 0 or stop[run] == width:
                owner[root] = -1
                continue
            _meet(owner, root, value[run - 1])
            _meet(owner, root, value[run + 1])
            for other_y in (y - 1, y + 1):
                for x in range(start[run], stop[run]):
                    if owner[root] < 0:
                        break
                    if labels[other_y, x] > 0:
                        _meet(owner, root, labels[other_y, x])
    for y in range(height):
        for run in range(begin[y], begin[y + 1]):
            if value[run] == 0 and owner[piece[run]] > 0:
                labels[y, start[run] : stop[run]] = owner[piece[run]]


@njit(cache=True, nogil=True)
def _meet(owner, root, label):
    if owner[root] == 0:
        owner[root] = label
    elif owner[root] != label:
        owner[root] = -1
