"""Sharpest disjoint regions of one frame, from the max-tree of its levels."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


def sharp_regions(
    levels: NDArray[np.uint16],
    strength: NDArray[np.float32],
    floor: float,
    share: float,
    min_area: int,
    max_area: int,
    max_thickness: float,
    doubt: float,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Select regions of a frame ``(y, x)``; see the package's docstring."""
    height, width = levels.shape
    flat = levels.ravel()
    order = _ascending(flat, int(levels.max()) + 1)
    parent = _max_tree(flat, order, height, width)
    area, perimeter, total = _boundaries(flat, strength.ravel(), parent, order, height, width)
    limits = (min_area, max_area, max_thickness, doubt)
    rim = _touching_rim(parent, order, height, width)
    sums = (area, perimeter, total, rim)
    labels, nodes = _select(flat, parent, order, sums, floor, limits)
    if share > 0 and len(nodes):
        raised = share * _typical(area, perimeter, total, nodes, floor)
        if raised > floor:
            labels, nodes = _select(flat, parent, order, sums, raised, limits)
    regions = np.stack([area[nodes], perimeter[nodes], total[nodes]], axis=1).astype(np.float64)
    return labels.reshape(height, width), regions


def _typical(area, perimeter, total, nodes, floor):
    """Median of the mean strengths of regions, weighted by what they gain above the floor."""
    mean = total[nodes] / perimeter[nodes]
    rank = np.argsort(mean, kind="stable")
    gained = np.cumsum((total[nodes] - floor * perimeter[nodes])[rank])
    return float(mean[rank[np.searchsorted(gained, gained[-1] / 2)]])


@njit(cache=True, nogil=True)
def _ascending(levels, n_levels):
    """Pixels by rising level, raster order within a level."""
    begin = np.zeros(n_levels + 1, np.int64)
    for p in range(levels.size):
        begin[levels[p] + 1] += 1
    for level in range(n_levels):
        begin[level + 1] += begin[level]
    order = np.empty(levels.size, np.int32)
    for p in range(levels.size):
        order[begin[levels[p]]] = p
        begin[levels[p]] += 1
    return order


@njit(cache=True, nogil=True)
def _root(sets, p):
    root = p
    while sets[root] != root:
        root = sets[root]
    while sets[p] != root:
        sets[p], p = root, sets[p]
    return root


@njit(cache=True, nogil=True)
def _max_tree(levels, order, height, width):
    """Parent of every pixel; a node is represented by one pixel, all others point to it."""
    parent = np.empty(levels.size, np.int32)
    sets = np.full(levels.size, -1, np.int32)
    for k in range(levels.size - 1, -1, -1):
        p = order[k]
        sets[p] = p
        parent[p] = p
        y = p // width
        x = p - y * width
        for side in range(4):
            if side == 0:
                if y == 0:
                    continue
                q = p - width
            elif side == 1:
                if x == 0:
                    continue
                q = p - 1
            elif side == 2:
                if x == width - 1:
                    continue
                q = p + 1
            else:
                if y == height - 1:
                    continue
                q = p + width
            if sets[q] >= 0:
                root = _root(sets, q)
                if root != p:
                    sets[root] = p
                    parent[root] = p
    for k in range(levels.size):
        p = order[k]
        up = parent[p]
        if levels[parent[up]] == levels[up]:
            parent[p] = parent[up]
    return parent


@njit(cache=True, nogil=True)
def _boundaries(levels, strength, parent, order, height, width):
    """Area, crack perimeter and strength summed along the perimeter, of every node.

    A crack between neighbours bounds every node from the one of its higher pixel up to,
    not including, the one of its lower pixel: it enters at the first and leaves at the second.
    """
    area = np.ones(levels.size, np.int32)
    perimeter = np.zeros(levels.size, np.int32)
    total = np.zeros(levels.size, np.float64)
    for y in range(height):
        for x in range(width):
            p = y * width + x
            for side in range(2):
                if side == 0:
                    if x == width - 1:
                        continue
                    q = p + 1
                else:
                    if y == height - 1:
                        continue
                    q = p + width
                if levels[p] == levels[q]:
                    continue
                crack = 0.5 * (np.float64(strength[p]) + np.float64(strength[q]))
                upper = p if levels[p] > levels[q] else q
                lower = p + q - upper
                perimeter[upper] += 1
                perimeter[lower] -= 1
                total[upper] += crack
                total[lower] -= crack
    for k in range(levels.size - 1, 0, -1):
        p = order[k]
        area[parent[p]] += area[p]
        perimeter[parent[p]] += perimeter[p]
        total[parent[p]] += total[p]
    return area, perimeter, total


@njit(cache=True, nogil=True)
def _touching_rim(parent, order, height, width):
    """Whether a node has a pixel on the rim of the frame."""
    rim = np.zeros((height, width), np.bool_)
    rim[0] = rim[height - 1] = True
    rim[:, 0] = rim[:, width - 1] = True
    rim = rim.ravel()
    for k in range(len(order) - 1, 0, -1):
        if rim[order[k]]:
            rim[parent[order[k]]] = True
    return rim


@njit(cache=True, nogil=True)
def _select(levels, parent, order, sums, floor, limits):
    """Disjoint nodes of greatest summed gain, and their labels in raster order."""
    area, perimeter, total, rim = sums
    min_area, max_area, max_thickness, doubt = limits
    best = np.zeros(levels.size, np.float64)
    chosen = np.zeros(levels.size, np.bool_)
    for k in range(levels.size - 1, 0, -1):
        p = order[k]
        up = parent[p]
        if levels[up] == levels[p]:
            continue
        thin = 2.0 * area[p] <= max_thickness * perimeter[p]
        if area[p] >= min_area and (area[p] <= max_area or thin):
            gain = total[p] - floor * perimeter[p]
            if rim[p] or area[p] > max_area:
                gain *= doubt
            if gain > 0 and gain >= best[p]:
                chosen[p] = True
                best[p] = gain
        best[up] += best[p]
    node = np.full(levels.size, -1, np.int32)
    for k in range(1, levels.size):
        p = order[k]
        if node[parent[p]] >= 0:
            node[p] = node[parent[p]]
        elif chosen[p]:
            node[p] = p
    return _number(node)


@njit(cache=True, nogil=True)
def _number(node):
    """Labels 1..n in raster order of first pixels, and the node of each."""
    labels = np.zeros(node.size, np.int32)
    number = np.zeros(node.size, np.int32)
    n = 0
    for p in range(node.size):
        if node[p] >= 0 and number[node[p]] == 0:
            n += 1
            number[node[p]] = n
    nodes = np.empty(n, np.int32)
    for p in range(node.size):
        if node[p] >= 0:
            labels[p] = number[node[p]]
            nodes[labels[p] - 1] = node[p]
    return labels, nodes
