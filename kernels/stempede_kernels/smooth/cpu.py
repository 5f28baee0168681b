"""Separable means for host arrays: rows and columns as sums of shifted lines."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stempede_kernels.threads import spread

# products may be fused with sums; nothing that would lose a NaN or an infinity
FAST = {"contract"}


def gaussian(images: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weigh a batch ``(b, y, x)`` by the distance along each axis."""
    result = np.empty_like(images)
    spread(_weigh_frames, len(images), images, weights, result)
    return result


def box_mean(images: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Average a batch ``(b, y, x)`` over square windows."""
    result = np.empty_like(images)
    spread(_average_frames, len(images), images, radius, result)
    return result


def block_mean(image: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Average one frame ``(y, x)`` over blocks."""
    values = image.view(np.uint8) if image.dtype == np.bool_ else image
    means = np.empty([-(-n // factor) for n in image.shape], np.float32)
    _average_blocks(values, factor, means)
    return means


@njit(cache=True, nogil=True)
def _average_blocks(image, factor, means):
    height, width = image.shape
    line = np.empty(width, np.float32)
    for y in range(len(means)):
        line[:] = 0
        for k in range(y * factor, min((y + 1) * factor, height)):
            _add_line(line, image[k], np.float32(1))
        if (y + 1) * factor > height:
            _add_line(line, image[height - 1], np.float32((y + 1) * factor - height))
        _fold_line(line, factor, np.float32(1 / factor**2), means[y])


@njit(cache=True, nogil=True)
def _fold_line(line, factor, scale, means):
    """Sum the blocks of a line; its last value is repeated."""
    whole = len(line) // factor
    for x in range(whole):
        total = np.float32(0)
        for k in range(factor):
            total += line[x * factor + k]
        means[x] = total * scale
    if whole < len(means):
        total = line[len(line) - 1] * np.float32(len(means) * factor - len(line))
        for k in range(whole * factor, len(line)):
            total += line[k]
        means[whole] = total * scale


@njit(cache=True, nogil=True)
def _add_line(total, line, weight):
    for x in range(len(total)):
        total[x] += line[x] * weight


@njit(cache=True, nogil=True)
def _weigh_frames(begin, end, images, weights, result):
    for frame in range(begin, end):
        _weigh_frame(images[frame], weights, result[frame])


@njit(cache=True, nogil=True)
def _average_frames(begin, end, images, radius, result):
    for frame in range(begin, end):
        _average_frame(images[frame], radius, result[frame])


@njit(cache=True, nogil=True)
def _weigh_frame(image, weights, result):
    height, width = image.shape
    radius = len(weights) - 1
    padded = np.empty(width + 2 * radius, np.float32)
    line = padded[radius : radius + width]
    for y in range(height):
        _scale_line(line, image[y], weights[0])
        for k in range(1, radius + 1):
            above, below = image[_reflect(y - k, height)], image[_reflect(y + k, height)]
            _add_lines(line, above, below, weights[k])
        for k in range(1, radius + 1):
            padded[radius - k] = line[_reflect(-k, width)]
            padded[radius + width - 1 + k] = line[_reflect(width - 1 + k, width)]
        _scale_line(result[y], line, weights[0])
        for k in range(1, radius + 1):
            before, after = padded[radius - k :], padded[radius + k :]
            _add_lines(result[y], before, after, weights[k])


@njit(cache=True, nogil=True)
def _scale_line(total, line, weight):
    for x in range(len(total)):
        total[x] = weight * line[x]


@njit(cache=True, nogil=True, fastmath=FAST)
def _add_lines(total, one, other, weight):
    for x in range(len(total)):
        total[x] += weight * (one[x] + other[x])


@njit(cache=True, nogil=True)
def _average_frame(image, radius, result):
    """Keep the sums of all columns, then one sum that runs along the row."""
    height, width = image.shape
    # float64 sums of float32 numbers of one magnitude do not drift
    column = np.zeros(width, np.float64)
    for k in range(-radius, radius + 1):
        column += image[_reflect(k, height)]
    scale = 1.0 / (2 * radius + 1) ** 2
    for y in range(height):
        if y > 0:
            column += image[_reflect(y + radius, height)]
            column -= image[_reflect(y - radius - 1, height)]
        total = 0.0
        for k in range(-radius, radius + 1):
            total += column[_reflect(k, width)]
        for x in range(width):
            result[y, x] = total * scale
            total += column[_reflect(x + radius + 1, width)] - column[_reflect(x - radius, width)]


@njit(cache=True, nogil=True, inline="always")
def _reflect(place, size):
    """Fold a place beyond the border back, repeating the border pixel."""
    if 0 <= place < size:
        return place
    place %= 2 * size
    return min(place, 2 * size - 1 - place)
