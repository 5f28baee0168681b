"""Sums of a joint fit on the CPU: columns, pairs and bands of rows are independent of each other.

Profiles are drawn row by row from three exponentials; sums are taken of powers of the distance
and turned into logarithmic slopes at the end.
"""

from math import ceil, exp, floor, pi, sqrt

import numpy as np
from numba import get_num_threads, njit, prange

from stempede_kernels.frame_fit.places_cpu import place_gains
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

BAND = 32
"""Rows, or columns, that one thread takes at a time."""

# sums may be reordered by the compiler, once and for all; NaN stay
_FAST = {"contract", "reassoc", "nsz"}

_plain = njit(cache=True, nogil=True, error_model="numpy")
_fused = njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
_parallel = njit(cache=True, nogil=True, error_model="numpy", parallel=True)


def draw(gaussians, centres, radius, forms, shape):
    """Return (k, h, w) sums of profiles times forms."""
    images = np.zeros((forms.shape[1], *shape))
    if get_num_threads() == 1:
        _draw_rows(0, shape[0], gaussians, centres, radius, forms, images)
    else:
        _draw_parallel(gaussians, centres, radius, forms, images)
    return images


def gather(images, gaussians, centres, radius, active):
    """Return (n, k, 3) sums of images times profile and slopes."""
    sums = np.zeros((len(gaussians), len(images), 3))
    if get_num_threads() == 1:
        _gather_some(0, len(gaussians), images, gaussians, centres, radius, active, sums)
    else:
        _gather_parallel(images, gaussians, centres, radius, active, sums)
    return sums


def squares(weight, gaussians, centres, radius, active):
    """Return (n, 3, 3) sums of weight times squared profile times slopes."""
    sums = np.zeros((len(gaussians), 3, 3))
    if get_num_threads() == 1:
        _squares_some(0, len(gaussians), weight, gaussians, centres, radius, active, sums)
    else:
        _squares_parallel(weight, gaussians, centres, radius, active, sums)
    return sums


def products(weight, gaussians, anchors, radius, pairs):
    """Return (c, 3, 3) sums of weight times both profiles of a pair times their slopes."""
    sums = np.zeros((len(pairs), 3, 3))
    if get_num_threads() == 1:
        _products_some(0, len(pairs), weight, gaussians, anchors, radius, pairs, sums)
    else:
        _products_parallel(weight, gaussians, anchors, radius, pairs, sums)
    return sums


def row_sums(image, gaussians, centres, radius, active):
    """Return (n, r, 3) sums over each row of an image times profile and slopes."""
    sums = np.zeros((len(gaussians), 2 * floor(radius) + 1, 3))
    if get_num_threads() == 1:
        _rows_some(0, len(gaussians), image, gaussians, centres, radius, active, sums)
    else:
        _rows_parallel(image, gaussians, centres, radius, active, sums)
    return sums


def under_columns(image, gaussians, centres, radius, active, spacing):
    """Return (n, 2) first nodes and (n, r, c, 3) sums of ``gather`` times each node's weight."""
    across = int(2 * radius / spacing) + 3
    first = np.maximum(np.floor((centres - radius) / spacing), 0).astype(np.int64)
    sums = np.zeros((len(gaussians), across, across, 3))
    if get_num_threads() == 1:
        _under_some(
            0, len(gaussians), image, gaussians, centres, radius, active, spacing, first, sums
        )
    else:
        _under_parallel(image, gaussians, centres, radius, active, spacing, first, sums)
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


@_parallel
def _draw_parallel(gaussians, centres, radius, forms, images):
    height = images.shape[1]
    for band in prange((height + BAND - 1) // BAND):
        end = min(band * BAND + BAND, height)
        _draw_rows(band * BAND, end, gaussians, centres, radius, forms, images)


@_parallel
def _gather_parallel(images, gaussians, centres, radius, active, sums):
    n = len(gaussians)
    for band in prange((n + BAND - 1) // BAND):
        end = min(band * BAND + BAND, n)
        _gather_some(band * BAND, end, images, gaussians, centres, radius, active, sums)


@_parallel
def _squares_parallel(weight, gaussians, centres, radius, active, sums):
    n = len(gaussians)
    for band in prange((n + BAND - 1) // BAND):
        end = min(band * BAND + BAND, n)
        _squares_some(band * BAND, end, weight, gaussians, centres, radius, active, sums)


@_parallel
def _products_parallel(weight, gaussians, anchors, radius, pairs, sums):
    n = len(pairs)
    for band in prange((n + BAND - 1) // BAND):
        end = min(band * BAND + BAND, n)
        _products_some(band * BAND, end, weight, gaussians, anchors, radius, pairs, sums)


@_parallel
def _rows_parallel(image, gaussians, centres, radius, active, sums):
    n = len(gaussians)
    for band in prange((n + BAND - 1) // BAND):
        end = min(band * BAND + BAND, n)
        _rows_some(band * BAND, end, image, gaussians, centres, radius, active, sums)


@_parallel
def _under_parallel(image, gaussians, centres, radius, active, spacing, first, sums):
    n = len(gaussians)
    for band in prange((n + BAND - 1) // BAND):
        begin, end = band * BAND, min(band * BAND + BAND, n)
        _under_some(begin, end, image, gaussians, centres, radius, active, spacing, first, sums)


@_plain
def _span(y, centre_y, centre_x, radius, width):
    """Return first and one past the last pixel of a disc's row inside the frame."""
    square = radius * radius - (y - centre_y) ** 2
    if square < 0:
        return 0, 0
    half = sqrt(square)
    return max(ceil(centre_x - half), 0), min(floor(centre_x + half) + 1, width)


@_plain
def _profile(y, first, last, gaussian, row):
    """Draw a row of a profile of unit integral from its pixel nearest the maximum outward."""
    pyy, pyx, pxx = gaussian[2], gaussian[3], gaussian[4]
    dy = y - gaussian[0]
    peak = min(max(int(np.rint(gaussian[1] - pyx * dy / pxx)), first), last - 1)
    dx = peak - gaussian[1]
    norm = sqrt(pyy * pxx - pyx * pyx) / (2 * pi)
    top = norm * exp(-0.5 * (pyy * dy * dy + 2 * pyx * dy * dx + pxx * dx * dx))
    slope, fade = pxx * dx + pyx * dy, exp(-pxx)
    value, ratio = top, exp(-slope - 0.5 * pxx)
    for x in range(peak, last):
        row[x - first] = value
        value *= ratio
        ratio *= fade
    value, ratio = top, exp(slope - 0.5 * pxx)
    for x in range(peak - 1, first - 1, -1):
        value *= ratio
        ratio *= fade
        row[x - first] = value


@_fused
def _add_forms(image, row, form, dy, dx, gaussian):
    """Add a row of a profile times a form of its slopes; dx is that of the first pixel."""
    pyy, pyx, pxx = gaussian[2], gaussian[3], gaussian[4]
    for k in range(len(row)):
        away = dx + k
        by_y, by_x = pyy * dy + pyx * away, pyx * dy + pxx * away
        value = form[0] + by_y * (form[1] + form[3] * by_y + form[4] * by_x)
        image[k] += row[k] * (value + by_x * (form[2] + form[5] * by_x))


@_plain
def _draw_rows(begin, end, gaussians, centres, radius, forms, images):
    width = images.shape[2]
    row = np.empty(2 * int(radius) + 2)
    for n in range(len(gaussians)):
        gaussian, cy, cx = gaussians[n], centres[n, 0], centres[n, 1]
        top, bottom = max(ceil(cy - radius), begin), min(floor(cy + radius) + 1, end)
        for y in range(top, bottom):
            first, last = _span(y, cy, cx, radius, width)
            if last <= first:
                continue
            _profile(y, first, last, gaussian, row)
            dy, dx = y - gaussian[0], first - gaussian[1]
            for k in range(len(images)):
                part = row[: last - first]
                _add_forms(images[k, y, first:last], part, forms[n, k], dy, dx, gaussian)


@_fused
def _first_powers(image, row, dx):
    """Return sums of image times row, and times the distance along it."""
    total, along = 0.0, 0.0
    for k in range(len(row)):
        part = image[k] * row[k]
        total += part
        along += part * (dx + k)
    return total, along


@_fused
def _second_powers(weight, row, other, dx):
    """Return sums of weight times two rows times powers 0, 1, 2 of the distance along them."""
    total, along, twice = 0.0, 0.0, 0.0
    for k in range(len(row)):
        part = weight[k] * row[k] * other[k]
        total += part
        along += part * (dx + k)
        twice += part * (dx + k) ** 2
    return total, along, twice


@_plain
def _gather_some(begin, end, images, gaussians, centres, radius, active, sums):
    height, width = images.shape[1:]
    row = np.empty(2 * int(radius) + 2)
    for n in range(begin, end):
        if not active[n]:
            continue
        gaussian, cy, cx = gaussians[n], centres[n, 0], centres[n, 1]
        pyy, pyx, pxx = gaussian[2], gaussian[3], gaussian[4]
        for y in range(max(ceil(cy - radius), 0), min(floor(cy + radius) + 1, height)):
            first, last = _span(y, cy, cx, radius, width)
            if last <= first:
                continue
            _profile(y, first, last, gaussian, row)
            dy, dx = y - gaussian[0], first - gaussian[1]
            for k in range(len(images)):
                part = row[: last - first]
                total, along = _first_powers(images[k, y, first:last], part, dx)
                sums[n, k, 0] += pyy * dy * total + pyx * along
                sums[n, k, 1] += pyx * dy * total + pxx * along
                sums[n, k, 2] += total


@_plain
def _squares_some(begin, end, weight, gaussians, centres, radius, active, sums):
    height, width = weight.shape
    row, powers = np.empty(2 * int(radius) + 2), np.empty(6)
    for n in range(begin, end):
        if not active[n]:
            continue
        gaussian, cy, cx = gaussians[n], centres[n, 0], centres[n, 1]
        powers[:] = 0
        for y in range(max(ceil(cy - radius), 0), min(floor(cy + radius) + 1, height)):
            first, last = _span(y, cy, cx, radius, width)
            if last <= first:
                continue
            _profile(y, first, last, gaussian, row)
            dy, dx = y - gaussian[0], first - gaussian[1]
            part = row[: last - first]
            _add_powers(powers, dy, _second_powers(weight[y, first:last], part, part, dx))
        _turn(powers, gaussian, gaussian, sums[n])


@_plain
def _products_some(begin, end, weight, gaussians, anchors, radius, pairs, sums):
    height, width = weight.shape
    row, other = np.empty(2 * int(radius) + 2), np.empty(2 * int(radius) + 2)
    powers = np.empty(6)
    for c in range(begin, end):
        a, b = pairs[c, 0], pairs[c, 1]
        one, two, here, there = gaussians[a], gaussians[b], anchors[a], anchors[b]
        powers[:] = 0
        top = max(ceil(max(here[0], there[0]) - radius), 0)
        bottom = min(floor(min(here[0], there[0]) + radius) + 1, height)
        for y in range(top, bottom):
            first, last = _span(y, here[0], here[1], radius, width)
            from_, to = _span(y, there[0], there[1], radius, width)
            first, last = max(first, from_), min(last, to)
            if last <= first:
                continue
            _profile(y, first, last, one, row)
            _profile(y, first, last, two, other)
            dy, dx, n = y - one[0], first - one[1], last - first
            _add_powers(powers, dy, _second_powers(weight[y, first:last], row[:n], other[:n], dx))
        _turn(powers, one, two, sums[c])


@_plain
def _add_powers(powers, dy, sums):
    total, along, twice = sums
    powers[0] += total
    powers[1] += dy * total
    powers[2] += along
    powers[3] += dy * dy * total
    powers[4] += dy * along
    powers[5] += twice


@_plain
def _turn(powers, one, two, into):
    """Write the sums over slopes of two columns from those over powers about the first.

    Rows and columns of the result are y, x and 1.
    """
    off_y, off_x = one[0] - two[0], one[1] - two[1]
    s, sy, sx = powers[0], powers[1], powers[2]
    # powers of the distance from the first, times those from the second
    yy, yx = powers[3] + off_y * sy, powers[4] + off_x * sy
    xy, xx = powers[4] + off_y * sx, powers[5] + off_x * sx
    ty, tx = sy + off_y * s, sx + off_x * s
    for p in range(2):
        ay, ax = one[2 + p], one[3 + p]
        my, mx = ay * yy + ax * xy, ay * yx + ax * xx
        for q in range(2):
            into[p, q] = my * two[2 + q] + mx * two[3 + q]
        into[p, 2] = ay * sy + ax * sx
        into[2, p] = two[2 + p] * ty + two[3 + p] * tx
    into[2, 2] = s


@_plain
def _rows_some(begin, end, image, gaussians, centres, radius, active, sums):
    height, width = image.shape
    row, half = np.empty(2 * int(radius) + 2), int(radius)
    for n in range(begin, end):
        if not active[n]:
            continue
        gaussian, cy, cx = gaussians[n], centres[n, 0], centres[n, 1]
        pyy, pyx, pxx = gaussian[2], gaussian[3], gaussian[4]
        for y in range(max(cy - half, 0), min(cy + half + 1, height)):
            first, last = _span(y, cy, cx, radius, width)
            if last <= first:
                continue
            _profile(y, first, last, gaussian, row)
            dy, dx = y - gaussian[0], first - gaussian[1]
            total, along = _first_powers(image[y, first:last], row[: last - first], dx)
            place = sums[n, y - cy + half]
            place[0] = pyy * dy * total + pyx * along
            place[1] = pyx * dy * total + pxx * along
            place[2] = total


@_plain
def _under_some(begin, end, image, gaussians, centres, radius, active, spacing, first, sums):
    height, width = image.shape
    row, ones = np.empty(2 * int(radius) + 2), np.ones(2 * int(radius) + 2)
    for n in range(begin, end):
        if not active[n]:
            continue
        gaussian, cy, cx = gaussians[n], centres[n, 0], centres[n, 1]
        for y in range(max(ceil(cy - radius), 0), min(floor(cy + radius) + 1, height)):
            left, right = _span(y, cy, cx, radius, width)
            if right <= left:
                continue
            _profile(y, left, right, gaussian, row)
            cell = floor(left / spacing)
            while left < right:
                end_x = min(max(ceil((cell + 1) * spacing), left), right)
                k = end_x - left
                powers = _second_powers(image[y, left:end_x], row[:k], ones[:k], left - gaussian[1])
                into = sums[n, floor(y / spacing) - first[n, 0] :, cell - first[n, 1] :]
                _share_out(into, powers, y, gaussian, spacing, cell)
                row[: right - end_x] = row[k : right - left].copy()
                left, cell = end_x, cell + 1


@_plain
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


@_plain
def _count(used, centres, radius, start):
    height, width = used.shape
    for n in range(len(centres)):
        cy, cx = centres[n, 0], centres[n, 1]
        for y in range(max(ceil(cy - radius), 0), min(floor(cy + radius) + 1, height)):
            first, last = _span(y, cy, cx, radius, width)
            for x in range(first, last):
                start[n + 1] += used[y, x]


@_plain
def _list(used, gaussians, centres, radius, start, pixel, value):
    height, width = used.shape
    row = np.empty(2 * int(radius) + 2)
    for n in range(len(centres)):
        cy, cx, k = centres[n, 0], centres[n, 1], start[n]
        for y in range(max(ceil(cy - radius), 0), min(floor(cy + radius) + 1, height)):
            first, last = _span(y, cy, cx, radius, width)
            if last <= first:
                continue
            _profile(y, first, last, gaussians[n], row)
            for x in range(first, last):
                if used[y, x]:
                    pixel[k], value[k] = y * width + x, row[x - first]
                    k += 1


@_plain
def _mark(valid, anchors, radius, active, used):
    height, width = used.shape
    for n in range(len(anchors)):
        if not active[n]:
            continue
        cy, cx = anchors[n, 0], anchors[n, 1]
        for y in range(max(ceil(cy - radius), 0), min(floor(cy + radius) + 1, height)):
            first, last = _span(y, cy, cx, radius, width)
            for x in range(first, last):
                used[y, x] = valid[y, x]
