"""Sums of every region of host arrays: runs are found once, then regions are independent."""

import numpy as np
from numba import njit

from stempede_kernels.regions import hull
from stempede_kernels.regions.holes import hole_area
from stempede_kernels.regions.sums import STEP_CLASSES, WINDOW_CODES, Runs, Sums, number_regions
from stempede_kernels.threads import spread

_STRIDE = 16

LINES = 256
REGIONS = 32
"""Lines and regions that a thread takes at a time."""


def accumulate(labels, images, background, valid, ring_gap_px, ring_width_px, _count):
    """Return (Runs, Sums) of a batch; all but the labels may be None."""
    runs = find_runs(labels)
    sums = Sums.zeros(len(runs))
    outline(runs, sums)
    envelope(runs, sums)
    if images is not None:
        light(runs, labels, images, background, valid, ring_gap_px, ring_width_px, sums.light)
    return runs, sums


def find_runs(labels):
    """Return the runs of a batch of label maps.

    Raises
    ------
    ValueError
        If a label is negative.
    """
    lines = labels.reshape(-1, labels.shape[2])
    begin = np.zeros(len(lines) + 1, np.int64)
    spread(_count_runs, len(lines), lines, begin[1:], at_once=LINES)
    np.cumsum(begin, out=begin)
    starts, stops, label = np.empty((3, begin[-1]), np.int64)
    spread(_list_runs, len(lines), lines, begin, starts, stops, label, at_once=LINES)
    line = np.repeat(np.arange(len(lines)), np.diff(begin))
    return order_runs(line, starts, stops, label, labels.shape[1])


def order_runs(line, starts, stops, label, height):
    """Return ``Runs`` from runs in raster order of the batch; line counts rows over frames."""
    if label.min(initial=1) < 0:
        raise ValueError(f"labels must be 0 or positive, found {label.min()}")
    frame, row = np.divmod(line, height)
    region, region_frame, region_label = number_regions(frame, label)
    begin = np.zeros(len(region_frame) + 1, np.int64)
    np.cumsum(np.bincount(region, minlength=len(region_frame)), out=begin[1:])
    rows, firsts, lasts = np.empty((3, len(row)), np.int64)
    box = np.empty((len(region_frame), 4), np.int64)
    _sort_runs(region, row, starts, stops, begin, rows, firsts, lasts, box)
    return Runs(begin, rows, firsts, lasts, region_frame, region_label, box)


@njit(cache=True, nogil=True)
def _count_runs(first, last, lines, counts):
    for line in range(first, last):
        counts[line] = _count_line(lines[line])


@njit(cache=True, nogil=True)
def _count_line(line):
    n_runs = np.int32(line[0] != 0)
    for x in range(1, len(line)):
        n_runs += np.int32((line[x] != line[x - 1]) & (line[x] != 0))
    return n_runs


@njit(cache=True, nogil=True)
def _list_runs(first, last, lines, begin, starts, stops, label):
    for line in range(first, last):
        _list_line(lines[line], begin[line], begin[line + 1], starts, stops, label)


@njit(cache=True, nogil=True)
def _list_line(line, run, end, starts, stops, label):
    """Write the runs of one row from place `run` on."""
    width = len(line)
    before = np.int32(0)
    x = 0
    while x < width and (run < end or before != 0):
        if x + _STRIDE <= width:
            # a stretch without a change is passed in a few vector instructions
            change = np.int32(0)
            for k in range(_STRIDE):
                change |= line[x + k] ^ before
            if change == 0:
                x += _STRIDE
                continue
        for here in range(x, min(x + _STRIDE, width)):
            if line[here] != before:
                if before != 0:
                    stops[run] = here
                    run += 1
                before = line[here]
                if before != 0:
                    starts[run] = here
                    label[run] = before
        x += _STRIDE
    if before != 0:
        stops[run] = width


@njit(cache=True, nogil=True)
def _sort_runs(region, row, starts, stops, begin, rows, firsts, lasts, box):
    """Gather runs by region, keeping their order, and bound each region."""
    place = begin[:-1].copy()
    for run in range(len(region)):
        k = region[run]
        at = place[k]
        place[k] += 1
        rows[at], firsts[at], lasts[at] = row[run], starts[run], stops[run]
        if at == begin[k]:
            box[k, 0], box[k, 1] = row[run], starts[run]
            box[k, 3] = stops[run]
        box[k, 1] = min(box[k, 1], starts[run])
        box[k, 2] = row[run] + 1
        box[k, 3] = max(box[k, 3], stops[run])


def outline(runs, sums):
    """Fill moments, 2 x 2 configurations and boundary steps."""
    spread(
        _outline_regions, len(runs),
        runs.begin, runs.rows, runs.starts, runs.stops, runs.box,
        sums.moments, sums.windows, sums.steps,
        at_once=REGIONS,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _outline_regions(first, last, begin, rows, starts, stops, box, moments, windows, steps):
    for k in range(first, last):
        part = slice(begin[k], begin[k + 1])
        _outline_region(
            rows[part], starts[part], stops[part], box[k], moments[k], windows[k], steps[k]
        )


@njit(cache=True, nogil=True)
def _outline_region(rows, starts, stops, box, moments, windows, steps):
    height, width = box[2] - box[0], box[3] - box[1]
    rows, starts, stops = rows - box[0], starts - box[1], stops - box[1]
    _add_moments(rows - height // 2, starts - width // 2, stops - width // 2, moments)
    _count_boundary(rows, starts, stops, height, width, windows, steps)


@njit(cache=True, nogil=True)
def _add_moments(rows, starts, stops, moments):
    """Add powers of the coordinates run by run: differences of sums of 0 … k - 1."""
    for run in range(len(rows)):
        y, a, b = rows[run], starts[run], stops[run]
        first_a, first_b = a * (a - 1) // 2, b * (b - 1) // 2
        n = b - a
        x = first_b - first_a
        xx = b * (b - 1) * (2 * b - 1) // 6 - a * (a - 1) * (2 * a - 1) // 6
        xxx = first_b * first_b - first_a * first_a
        moments[0] += n
        moments[1] += y * n
        moments[2] += x
        moments[3] += y * y * n
        moments[4] += y * x
        moments[5] += xx
        moments[6] += y * y * y * n
        moments[7] += y * y * x
        moments[8] += y * xx
        moments[9] += xxx


@njit(cache=True, nogil=True)
def _count_boundary(rows, starts, stops, height, width, windows, steps):
    """Count 2 x 2 configurations and boundary pixels by class of length."""
    # 0 outside, 1 inside, 2 on the boundary: an edge neighbour is outside
    mask = np.zeros((height + 2, width + 2), np.uint8)
    for run in range(len(rows)):
        mask[rows[run] + 1, starts[run] + 1 : stops[run] + 1] = 1
    for run in range(len(rows)):
        y, first, last = rows[run] + 1, starts[run] + 1, stops[run]
        mask[y, first] = mask[y, last] = 2
        for x in range(first + 1, last):
            if mask[y - 1, x] == 0 or mask[y + 1, x] == 0:
                mask[y, x] = 2
    for run in range(len(rows)):
        y = rows[run] + 1
        for x in range(starts[run] + 1, stops[run] + 1):
            if mask[y, x] == 2:
                _count_pixel(mask, y, x, windows, steps)


@njit(cache=True, nogil=True)
def _count_pixel(mask, y, x, windows, steps):
    north_west, north, north_east = mask[y - 1, x - 1], mask[y - 1, x], mask[y - 1, x + 1]
    west, east = mask[y, x - 1], mask[y, x + 1]
    south_west, south, south_east = mask[y + 1, x - 1], mask[y + 1, x], mask[y + 1, x + 1]
    neighbourhood = (
        (north_west > 0) | (north > 0) << 1 | (north_east > 0) << 2 | (west > 0) << 3
        | (east > 0) << 4 | (south_west > 0) << 5 | (south > 0) << 6 | (south_east > 0) << 7
    )  # fmt: skip
    for window in range(4):
        windows[WINDOW_CODES[neighbourhood, window]] += 1
    edges = (north == 2) + (west == 2) + (east == 2) + (south == 2)
    corners = (north_west == 2) + (north_east == 2) + (south_west == 2) + (south_east == 2)
    length = STEP_CLASSES[1 + 2 * edges + 10 * corners]
    if length >= 0:
        steps[length] += 1


def envelope(runs, sums):
    """Fill filled and convex area, the convex image's boundary steps and the calipers."""
    spread(
        _envelope_regions, len(runs),
        runs.begin, runs.rows, runs.starts, runs.stops, runs.box,
        sums.areas, sums.hull_steps, sums.calipers,
        at_once=REGIONS,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _envelope_regions(first, last, begin, rows, starts, stops, box, areas, steps, calipers):
    for k in range(first, last):
        part = slice(begin[k], begin[k + 1])
        _envelope_region(
            rows[part], starts[part], stops[part], box[k], areas[k], steps[k], calipers[k]
        )


@njit(cache=True, nogil=True)
def _envelope_region(rows, starts, stops, box, areas, steps, calipers):
    height, width = box[2] - box[0], box[3] - box[1]
    rows, starts, stops = rows - box[0], starts - box[1], stops - box[1]
    extents = hull.row_extents(rows, starts, stops, height)
    left, right = hull.chain(extents[0]), hull.chain(extents[1])
    convex = hull.convex_extents(left, right, height)
    full = hull.extents_runs(convex)
    for run in range(len(rows)):
        areas[0] += stops[run] - starts[run]
    areas[0] += hole_area(rows, starts, stops, height)
    for run in range(full.shape[1]):
        areas[1] += full[2, run] - full[1, run]
    windows = np.zeros(16, np.int64)
    _count_boundary(full[0], full[1], full[2], height, width, windows, steps)
    outer = hull.polygon(hull.chain(convex[0]), hull.chain(convex[1]))
    calipers[0], calipers[1] = hull.max_feret(outer)
    hull.edge_calipers(hull.polygon(left, right), calipers[2:])


def light(runs, labels, images, background, valid, ring_gap_px, ring_width_px, sums):
    """Fill sum and count of the pixels inside, and of the local background."""
    absent = np.zeros((0, 0, 0), np.float32)
    spread(
        _light_regions, len(runs),
        runs.begin, runs.rows, runs.starts, runs.stops, runs.box, runs.frame, labels, images,
        absent if background is None else background,
        absent.astype(np.bool_) if valid is None else valid,
        (ring_gap_px, ring_width_px), sums,
        at_once=REGIONS,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _light_regions(
    first,
    last,
    begin,
    rows,
    starts,
    stops,
    box,
    frame,
    labels,
    images,
    background,
    valid,
    ring_px,
    sums,
):
    for k in range(first, last):
        part, f = slice(begin[k], begin[k + 1]), frame[k]
        _add_inside(rows[part], starts[part], stops[part], images[f], sums[k, :2])
        if len(background):
            _add_inside(rows[part], starts[part], stops[part], background[f], sums[k, 2:])
        else:
            gap, width = ring_px
            ring = _ring(rows[part], starts[part], stops[part], box[k], gap, width)
            _add_ring(ring, box[k], gap + width, f, labels, images, valid, sums[k, 2:])


@njit(cache=True, nogil=True)
def _add_inside(rows, starts, stops, image, sums):
    total, count = 0.0, 0
    for run in range(len(rows)):
        for x in range(starts[run], stops[run]):
            value = image[rows[run], x]
            if np.isfinite(value):
                total += value
                count += 1
    sums[0], sums[1] = total, count


@njit(cache=True, nogil=True)
def _ring(rows, starts, stops, box, gap, width):
    """Return a mask around the box, 1 where the square distance is in (gap, gap + width]."""
    reach = gap + width
    ring = np.zeros((box[2] - box[0] + 2 * reach, box[3] - box[1] + 2 * reach), np.uint8)
    for run in range(len(rows)):
        y, first, last = rows[run] - box[0], starts[run] - box[1], stops[run] - box[1]
        ring[y : y + 2 * reach + 1, first : last + 2 * reach] = 1
    for run in range(len(rows)):
        y, first, last = rows[run] - box[0], starts[run] - box[1], stops[run] - box[1]
        ring[y + width : y + width + 2 * gap + 1, first + width : last + width + 2 * gap] = 0
    return ring


@njit(cache=True, nogil=True)
def _add_ring(ring, box, reach, frame, labels, images, valid, sums):
    """Sum the finite, valid pixels of a ring that belong to no region."""
    total, count = 0.0, 0
    top, left = box[0] - reach, box[1] - reach
    first, last = max(0, -left), min(ring.shape[1], labels.shape[2] - left)
    for y in range(max(0, -top), min(ring.shape[0], labels.shape[1] - top)):
        for x in range(first, last):
            if ring[y, x] == 0 or labels[frame, top + y, left + x] != 0:
                continue
            value = images[frame, top + y, left + x]
            if np.isfinite(value) and (len(valid) == 0 or valid[frame, top + y, left + x]):
                total += value
                count += 1
    sums[0], sums[1] = total, count
