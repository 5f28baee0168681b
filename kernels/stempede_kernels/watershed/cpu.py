"""Marker-controlled watershed for host arrays: flood only where two markers compete."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stempede_kernels.label.cpu import group_by_region, label_runs, rows_of_runs
from stempede_kernels.threads import spread

# what a pixel of a window says besides its label
WALL = -1
DRY = 0

# waiting pixels share a bucket with few of their like, and the table of buckets fits a cache
PIXELS_PER_BUCKET = 16
MOST_BUCKETS = 1 << 15
NONE = -1

SIGN_BIT = np.uint32(0x80000000)
AGE_BITS = np.uint64(32)
AGE_MASK = np.uint64(0xFFFFFFFF)


def watershed(
    height: NDArray[np.float32],
    markers: NDArray[np.int32],
    mask: NDArray[np.bool_],
    connectivity: int,
) -> NDArray[np.int32]:
    """Flood a batch ``(b, y, x)``."""
    labels = np.zeros(mask.shape, np.int32)
    ones = mask.view(np.uint8)
    reach = connectivity - 1
    spread(_flood_frames, len(mask), height, markers, ones, reach, labels)
    return labels


@njit(cache=True, nogil=True)
def _flood_frames(begin, end, height, markers, mask, reach, labels):
    for frame in range(begin, end):
        _flood_frame(height[frame], markers[frame], mask[frame], reach, labels[frame])


@njit(cache=True, nogil=True)
def _flood_frame(height, markers, mask, reach, labels):
    """Fill each region of the mask that holds one label; flood the regions that hold more.

    Regions do not touch, and pixels of one region are reached in the same order whether or
    not other regions flood in between, so each floods alone, in a window that fits a cache.
    """
    begin, starts, stops, region, n_regions = label_runs(mask, reach)
    rows = rows_of_runs(begin, len(region))
    label = _label_of_regions(rows, starts, stops, region, n_regions, markers)
    order, first = group_by_region(region, n_regions)
    for number in range(1, n_regions + 1):
        runs = order[first[number] : first[number + 1]]
        if label[number] == WALL:
            _flood_region(runs, rows, starts, stops, height, markers, reach, labels)
        elif label[number] != DRY:
            for run in runs:
                labels[rows[run], starts[run] : stops[run]] = label[number]


@njit(cache=True, nogil=True)
def _label_of_regions(rows, starts, stops, region, n_regions, markers):
    """Return the one label each region holds, DRY where none, WALL where there are several."""
    label = np.zeros(n_regions + 1, np.int32)
    several = np.zeros(n_regions + 1, np.bool_)
    for run in range(len(region)):
        number = region[run]
        if several[number]:
            continue
        for x in range(starts[run], stops[run]):
            found = markers[rows[run], x]
            if found > 0:
                several[number] |= label[number] > 0 and label[number] != found
                label[number] = found
    for number in range(1, n_regions + 1):
        if several[number]:
            label[number] = WALL
    return label


@njit(cache=True, nogil=True)
def _flood_region(runs, rows, starts, stops, height, markers, reach, labels):
    """Flood one region in a window of its own, one pixel of wall around it."""
    top, left = rows[runs[0]], starts[runs[0]]
    bottom, right, area = rows[runs[-1]], left, 0
    for run in runs:
        left = min(left, starts[run])
        right = max(right, stops[run])
        area += stops[run] - starts[run]
    pitch = right - left + 2
    window = np.full((bottom - top + 3) * pitch, WALL, np.int32)
    level = np.empty(len(window), np.float32)
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for run in runs:
        base = (rows[run] - top + 1) * pitch + 1 - left
        for x in range(starts[run], stops[run]):
            window[base + x] = max(markers[rows[run], x], DRY)
            # adding zero turns -0 into +0, so that the bits order as the numbers do
            value = height[rows[run], x] + np.float32(0.0)
            level[base + x] = np.float32(np.inf) if np.isnan(value) else value
            if np.isfinite(value):
                low, high = min(low, value), max(high, value)
    _flood_window(window, level, low, high, pitch, area, 8 if reach == 1 else 4)
    for run in runs:
        base = (rows[run] - top + 1) * pitch + 1 - left
        for x in range(starts[run], stops[run]):
            labels[rows[run], x] = window[base + x]


@njit(cache=True, nogil=True)
def _flood_window(window, level, low, high, pitch, area, n_neighbours):
    """Flood a flat window in the order of (level, age); ages count pixels as they are reached.

    Water never sinks: a pixel below the level it is reached from takes that level. So levels
    only rise, pixels of later levels wait in buckets of similar level, and a heap need hold no
    more than the bucket in turn.
    """
    # the order of neighbours decides ties: up, left, right, down, then the corners
    steps = np.array([-pitch, -1, 1, pitch, -pitch - 1, -pitch + 1, pitch - 1, pitch + 1])
    steps = steps[:n_neighbours]
    bits = level.view(np.uint32)
    n_buckets = min(area // PIXELS_PER_BUCKET, MOST_BUCKETS) + 1
    scale = _scale(low, high, n_buckets)
    oldest = np.full(n_buckets, NONE, np.int32)  # ages, by bucket
    newest = np.full(n_buckets, NONE, np.int32)
    after = np.empty(area, np.int32)  # the next age in the same bucket, by age
    pixels = np.empty(area, np.int32)  # by age
    queue = np.empty(area, np.int32)  # pixels of the level in turn
    heap = np.empty(area + 1, np.uint64)
    age = 0
    for pixel in range(len(window)):
        if window[pixel] > DRY and _can_spread(window, pixel, steps):
            bucket = _bucket(level[pixel], low, scale, n_buckets)
            age = _wait(pixel, age, bucket, oldest, newest, after, pixels)
    for turn in range(n_buckets):
        size = 0
        waiting = oldest[turn]
        while waiting != NONE:
            size = _push(heap, size, _key(bits[pixels[waiting]], waiting))
            waiting = after[waiting]
        while size > 0:
            size, n_queued = _pop_level(heap, size, pixels, queue)
            here = level[queue[0]]
            k = 0
            while k < n_queued:
                pixel = queue[k]
                k += 1
                for step in steps:
                    near = pixel + step
                    if window[near] != DRY:
                        continue
                    window[near] = window[pixel]
                    if not _can_spread(window, near, steps):
                        continue
                    if level[near] <= here:
                        queue[n_queued] = near
                        n_queued += 1
                        continue
                    bucket = _bucket(level[near], low, scale, n_buckets)
                    if bucket == turn:
                        pixels[age] = near
                        size = _push(heap, size, _key(bits[near], age))
                        age += 1
                    else:
                        age = _wait(near, age, bucket, oldest, newest, after, pixels)


@njit(cache=True, nogil=True, inline="always")
def _can_spread(window, pixel, steps):
    """Say whether a pixel has a dry neighbour; one that has none need not wait its turn."""
    dry = False
    for step in steps:
        dry |= window[pixel + step] == DRY
    return dry


@njit(cache=True, nogil=True, inline="always")
def _scale(low, high, n_buckets):
    """Return buckets per unit of level; 0 where all levels are one or none is finite."""
    span = np.float64(high) - np.float64(low)
    return n_buckets / span if span > 0.0 else 0.0


@njit(cache=True, nogil=True, inline="always")
def _bucket(level, low, scale, n_buckets):
    """Return the bucket of a level; it never falls as the level rises."""
    place = (np.float64(level) - np.float64(low)) * scale
    if place < n_buckets - 1:
        return np.int64(place) if place > 0.0 else 0
    return n_buckets - 1


@njit(cache=True, nogil=True, inline="always")
def _wait(pixel, age, bucket, oldest, newest, after, pixels):
    """Let a pixel wait at the end of its bucket; return the next age."""
    pixels[age] = pixel
    after[age] = NONE
    if oldest[bucket] == NONE:
        oldest[bucket] = age
    else:
        after[newest[bucket]] = age
    newest[bucket] = age
    return age + 1


@njit(cache=True, nogil=True, inline="always")
def _key(bits, age):
    """Pack the bits of a level, which is no NaN, and an age into an integer of their order."""
    order = ~bits if bits & SIGN_BIT else bits | SIGN_BIT
    return np.uint64(order) << AGE_BITS | np.uint64(age)


@njit(cache=True, nogil=True, inline="always")
def _pop_level(heap, size, pixels, queue):
    """Move the pixels of the lowest level from the heap to the queue; return both sizes."""
    order = heap[1] >> AGE_BITS
    n_queued = 0
    while size > 0 and heap[1] >> AGE_BITS == order:
        queue[n_queued] = pixels[heap[1] & AGE_MASK]
        n_queued += 1
        size = _pop(heap, size)
    return size, n_queued


@njit(cache=True, nogil=True, inline="always")
def _push(heap, size, key):
    """Add a key to a binary heap that begins at 1; return the new size."""
    size += 1
    k = size
    while k > 1 and heap[k >> 1] > key:
        heap[k] = heap[k >> 1]
        k >>= 1
    heap[k] = key
    return size


@njit(cache=True, nogil=True, inline="always")
def _pop(heap, size):
    """Take the least key off; return the new size."""
    last = heap[size]
    size -= 1
    k = 1
    while 2 * k <= size:
        child = 2 * k
        if child < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= last:
            break
        heap[k] = heap[child]
        k = child
    heap[k] = last
    return size
