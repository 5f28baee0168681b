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
    for k in range(begin, end):
        frame, own, points = place[k]
        image, label, there = images[frame], labels[frame], valid[frame]
        n, total, squares = 0, 0.0, 0.0
        shift = 0.0
        for i in range(size):
            for j in range(size):
                value, count, pure = _pixel(image, label, there, own, points, window[k], i, j, size)
                missing[k, i, j] = count == 0
                if count == 0:
                    continue
                crops[k, i, j] = value / count
                if pure:
                    if n == 0:
                        shift = value / count
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
def _pixel(
    image: Any,
    label: Any,
    there: Any,
    own: int,
    points: int,
    window: Any,
    i: int,
    j: int,
    size: int,
) -> tuple[float, int, bool]:
    """Return the sum over the points that count, their number, and whether all see background."""
    height, width = image.shape
    value, count, pure = 0.0, 0, True
    for a in range(points):
        y = window[0] + ((i * points + a + 0.5) / points - 0.5 * size) * window[2]
        y0 = int(np.floor(y))
        for b in range(points):
            x = window[1] + ((j * points + b + 0.5) / points - 0.5 * size) * window[2]
            x0 = int(np.floor(x))
            total, weight, background = 0.0, 0.0, 0.0
            for dy in range(2):
                row = y0 + dy
                if row < 0 or row >= height:
                    continue
                share_y = y - y0 if dy else y0 + 1.0 - y
                for dx in range(2):
                    column = x0 + dx
                    if column < 0 or column >= width:
                        continue
                    share = share_y * (x - x0 if dx else x0 + 1.0 - x)
                    seen = label[row, column]
                    bare = seen == 0 and there[row, column]
                    if bare or seen == own:
                        total += share * image[row, column]
                        weight += share
                    if bare:
                        background += share
            if weight >= LEAST_WEIGHT:
                value += total / weight
                count += 1
            pure = pure and background > 1.0 - ROUNDING
    return value, count, pure


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
