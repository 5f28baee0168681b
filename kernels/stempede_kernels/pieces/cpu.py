"""Pieces of labels, from runs, and parts of them, for host arrays."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stempede_kernels.label.cpu import equal_runs, paint_runs


def whole_pieces(labels: NDArray[np.int32], *, fill: bool) -> NDArray[np.int32]:
    """Keep the largest piece of every label of a batch ``(b, y, x)``; fill its holes if asked."""
    out = np.zeros_like(labels)
    for frame, kept in zip(labels, out):
        _keep_whole(frame, fill, kept)
    return out


def separate(labels: NDArray[np.int32], *, least_px: int) -> NDArray[np.int32]:
    """Part the labels of a batch ``(b, y, x)`` that lie apart."""
    out = np.zeros_like(labels)
    for frame, parted in zip(labels, out):
        _separate(frame, least_px, parted)
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
def _separate(labels, least_px, out):
    """Part one frame into zeros."""
    begin, start, stop, value = equal_runs(labels)
    root = _pieces(begin, start, stop, np.minimum(value, 1), 0)
    area, several = np.zeros(len(root), np.int64), np.zeros(len(root), np.bool_)
    label, number = np.zeros(len(root), np.int32), np.zeros(len(root), np.int32)
    n_pieces = 0
    for run in range(len(root)):
        if value[run] == 0:
            continue
        piece = root[run]
        if piece == run:
            n_pieces += 1
            number[run], label[run] = n_pieces, value[run]
        area[piece] += stop[run] - start[run]
        several[piece] |= value[run] != label[piece]
        label[piece] = max(label[piece], value[run])
    largest = np.zeros(value.max() + 1, np.int64)
    for run in range(len(root)):
        largest[label[run]] = max(largest[label[run]], area[run])
    for run in range(len(root)):
        piece = root[run]
        if value[run] == 0:
            continue
        if several[piece]:
            value[run] += n_pieces
        elif area[piece] >= min(least_px, largest[label[piece]]):
            value[run] = number[piece]
        else:
            value[run] = 0
    paint_runs(begin, start, stop, value, out)


@njit(cache=True, nogil=True)
def _paint_blocks(labels, parts, factor, first, owner, has_parts, out):
    """Paint each block's part where it belongs; return the pixels that are left, (n, 2)."""
    begin, start, stop, value = equal_runs(labels)
    left = np.empty((1024, 2), np.int32)
    n = 0
    for y in range(labels.shape[0]):
        row = parts[min(y // factor, parts.shape[0] - 1)]
        for run in range(begin[y], begin[y + 1]):
            label = value[run]
            if not has_parts[label]:
                out[y, start[run] : stop[run]] = label
                continue
            for x in range(start[run], stop[run]):
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
def _root(parent, run):
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


@njit(cache=True, nogil=True)
def _pieces(begin, start, stop, value, reach):
    """Root run of every run: the first of its piece. Background joins with ``reach`` px more."""
    parent = np.arange(len(start)).astype(np.int32)
    for run in range(1, len(parent)):
        if start[run] > 0 and value[run] == value[run - 1]:
            parent[run] = parent[run - 1]
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
def _keep_whole(labels, fill, out):
    """Keep the largest pieces of one frame, filled if asked, in zeros."""
    begin, start, stop, value = equal_runs(labels)
    _keep_largest(begin, start, stop, value)
    if fill:
        _fill_holes(begin, start, stop, value, labels.shape[1])
    paint_runs(begin, start, stop, value, out)


@njit(cache=True, nogil=True)
def _keep_largest(begin, start, stop, value):
    """Give the runs of all pieces but the largest of each label to the background."""
    piece = _pieces(begin, start, stop, value, 0)
    area = np.zeros(len(piece), np.int64)
    for run in range(len(piece)):
        area[piece[run]] += stop[run] - start[run]
    largest = np.full(value.max() + 1, -1, np.int32)
    for run in range(len(piece)):
        best = largest[value[run]]
        if piece[run] == run and (best < 0 or area[run] > area[best]):
            largest[value[run]] = run
    for run in range(len(piece)):
        if piece[run] != largest[value[run]]:
            value[run] = 0


@njit(cache=True, nogil=True)
def _fill_holes(begin, start, stop, value, width):
    """Give background pieces that touch one label only, and not the rim, to that label."""
    piece = _pieces(begin, start, stop, value, 1)
    # 0: no neighbour seen yet; -1: several, or the rim
    owner = np.zeros(len(piece), np.int32)
    last = len(begin) - 2
    for y in range(last + 1):
        for run in range(begin[y], begin[y + 1]):
            if value[run] != 0:
                continue
            if y == 0 or y == last or start[run] == 0 or stop[run] == width:
                owner[piece[run]] = -1
                continue
            _meet(owner, piece[run], value[run - 1])
            _meet(owner, piece[run], value[run + 1])
    for y in range(1, last + 1):
        above = begin[y - 1]
        for run in range(begin[y], begin[y + 1]):
            while stop[above] <= start[run]:
                above += 1
            other = above
            while other < begin[y] and start[other] < stop[run]:
                if value[run] == 0:
                    _meet(owner, piece[run], value[other])
                elif value[other] == 0:
                    _meet(owner, piece[other], value[run])
                other += 1
    for run in range(len(piece)):
        if value[run] == 0 and owner[piece[run]] > 0:
            value[run] = owner[piece[run]]


@njit(cache=True, nogil=True)
def _meet(owner, root, label):
    """Note a label, 0 being none, beside a piece of the background."""
    if label == 0:
        return
    if owner[root] == 0:
        owner[root] = label
    elif owner[root] != label:
        owner[root] = -1
