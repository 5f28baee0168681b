"""Regional maxima and their dynamics for host arrays, by basins and the saddles between them."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stempede_kernels.label.cpu import group_by_region, label_runs, rows_of_runs
from stempede_kernels.threads import spread

# a key has the level in its upper half and the place, last first, in its lower half
PLACE_BITS = 32
PLACE_MASK = 0xFFFFFFFF
LAST_PLACE = 0x7FFFFFFF
WALL = np.iinfo(np.int64).min
NOT_SIGN = np.int32(0x7FFFFFFF)
MINUS_INFINITY = np.int32(-0x00800000)


def label_h_maxima(
    height: NDArray[np.float32],
    mask: NDArray[np.bool_],
    h: NDArray[np.float64],
    h_relative: NDArray[np.float64],
    connectivity: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Mark and number maxima of a batch ``(b, y, x)``."""
    markers = np.zeros(mask.shape, np.int32)
    counts = np.zeros(len(mask), np.int32)
    ones = mask.view(np.uint8)
    reach = connectivity - 1
    spread(_mark_frames, len(mask), height, ones, h, h_relative, reach, markers, counts)
    return markers, counts


@njit(cache=True, nogil=True)
def _mark_frames(begin, end, height, mask, h, h_relative, reach, markers, counts):
    for k in range(begin, end):
        counts[k] = _mark_frame(height[k], mask[k], h[k], h_relative[k], reach, markers[k])


@njit(cache=True, nogil=True)
def _mark_frame(height, mask, h, h_relative, reach, markers):
    """Mark one frame into zeros, region by region of the mask; return the number of maxima."""
    begin, starts, stops, region, n_regions = label_runs(mask, reach)
    rows = rows_of_runs(begin, len(region))
    order, first = group_by_region(region, n_regions)
    kept = [np.int64(0) for _ in range(0)]  # first pixel of each maximum, raveled
    for number in range(1, n_regions + 1):
        runs = order[first[number] : first[number + 1]]
        _mark_region(
            runs, rows, starts, stops, height, h, h_relative, 8 if reach == 1 else 4, markers, kept
        )
    _number_in_raster_order(kept, rows, starts, stops, markers)
    return len(kept)


@njit(cache=True, nogil=True)
def _mark_region(runs, rows, starts, stops, height, h, h_relative, n_neighbours, markers, kept):
    """Mark the maxima of one region with the number of maxima kept before them, plus one."""
    top, left = rows[runs[0]], starts[runs[0]]
    bottom, right, area = rows[runs[-1]], left, 0
    for run in runs:
        left = min(left, starts[run])
        right = max(right, stops[run])
        area += stops[run] - starts[run]
    pitch = right - left + 2
    key = np.full((bottom - top + 3) * pitch, WALL, np.int64)
    pixels = np.empty(area, np.int32)  # in raster order
    n_pixels = 0
    for run in runs:
        base = (rows[run] - top + 1) * pitch + 1 - left
        values = height[rows[run], starts[run] : stops[run]] + np.float32(0.0)
        bits = values.view(np.int32)
        for k in range(len(values)):
            pixel = base + starts[run] + k
            key[pixel] = _key(MINUS_INFINITY if np.isnan(values[k]) else bits[k], pixel)
            pixels[n_pixels] = pixel
            n_pixels += 1
    steps = np.array([-pitch, -1, 1, pitch, -pitch - 1, -pitch + 1, pitch - 1, pitch + 1])
    steps = steps[:n_neighbours]
    peaks, levels, dynamics = _measure_dynamics(key, pixels, steps)
    for k in range(len(peaks)):
        if dynamics[k] > 0.0 and dynamics[k] >= max(h, h_relative * levels[k]):
            y, x = top + peaks[k] // pitch - 1, left + peaks[k] % pitch - 1
            kept.append(np.int64(y) * height.shape[1] + x)
            _paint_plateau(key, peaks[k], steps, pitch, top - 1, left - 1, len(kept), markers)


@njit(cache=True, nogil=True, inline="always")
def _key(bits, pixel):
    """Pack level and place into one integer: higher levels first, then raster order."""
    order = np.int64(bits) if bits >= 0 else np.int64(bits ^ NOT_SIGN)
    return (order << PLACE_BITS) + (LAST_PLACE - pixel)


@njit(cache=True, nogil=True, inline="always")
def _place(key):
    return LAST_PLACE - (key & PLACE_MASK)


@njit(cache=True, nogil=True)
def _levels(key, pixels):
    """Return the levels of pixels, float32."""
    bits = np.empty(len(pixels), np.int32)
    for k in range(len(pixels)):
        order = np.int32(key[pixels[k]] >> PLACE_BITS)
        bits[k] = order if order >= 0 else order ^ NOT_SIGN
    return bits.view(np.float32)


@njit(cache=True, nogil=True)
def _measure_dynamics(key, pixels, steps):
    """Return the maxima of a window, their levels and the dynamic of each; inf for the highest.

    Following the highest neighbour upwards leads each pixel to its maximum; maxima merge where
    their basins meet, highest saddles first, and the lower of two that merge has found its
    dynamic. Keys hold no ties, so there is always a lower one.
    """
    peaks, basin = _climb(key, pixels, steps)
    levels = _levels(key, peaks)
    dynamics = np.full(len(peaks), np.inf)
    if len(peaks) == 1:
        return peaks, levels, dynamics
    rank = np.empty(len(key), np.int32)
    for k in range(len(peaks)):
        rank[peaks[k]] = k
    meeting = _find_meeting_pixels(key, pixels, steps, basin)
    saddles = _levels(key, meeting)
    for k in np.argsort(-saddles):
        pixel = meeting[k]
        for step in steps:
            near = pixel + step
            if key[near] < key[pixel]:
                continue
            high, low = _summit(basin, pixel), _summit(basin, near)
            if high == low:
                continue
            if key[high] < key[low]:
                high, low = low, high
            basin[low] = high
            dynamics[rank[low]] = np.float64(levels[rank[low]]) - np.float64(saddles[k])
    return peaks, levels, dynamics


@njit(cache=True, nogil=True)
def _climb(key, pixels, steps):
    """Return the maxima in raster order, and for each pixel the maximum above it."""
    basin = np.empty(len(key), np.int32)
    n_peaks = 0
    for pixel in pixels:
        highest = key[pixel]
        for step in steps:
            highest = max(highest, key[pixel + step])
        basin[pixel] = _place(highest)
        n_peaks += basin[pixel] == pixel
    peaks = np.empty(n_peaks, np.int32)
    k = 0
    for pixel in pixels:
        if basin[pixel] == pixel:
            peaks[k] = pixel
            k += 1
        else:
            basin[pixel] = _summit(basin, pixel)
    return peaks, basin


@njit(cache=True, nogil=True)
def _find_meeting_pixels(key, pixels, steps, basin):
    """Return the pixels with a higher neighbour in another basin."""
    meeting = np.empty(len(pixels), np.int32)
    n_meeting = 0
    for pixel in pixels:
        meets = False
        for step in steps:
            near = pixel + step
            # only pixels of the region have a basin, and a wall is never higher
            meets |= (key[near] > key[pixel]) & (basin[near] != basin[pixel])
        meeting[n_meeting] = pixel
        n_meeting += meets
    return meeting[:n_meeting]


@njit(cache=True, nogil=True)
def _summit(basin, pixel):
    """Follow basins upwards to a maximum that has not merged; shorten the way."""
    while basin[pixel] != pixel:
        basin[pixel] = basin[basin[pixel]]
        pixel = basin[pixel]
    return pixel


@njit(cache=True, nogil=True)
def _paint_plateau(key, peak, steps, pitch, top, left, number, markers):
    """Write a number to all pixels of the peak's level that are connected to it."""
    markers[top + peak // pitch, left + peak % pitch] = number
    front = [np.int64(peak)]
    while len(front) > 0:
        pixel = front.pop()
        for step in steps:
            near = pixel + step
            y, x = top + near // pitch, left + near % pitch
            if key[near] >> PLACE_BITS == key[peak] >> PLACE_BITS and markers[y, x] != number:
                markers[y, x] = number
                front.append(near)


@njit(cache=True, nogil=True)
def _number_in_raster_order(kept, rows, starts, stops, markers):
    """Turn numbers in the order of regions into numbers in the order of first pixels."""
    number = np.zeros(len(kept) + 1, np.int32)
    place = np.empty(len(kept), np.int64)
    for k in range(len(kept)):
        place[k] = kept[k]
    order = np.argsort(place)
    for k in range(len(order)):
        number[order[k] + 1] = k + 1
    for run in range(len(rows)):
        for x in range(starts[run], stops[run]):
            if markers[rows[run], x] != 0:
                markers[rows[run], x] = number[markers[rows[run], x]]
