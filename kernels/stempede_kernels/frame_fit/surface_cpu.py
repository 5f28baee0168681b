"""A bilinear surface on square cells, and sums against it, on the CPU."""

import numpy as np
from numba import njit

from stempede_kernels.threads import spread

_FAST = {"contract", "reassoc", "nsz"}

_plain = njit(cache=True, nogil=True, error_model="numpy")
_fused = njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)


def surface(levels, spacing, shape):
    """Return (h, w) values between nodes."""
    image = np.empty(shape)
    bounds_y, dy = _cells(shape[0], spacing)
    bounds_x, dx = _cells(shape[1], spacing)
    _surface(levels, bounds_y, dy, bounds_x, dx, image)
    return image


def corner_sums(images, spacing):
    """Return (k, r, c, 2, 2) sums of images times the weights of each cell's corners."""
    bounds_y, dy = _cells(images.shape[1], spacing)
    bounds_x, dx = _cells(images.shape[2], spacing)
    sums = np.zeros((len(images), len(bounds_y) - 1, len(bounds_x) - 1, 2, 2))
    spread(_sum_rows, sums.shape[1], images, bounds_y, dy, bounds_x, dx, sums)
    return sums


def corner_products(weight, spacing):
    """Return (r, c, 4, 4) sums of a weight times products of corners' weights."""
    bounds_y, dy = _cells(weight.shape[0], spacing)
    bounds_x, dx = _cells(weight.shape[1], spacing)
    sums = np.zeros((len(bounds_y) - 1, len(bounds_x) - 1, 4, 4))
    spread(_product_rows, len(sums), weight, bounds_y, dy, bounds_x, dx, sums)
    return sums


def _cells(size, spacing):
    """Return where cells begin, one past the last included, and (size,) places within them."""
    place = np.arange(size) / spacing
    cell = np.floor(place)
    bounds = np.searchsorted(cell, np.arange(int(size / spacing) + 2))
    return bounds, place - cell


@_plain
def _surface(levels, bounds_y, dy, bounds_x, dx, image):
    for row in range(len(bounds_y) - 1):
        for y in range(bounds_y[row], bounds_y[row + 1]):
            for column in range(len(bounds_x) - 1):
                down = dy[y]
                left = (1 - down) * levels[row, column] + down * levels[row + 1, column]
                right = (1 - down) * levels[row, column + 1] + down * levels[row + 1, column + 1]
                for x in range(bounds_x[column], bounds_x[column + 1]):
                    image[y, x] = (1 - dx[x]) * left + dx[x] * right


@_plain
def _sum_rows(begin, end, images, bounds_y, dy, bounds_x, dx, sums):
    for row in range(begin, end):
        _sum_row(row, images, bounds_y, dy, bounds_x, dx, sums)


@_plain
def _product_rows(begin, end, weight, bounds_y, dy, bounds_x, dx, sums):
    for row in range(begin, end):
        _product_row(row, weight, bounds_y, dy, bounds_x, dx, sums)


@_fused
def _powers(values, dx):
    """Return sums of values times powers 0, 1, 2 of the place in a cell."""
    total, along, twice = 0.0, 0.0, 0.0
    for k in range(len(values)):
        part = values[k] * dx[k]
        total += values[k]
        along += part
        twice += part * dx[k]
    return total, along, twice


@_plain
def _sum_row(row, images, bounds_y, dy, bounds_x, dx, sums):
    for k in range(len(images)):
        for y in range(bounds_y[row], bounds_y[row + 1]):
            for column in range(len(bounds_x) - 1):
                first, last = bounds_x[column], bounds_x[column + 1]
                total, along, _ = _powers(images[k, y, first:last], dx[first:last])
                into = sums[k, row, column]
                into[0, 0] += (1 - dy[y]) * (total - along)
                into[0, 1] += (1 - dy[y]) * along
                into[1, 0] += dy[y] * (total - along)
                into[1, 1] += dy[y] * along


@_plain
def _product_row(row, weight, bounds_y, dy, bounds_x, dx, sums):
    across, down = np.empty((2, 2)), np.empty((2, 2))
    for y in range(bounds_y[row], bounds_y[row + 1]):
        down[0, 0], down[1, 1] = (1 - dy[y]) ** 2, dy[y] ** 2
        down[0, 1] = down[1, 0] = dy[y] * (1 - dy[y])
        for column in range(len(bounds_x) - 1):
            first, last = bounds_x[column], bounds_x[column + 1]
            total, along, twice = _powers(weight[y, first:last], dx[first:last])
            across[0, 0], across[1, 1] = total - 2 * along + twice, twice
            across[0, 1] = across[1, 0] = along - twice
            for p in range(4):
                for q in range(4):
                    sums[row, column, p, q] += down[p // 2, q // 2] * across[p % 2, q % 2]
