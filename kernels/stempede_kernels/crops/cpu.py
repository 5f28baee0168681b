"""Windows of frames resampled on the host, one by one."""

from typing import Any

import numpy as np
from numba import njit

LEAST_WEIGHT = 0.5
ROUNDING = 1e-5

plain = njit(cache=True, nogil=True, error_model="numpy")


@plain
def cut(
    begin: int,
    end: int,
    images: Any,
    labels: Any,
    valid: Any,
    place: Any,
    window: Any,
    crops: Any,
    missing: Any,
    support: Any,
) -> None:
    """Fill crops, missing and support; see ``crops.cut``."""
    size = crops.shape[1]
    value, count, pure = np.empty(size), np.empty(size, np.int64), np.empty(size, np.bool_)
    for k in range(begin, end):
        frame, own, points = place[k]
        seen, y0, x0 = _look(images[frame], labels[frame], valid[frame], own, window[k], size)
        side = size * window[k, 2]
        rows = _points(window[k, 0] - y0, side, size * points)
        columns = _points(window[k, 1] - x0, side, size * points)
        between = np.empty((3, seen.shape[2]))
        n, total, squares = 0, 0.0, 0.0
        shift = 0.0
        for i in range(size):
            value[:], count[:], pure[:] = 0.0, 0, True
            for y in rows[i * points : (i + 1) * points]:
                _blend(seen, y, between)
                _add_points(between, columns, points, value, count, pure)
            for j in range(size):
                missing[k, i, j] = count[j] == 0
                if count[j] == 0:
                    continue
                crops[k, i, j] = value[j] / count[j]
                if pure[j]:
                    if n == 0:
                        shift = value[j] / count[j]
                    away = crops[k, i, j] - shift
                    n += 1
                    total += away
                    squares += away * away
        support[k, 0] = n
        if n > 0:
            support[k, 1] = shift + total / n
            rest = max(squares - total * total / n, 0.0)
            support[k, 2] = np.sqrt(rest / max(n - 1, 1))


@plain
def _look(
    image: Any, label: Any, there: Any, own: int, window: Any, size: int
) -> tuple[Any, int, int]:
    """Return value, entry and background of the window's pixels (3, h, w), and its first pixel.

    Pixels that do not enter are zeros.
    """
    half = 0.5 * size * window[2]
    y0, x0 = int(np.floor(window[0] - half)), int(np.floor(window[1] - half))
    height = int(np.floor(window[0] + half)) + 2 - y0
    width = int(np.floor(window[1] + half)) + 2 - x0
    seen = np.zeros((3, height, width))
    for y in range(max(y0, 0), min(y0 + height, image.shape[0])):
        for x in range(max(x0, 0), min(x0 + width, image.shape[1])):
            bare = label[y, x] == 0 and there[y, x]
            if bare or label[y, x] == own:
                seen[0, y - y0, x - x0] = image[y, x]
                seen[1, y - y0, x - x0] = 1.0
            if bare:
                seen[2, y - y0, x - x0] = 1.0
    return seen, y0, x0


@plain
def _points(middle: float, side: float, n: int) -> Any:
    """Return the n coordinates along one axis, from the window's first pixel."""
    return middle + ((np.arange(n) + 0.5) / n - 0.5) * side


@plain
def _blend(seen: Any, y: float, between: Any) -> None:
    """Fill ``between`` (3, w) with the window's rows above and below ``y``, by their shares."""
    row = int(np.floor(y))
    low = y - row
    for c in range(3):
        for x in range(seen.shape[2]):
            between[c, x] = (1.0 - low) * seen[c, row, x] + low * seen[c, row + 1, x]


@plain
def _add_points(between: Any, columns: Any, points: int, value: Any, count: Any, pure: Any) -> None:
    """Add the points of one row to the sums of its crop pixels, where they count."""
    for j in range(len(value)):
        for x in columns[j * points : (j + 1) * points]:
            column = int(np.floor(x))
            right = x - column
            total = (1.0 - right) * between[0, column] + right * between[0, column + 1]
            weight = (1.0 - right) * between[1, column] + right * between[1, column + 1]
            background = (1.0 - right) * between[2, column] + right * between[2, column + 1]
            if weight >= LEAST_WEIGHT:
                value[j] += total / weight
                count[j] += 1
            pure[j] = pure[j] and background > 1.0 - ROUNDING


@plain
def _mix(value: Any) -> Any:
    """Return the bits of an unsigned 32-bit number well mixed (Wellons, lowbias32)."""
    value = np.uint32(value ^ (value >> np.uint32(16)))
    value = np.uint32(value * np.uint32(0x7FEB352D))
    value = np.uint32(value ^ (value >> np.uint32(15)))
    value = np.uint32(value * np.uint32(0x846CA68B))
    return np.uint32(value ^ (value >> np.uint32(16)))


@plain
def paint(begin: int, end: int, crops: Any, missing: Any, support: Any, seed: Any) -> None:
    """Fill missing pixels with normal numbers of the support's mean and spread."""
    size = crops.shape[1]
    for k in range(begin, end):
        for i in range(size):
            for j in range(size):
                if not missing[k, i, j]:
                    continue
                first = np.uint32(seed[k] + np.uint32(2 * (i * size + j)))
                radius = (float(_mix(first)) + 0.5) / 4294967296.0
                angle = float(_mix(np.uint32(first + np.uint32(1)))) / 4294967296.0
                noise = np.sqrt(-2.0 * np.log(radius)) * np.cos(2.0 * np.pi * angle)
                crops[k, i, j] = support[k, 1] + support[k, 2] * noise
