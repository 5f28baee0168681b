"""Blocks of the Fisher information on the CPU: of each column, and of pairs of columns."""

from math import ceil, floor

import numpy as np

from stempede_kernels.frame_fit.profile_cpu import (
    in_bands,
    plain,
    profile,
    second_powers,
    span,
)


def squares(weight, gaussians, centres, radius, active):
    """Return (n, 3, 3) sums of weight times squared profile times slopes."""
    sums = np.zeros((len(gaussians), 3, 3))
    in_bands(_squares_some, len(gaussians), weight, gaussians, centres, radius, active, sums)
    return sums


def products(weight, gaussians, anchors, radius, pairs):
    """Return (c, 3, 3) sums of weight times both profiles of a pair times their slopes."""
    sums = np.zeros((len(pairs), 3, 3))
    in_bands(_products_some, len(pairs), weight, gaussians, anchors, radius, pairs, sums)
    return sums


@plain
def _squares_some(begin, end, weight, gaussians, centres, radius, active, sums):
    height, width = weight.shape
    row, powers = np.empty(2 * int(radius) + 2), np.empty(6)
    for n in range(begin, end):
        if not active[n]:
            continue
        gaussian, cy, cx = gaussians[n], centres[n, 0], centres[n, 1]
        powers[:] = 0
        for y in range(max(ceil(cy - radius), 0), min(floor(cy + radius) + 1, height)):
            first, last = span(y, cy, cx, radius, width)
            if last <= first:
                continue
            profile(y, first, last, gaussian, row)
            dy, dx = y - gaussian[0], first - gaussian[1]
            part = row[: last - first]
            _add_powers(powers, dy, second_powers(weight[y, first:last], part, part, dx))
        _turn(powers, gaussian, gaussian, sums[n])


@plain
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
            first, last = span(y, here[0], here[1], radius, width)
            from_, to = span(y, there[0], there[1], radius, width)
            first, last = max(first, from_), min(last, to)
            if last <= first:
                continue
            profile(y, first, last, one, row)
            profile(y, first, last, two, other)
            dy, dx, n = y - one[0], first - one[1], last - first
            _add_powers(powers, dy, second_powers(weight[y, first:last], row[:n], other[:n], dx))
        _turn(powers, one, two, sums[c])


@plain
def _add_powers(powers, dy, sums):
    total, along, twice = sums
    powers[0] += total
    powers[1] += dy * total
    powers[2] += along
    powers[3] += dy * dy * total
    powers[4] += dy * along
    powers[5] += twice


@plain
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
