"""Sums of a joint fit on the CPU: columns and bands of rows are independent of each other.

Profiles are drawn row by row from three exponentials; sums are taken of powers of the distance
and turned into logarithmic slopes at the end.
"""

from math import ceil, floor

import numpy as np

from stempede_kernels.frame_fit.blocks_cpu import products, squares
from stempede_kernels.frame_fit.places_cpu import place_gains
from stempede_kernels.frame_fit.profile_cpu import (
    first_powers,
    fused,
    in_bands,
    plain,
    profile,
    second_powers,
    span,
)
from stempede_kernels.frame_fit.surface_cpu import corner_products, corner_sums, surface

__all__ = [
    "corner_products",
    "corner_sums",
    "draw",
    "entries",
    "gather",
    "mark",
    "place_gains",
    "products",
    "row_sums",
    "squares",
    "surface",
    "under_columns",
]


def draw(gaussians, centres, radius, forms, shape):
    """Return (k, h, w) sums of profiles times forms."""
    images = np.zeros((forms.shape[1], *shape))
    in_bands(_draw_rows, shape[0], gaussians, centres, radius, forms, images)
    return images


def gather(images, gaussians, centres, radius, active):
    """Return (n, k, 3) sums of images times profile and slopes."""
    sums = np.zeros((len(gaussians), len(images), 3))
    in_bands(_gather_some, len(gaussians), images, gaussians, centres, radius, active, sums)
    return sums


def row_sums(image, gaussians, centres, radius, active):
    """Return (n, r, 3) sums over each row of an image times profile and slopes."""
    sums = np.zeros((len(gaussians), 2 * floor(radius) + 1, 3))
    in_bands(_rows_some, len(gaussians), image, gaussians, centres, radius, active, sums)
    return sums


def under_columns(image, gaussians, centres, radius, active, spacing):
    """Return (n, 2) first nodes and (n, r, c, 3) sums of ``gather`` times each node's weight."""
    across = int(2 * radius / spacing) + 3
    first = np.maximum(np.floor((centres - radius) / spacing), 0).astype(np.int64)
    sums = np.zeros((len(gaussians), across, across, 3))
    in_bands(
        _under_some, len(gaussians), image, gaussians, centres, radius, active, spacing, first, sums
    )
    return first, sums


def entries(used, gaussians, centres, radius):
    """Return (n + 1,) starts, (e,) flat pixels and (e,) profiles of each column's used pixels."""
    start = np.zeros(len(gaussians) + 1, np.int64)
    _count(used, centres, radius, start)
    np.cumsum(start, out=start)
    pixel, value = np.empty(start[-1], np.int64), np.empty(start[-1])
    _list(used, gaussians, centres, radius, start, pixel, value)
    return start, pixel, value


def mark(valid, anchors, radius, active):
    """Return (h, w) which valid pixels lie within a radius of columns."""
    used = np.zeros(valid.shape, np.bool_)
    _mark(valid, anchors, radius, active, used)
    return used


@fused
def _add_forms(image, row, form, dy, dx, gaussian):
    """Add a row of a profile times a form of its slopes; dx is that of the first pixel."""
    pyy, pyx, pxx = gaussian[2], gaussian[3], gaussian[4]
    for k in range(len(row)):
        away = dx + k
        by_y, by_x = pyy * dy + pyx * away, pyx * dy + pxx * away
        value = form[0] + by_y * (form[1] + form[3] * by_y + form[4] * by_x)
        image[k] += row[k] * (value + by_x * (form[2] + form[5] * by_x))


@plain
def _draw_rows(begin, end, gaussians, centres, radius, forms, images):
    width = images.shape[2]
    row = np.empty(2 * int(radius) + 2)
    for n in range(len(gaussians)):
        gaussian, cy, cx = gaussians[n], centres[n, 0], centres[n, 1]
        top, bottom = max(ceil(cy - radius), begin), min(floor(cy + radius) + 1, end)
        for y in range(top, bottom):
            first, last = span(y, cy, cx, radius, width)
            if last <= first:
                continue
            profile(y, first, last, gaussian, row)
            dy, dx = y - gaussian[0], first - gaussian[1]
            for k in range(len(images)):
                part = row[: last - first]
                _add_forms(images[k, y, first:last], part, forms[n, k], dy, dx, gaussian)


@plain
def _gather_some(begin, end, images, gaussians, centres, radius, active, sums):
    height, width = images.shape[1:]
    row = np.empty(2 * int(radius) + 2)
    for n in range(begin, end):
        if not active[n]:
            continue
        gaussian, cy, cx = gaussians[n], centres[n, 0], centres[n, 1]
        pyy, pyx, pxx = gaussian[2], gaussian[3], gaussian[4]
        for y in range(max(ceil(cy - radius), 0), min(floor(cy + radius) + 1, height)):
            first, last = span(y, cy, cx, radius, width)
            if last <= first:
                continue
            profile(y, first, last, gaussian, row)
            dy, dx = y - gaussian[0], first - gaussian[1]
            for k in range(len(images)):
                part = row[: last - first]
                total, along = first_powers(images[k, y, first:last], part, dx)
                sums[n, k, 0] += pyy * dy * total + pyx * along
                sums[n, k, 1] += pyx * dy * total + pxx * along
                sums[n, k, 2] += total


@plain
def _rows_some(begin, end, image, gaussians, centres, radius, active, sums):
    height, width = image.shape
    row, half = np.empty(2 * int(radius) + 2), int(radius)
    for n in range(begin, end):
        if not active[n]:
            continue
        gaussian, cy, cx = gaussians[n], centres[n, 0], centres[n, 1]
        pyy, pyx, pxx = gaussian[2], gaussian[3], gaussian[4]
        for y in range(max(cy - half, 0), min(cy + half + 1, height)):
            first, last = span(y, cy, cx, radius, width)
            if last <= first:
                continue
            profile(y, first, last, gaussian, row)
            dy, dx = y - gaussian[0], first - gaussian[1]
            total, along = first_powers(image[y, first:last], row[: last - first], dx)
            place = sums[n, y - cy + half]
            place[0] = pyy * dy * total + pyx * along
            place[1] = pyx * dy * total + pxx * along
            place[2] = total


@plain
def _under_some(begin, end, image, gaussians, centres, radius, active, spacing, first, sums):
    height, width = image.shape
    row, ones = np.empty(2 * int(radius) + 2), np.ones(2 * int(radius) + 2)
    for n in range(begin, end):
        if not active[n]:
            continue
        gaussian, cy, cx = gaussians[n], centres[n, 0], centres[n, 1]
        for y in range(max(ceil(cy - radius), 0), min(floor(cy + radius) + 1, height)):
            left, right = span(y, cy, cx, radius, width)
            if right <= left:
                continue
            profile(y, left, right, gaussian, row)
            cell = floor(left / spacing)
            while left < right:
                end_x = min(max(ceil((cell + 1) * spacing), left), right)
                k = end_x - left
                powers = second_powers(image[y, left:end_x], row[:k], ones[:k], left - gaussian[1])
                into = sums[n, floor(y / spacing) - first[n, 0] :, cell - first[n, 1] :]
                _share_out(into, powers, y, gaussian, spacing, cell)
                row[: right - end_x] = row[k : right - left].copy()
                left, cell = end_x, cell + 1


@plain
def _share_out(into, powers, y, gaussian, spacing, cell):
    """Share sums over part of a row among the four nodes of its cell."""
    pyy, pyx, pxx = gaussian[2], gaussian[3], gaussian[4]
    dy, down = y - gaussian[0], y / spacing - floor(y / spacing)
    place = gaussian[1] / spacing - cell
    total_right = place * powers[0] + powers[1] / spacing
    along_right = place * powers[1] + powers[2] / spacing
    for q in range(2):
        total = total_right if q else powers[0] - total_right
        along = along_right if q else powers[1] - along_right
        for p in range(2):
            share = down if p else 1 - down
            into[p, q, 0] += share * (pyy * dy * total + pyx * along)
            into[p, q, 1] += share * (pyx * dy * total + pxx * along)
            into[p, q, 2] += share * total


@plain
def _count(used, centres, radius, start):
    height, width = used.shape
    for n in range(len(centres)):
        cy, cx = centres[n, 0], centres[n, 1]
        for y in range(max(ceil(cy - radius), 0), min(floor(cy + radius) + 1, height)):
            first, last = span(y, cy, cx, radius, width)
            for x in range(first, last):
                start[n + 1] += used[y, x]


@plain
def _list(used, gaussians, centres, radius, start, pixel, value):
    height, width = used.shape
    row = np.empty(2 * int(radius) + 2)
    for n in range(len(centres)):
        cy, cx, k = centres[n, 0], centres[n, 1], start[n]
        for y in range(max(ceil(cy - radius), 0), min(floor(cy + radius) + 1, height)):
            first, last = span(y, cy, cx, radius, width)
            if last <= first:
                continue
            profile(y, first, last, gaussians[n], row)
            for x in range(first, last):
                if used[y, x]:
                    pixel[k], value[k] = y * width + x, row[x - first]
                    k += 1


@plain
def _mark(valid, anchors, radius, active, used):
    height, width = used.shape
    for n in range(len(anchors)):
        if not active[n]:
            continue
        cy, cx = anchors[n, 0], anchors[n, 1]
        for y in range(max(ceil(cy - radius), 0), min(floor(cy + radius) + 1, height)):
            first, last = span(y, cy, cx, radius, width)
            for x in range(first, last):
                used[y, x] = valid[y, x]
