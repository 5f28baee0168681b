"""Sharpest disjoint regions of one frame, flooded from its summits down."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

# the place of a word's only bit is found by multiplying it with this and keeping six bits
DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
PLACES = np.empty(64, np.int64)
PLACES[[((int(DE_BRUIJN) << bit) & (2**64 - 1)) >> 58 for bit in range(64)]] = np.arange(64)


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
    depths, sides, counts = _sink(levels, strength)
    limits = (floor, min_area, max_area, max_thickness)
    order, spans, sums, rims = _flood(depths, sides, counts, levels.shape[1] + 2, limits)
    factor = np.where(rims | (spans[:, 1] - spans[:, 0] > max_area), doubt, 1.0)
    chosen = _choose(spans, (sums[:, 1] - floor * sums[:, 0]) * factor)
    if share > 0 and len(chosen):
        raised = share * _typical(sums[chosen], floor)
        if raised > floor:
            chosen = _choose(spans, (sums[:, 1] - raised * sums[:, 0]) * factor)
    labels, chosen = _paint(order, spans, chosen, levels.shape)
    areas = spans[chosen, 1] - spans[chosen, 0]
    return labels, np.column_stack([areas, sums[chosen]]).astype(np.float64)


def _typical(sums, floor):
    """Median of the mean strengths of regions, weighted by what they gain above the floor."""
    mean = sums[:, 1] / sums[:, 0]
    rank = np.argsort(mean, kind="stable")
    gained = np.cumsum((sums[:, 1] - floor * sums[:, 0])[rank])
    return float(mean[rank[np.searchsorted(gained, gained[-1] / 2)]])


def _sink(levels, strength):
    """Depths below the highest level and strengths, each in a frame of one px, and a histogram.

    The highest bit of a depth says that a pixel has been met. The ground, every pixel of the
    lowest level, belongs to no region and has it from the start, like the frame around.
    """
    low, high = int(levels.min()), int(levels.max())
    dtype = np.dtype(np.uint16 if high - low < 0x7FFF else np.uint32)
    shape = (levels.shape[0] + 2, levels.shape[1] + 2)
    depths, sides = np.empty(shape, dtype), np.empty(shape, np.float32)
    counts = np.zeros(high - low + 1, np.int64)
    _fill(levels, strength, depths, sides, counts, high)
    return depths.ravel(), sides.ravel(), counts


@njit(cache=True, nogil=True)
def _met(depths):
    """Highest bit of an unsigned array's integers."""
    return np.int64(1) << (8 * depths.itemsize - 1)


@njit(cache=True, nogil=True)
def _fill(levels, strength, depths, sides, counts, high):
    height, width = levels.shape
    ground = len(counts) - 1
    met = _met(depths)
    depths[0], depths[height + 1] = 2 * met - 1, 2 * met - 1
    sides[0], sides[height + 1] = 0, 0
    for y in range(height):
        depths[y + 1, 0] = depths[y + 1, width + 1] = 2 * met - 1
        sides[y + 1, 0] = sides[y + 1, width + 1] = 0
        for x in range(width):
            depth = high - levels[y, x]
            counts[depth] += 1
            depths[y + 1, x + 1] = depth | met if depth == ground else depth
            sides[y + 1, x + 1] = strength[y, x]


@njit(cache=True, nogil=True)
def _first_bit(words, word):
    """Place of the first bit that is set, from a word on."""
    while words[word] == 0:
        word += 1
    bit = words[word] & (~words[word] + np.uint64(1))
    return 64 * word + PLACES[(bit * DE_BRUIJN) >> np.uint64(58)]


@njit(cache=True, nogil=True, inline="always")
def _wait(place, depth, waiting, top, words):
    """Let a pixel wait among those of its depth."""
    waiting[top[depth]] = place
    top[depth] += 1
    words[depth >> 6] |= np.uint64(1) << np.uint64(depth & 63)


@njit(cache=True, nogil=True, inline="always")
def _cross(p, depth, depths, sides, steps, outer):
    """Cracks that a pixel adds, less those it takes off, twice their strength, and the rim."""
    cracks, strength = 0, 0.0
    at_rim = False
    here = np.float64(sides[p])
    for step in steps:
        other = np.int64(depths[p + step]) & outer
        if other == outer:
            at_rim = True
            continue
        side = int(other > depth) - int(other < depth)
        cracks += side
        strength += side * (here + np.float64(sides[p + step]))
    return cracks, strength, at_rim


@njit(cache=True, nogil=True)
def _flood(depths, sides, counts, stride, limits):
    """Flood from the summits to the ground, and list the regions that gain.

    Of the pixels met the highest is taken first, of equal ones the last met, so that each
    region {level >= t} is a span of the order in which pixels are taken, and its sums are
    differences of running sums: a crack towards a lower pixel is added, one towards a
    higher pixel is taken off again.

    Returns the order (places in the padded frame), and of each region, inner ones before
    outer ones, its span, its perimeter and strength, and whether it touches the rim.
    """
    floor, min_area, max_area, max_thickness = limits
    met = _met(depths)
    outer = met - 1
    ground = len(counts) - 1
    n_most = len(depths) - counts[ground]
    waiting = np.empty(n_most, np.int32)
    top = np.zeros(len(counts), np.int64)
    for depth in range(ground):
        top[depth + 1] = top[depth] + counts[depth]
    bottom = top.copy()
    words = np.zeros(ground // 64 + 1, np.uint64)
    # the ground always waits
    words[ground >> 6] |= np.uint64(1) << np.uint64(ground & 63)
    order = np.empty(n_most, np.int32)
    spans = np.empty((n_most, 2), np.int32)
    sums = np.empty((n_most, 2), np.float64)
    rims = np.empty(n_most, np.bool_)
    # regions that are open, the highest last: depth, begin, running sums at their begin
    open_depth = np.empty(len(counts) + 1, np.int64)
    open_begin = np.empty(len(counts) + 1, np.int64)
    open_perimeter = np.empty(len(counts) + 1, np.int64)
    open_total = np.empty(len(counts) + 1, np.float64)
    open_depth[0] = ground
    steps = (-stride, -1, 1, stride)
    n, n_regions = 0, 0
    for seed in range(len(depths)):
        if depths[seed] & met:
            continue
        p, depth = seed, np.int64(depths[seed])
        depths[p] = depth | met
        perimeter, total, last_rim = 0, 0.0, -1
        n_open = 1
        open_depth[1], open_begin[1], open_perimeter[1], open_total[1] = depth, n, 0, 0.0
        while True:
            higher = -1
            for step in steps:
                q = p + step
                other = np.int64(depths[q])
                if other < met:
                    if other < depth:
                        higher = q
                        break
                    depths[q] = other | met
                    _wait(q, other, waiting, top, words)
            if higher >= 0:
                _wait(p, depth, waiting, top, words)
                p, depth = higher, np.int64(depths[higher])
                depths[p] = depth | met
                n_open += 1
                open_depth[n_open], open_begin[n_open] = depth, n
                open_perimeter[n_open], open_total[n_open] = perimeter, total
                continue
            cracks, strength, at_rim = _cross(p, depth, depths, sides, steps, outer)
            order[n] = p
            if at_rim:
                last_rim = n
            n += 1
            perimeter += cracks
            total += 0.5 * strength
            # nothing that waits is higher than the pixel just taken
            down = depth if top[depth] > bottom[depth] else _first_bit(words, depth >> 6)
            while open_depth[n_open] < down:
                area = n - open_begin[n_open]
                if area >= min_area:
                    length = perimeter - open_perimeter[n_open]
                    along = total - open_total[n_open]
                    thin = 2.0 * area <= max_thickness * length
                    if along > floor * length and (area <= max_area or thin):
                        spans[n_regions, 0], spans[n_regions, 1] = open_begin[n_open], n
                        sums[n_regions, 0], sums[n_regions, 1] = length, along
                        rims[n_regions] = last_rim >= open_begin[n_open]
                        n_regions += 1
                if open_depth[n_open - 1] <= down:
                    n_open -= 1
                else:
                    open_depth[n_open] = down
            if down == ground:
                break
            top[down] -= 1
            p, depth = np.int64(waiting[top[down]]), down
            if top[down] == bottom[down]:
                words[down >> 6] &= ~(np.uint64(1) << np.uint64(down & 63))
    return order[:n], spans[:n_regions], sums[:n_regions], rims[:n_regions]


@njit(cache=True, nogil=True)
def _choose(spans, gains):
    """Disjoint regions of greatest summed gain, outer ones before equal inner ones."""
    n = len(spans)
    best = np.empty(n, np.float64)
    alone = np.empty(n, np.bool_)
    stack = np.empty(n, np.int64)
    n_stack = 0
    for k in range(n):
        inside = 0.0
        while n_stack and spans[stack[n_stack - 1], 0] >= spans[k, 0]:
            n_stack -= 1
            inside += best[stack[n_stack]]
        alone[k] = gains[k] > 0 and gains[k] >= inside
        best[k] = gains[k] if alone[k] else inside
        stack[n_stack] = k
        n_stack += 1
    chosen = np.empty(n, np.int64)
    n_chosen = 0
    begin = np.int64(2**31)
    # outer regions come last: what begins within the one kept last lies inside it
    for k in range(n - 1, -1, -1):
        if alone[k] and spans[k, 1] <= begin:
            chosen[n_chosen] = k
            n_chosen += 1
            begin = spans[k, 0]
    return chosen[:n_chosen]


def _paint(order, spans, chosen, shape):
    """Labels 1..n in raster order of first pixels, and the region of each."""
    first = np.array([order[slice(*spans[k])].min() for k in chosen], np.int64)
    chosen = chosen[np.argsort(first)]
    labels = np.zeros(shape, np.int32)
    _paint_spans(order, spans[chosen], labels)
    return labels, chosen


@njit(cache=True, nogil=True)
def _paint_spans(order, spans, labels):
    stride = labels.shape[1] + 2
    for k in range(len(spans)):
        for place in order[spans[k, 0] : spans[k, 1]]:
            labels[place // stride - 1, place % stride - 1] = k + 1
