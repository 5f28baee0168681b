"""Superellipses in Triton: a program per start, per shape held against a region, per drawing."""

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from stempede_kernels.superellipse.lanes import (
    bounded,
    evaluate,
    log_terms,
    solve,
    turned,
    where_all,
)
from stempede_kernels.superellipse.outline_gpu import information, trace
from stempede_kernels.superellipse.plan import (
    EDGES,
    FARTHEST,
    FEWEST_POINTS,
    HIGH,
    LOW,
    OVERLAP_SIDE,
    TOLERANCE,
    Floats,
    Ints,
    Outlines,
    Trials,
)
from stempede_kernels.superellipse.reference import vertices

__all__ = ["fit", "information", "overlap", "render", "trace"]

POINTS = 32
PIXELS = 256
# a bound that float64 holds in place of none
_FAR = 1e30
_MOST_EDGES = max(2 * d * n for d, n in enumerate(EDGES))


def fit(outlines: Outlines, region: Ints, order: Ints, start: Floats, most: int) -> Trials:
    """Fit one shape from each start; see the host's."""
    n, device = len(region), outlines.points.device
    if n == 0:
        nothing = np.zeros(0)
        return Trials(start.copy(), nothing, nothing.astype(np.int8), nothing.astype(np.int32))
    ends = np.stack([outlines.begin[region], outlines.begin[region + 1], order], axis=1)
    theta = torch.from_numpy(np.ascontiguousarray(start)).to(device)
    answer = torch.empty((n, 3), dtype=torch.float64, device=device)
    limits = np.clip(np.stack([LOW, HIGH]), -_FAR, _FAR)
    _fit_kernel[(n,)](
        outlines.points,
        torch.from_numpy(np.ascontiguousarray(ends)).to(device),
        torch.from_numpy(limits).to(device),
        theta,
        answer,
        most,
        TOLERANCE=TOLERANCE,
        FEWEST=FEWEST_POINTS,
        BLOCK=POINTS,
        num_warps=1,
    )
    cost, state, iterations = answer.cpu().numpy().T
    return Trials(theta.cpu().numpy(), cost.copy(), state.astype(np.int8), iterations.astype("i4"))


@triton.jit
def _fit_kernel(
    point_ptr,
    ends_ptr,
    limits_ptr,
    theta_ptr,
    answer_ptr,
    most,
    TOLERANCE: tl.constexpr,
    FEWEST: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Fit by Levenberg-Marquardt from one start."""
    k = tl.program_id(0).to(tl.int64)
    first, last = tl.load(ends_ptr + 3 * k), tl.load(ends_ptr + 3 * k + 1)
    order = tl.load(ends_ptr + 3 * k + 2).to(tl.int32)
    theta, low, high = (), (), ()
    for a in tl.static_range(6):
        theta = theta + (tl.load(theta_ptr + 6 * k + a),)
        low = low + (tl.load(limits_ptr + a),)
        high = high + (tl.load(limits_ptr + 6 + a),)
    here, length, system = evaluate(point_ptr, first, last, theta, order, BLOCK)
    usable = (last - first >= FEWEST) & (here < float("inf"))
    state = tl.where(usable, 2, 3)
    damping = length * 0.0 + 1e-2
    iteration = 0
    going = usable & (most > 0)
    while going:
        iteration += 1
        positive, step = solve(system, damping)
        trial = bounded(theta, step, order, low, high)
        there, length, other = evaluate(point_ptr, first, last, trial, order, BLOCK)
        better = positive & (there <= here)
        small = better & (here - there <= TOLERANCE * here)
        theta = where_all(better, trial, theta)
        system = where_all(better, other, system)
        here = tl.where(better, there, here)
        harder = tl.maximum(10.0 * damping, 1e-3)
        damping = tl.where(better, tl.maximum(0.2 * damping, 1e-6), harder)
        stuck = positive & (better == 0) & (damping > 1e3)
        lost = (positive == 0) & (damping > 1e6)
        state = tl.where(small | stuck, 1, tl.where(lost, 3, state))
        going = (small == 0) & (stuck == 0) & (lost == 0) & (iteration < most)
    for a in tl.static_range(6):
        tl.store(theta_ptr + 6 * k + a, theta[a])
    cost = tl.where(usable, here / length, float("inf"))
    tl.store(answer_ptr + 3 * k, cost)
    tl.store(answer_ptr + 3 * k + 1, state.to(tl.float64))
    tl.store(answer_ptr + 3 * k + 2, tl.where(usable, iteration, 0).to(tl.float64))


def overlap(
    labels: Any, frame: Ints, label: Ints, box: Ints, region: Ints, shapes: Floats
) -> Floats:
    """Return intersection over union of shapes (m, 7), in frame coordinates, with regions."""
    n, device = len(region), labels.device
    if n == 0:
        return np.zeros(0)
    side = (box[region, 2:] - box[region, :2]).max(axis=1)
    reach = _longest(shapes)
    within = reach < FARTHEST * side
    step = np.maximum(1, side // OVERLAP_SIDE)
    reach = np.where(within, reach, 0.0)
    low = np.minimum(box[region, :2], np.floor(shapes[:, :2] - 1.03 * reach[:, None]))
    high = np.maximum(box[region, 2:], np.ceil(shapes[:, :2] + 1.03 * reach[:, None]) + 1)
    low -= low % step[:, None]
    tiles = np.empty((n, 7), np.int64)
    tiles[:, 0], tiles[:, 1], tiles[:, 2] = frame[region], label[region], step
    tiles[:, 3:5] = low
    tiles[:, 5:] = -((low - high) // step[:, None])
    rows = np.column_stack([shapes, np.cos(shapes[:, 5] * shapes[:, 3])])
    rows = np.column_stack([rows, np.sin(shapes[:, 5] * shapes[:, 3])])
    counts = torch.empty((n, 2), dtype=torch.int64, device=device)
    _overlap_kernel[(n,)](
        labels,
        torch.from_numpy(tiles).to(device),
        torch.from_numpy(rows).to(device),
        counts,
        labels.shape[1],
        labels.shape[2],
        BLOCK=PIXELS,
        num_warps=4,
    )
    both, either = counts.cpu().numpy().T
    return np.where(within & (either > 0), both / np.maximum(either, 1), 0.0)


def _longest(shapes: Floats) -> Floats:
    """Return the longest radius of each shape: of 64 directions, the ends and the kink."""
    grid = np.arange(65) / 64 * (0.5 * np.pi)
    v = np.column_stack([np.tile(grid, (len(shapes), 1)), np.arctan(shapes[:, 6])])
    a, b = shapes[:, 6:7] * np.cos(v), np.sin(v)
    ratio = (np.minimum(a, b) / np.maximum(a, b)) ** shapes[:, 4:5]
    r = shapes[:, 2:3] / np.maximum(a, b) * (1.0 + ratio) ** (-1.0 / shapes[:, 4:5])
    result: Floats = r.max(axis=1)
    return result


@triton.jit
def _overlap_kernel(label_ptr, tile_ptr, shape_ptr, count_ptr, height, width, BLOCK: tl.constexpr):
    """Count pixels of one shape and one region: in both, in either."""
    k = tl.program_id(0).to(tl.int64)
    frame, own = tl.load(tile_ptr + 7 * k), tl.load(tile_ptr + 7 * k + 1)
    step = tl.load(tile_ptr + 7 * k + 2)
    top, left = tl.load(tile_ptr + 7 * k + 3), tl.load(tile_ptr + 7 * k + 4)
    rows, columns = tl.load(tile_ptr + 7 * k + 5), tl.load(tile_ptr + 7 * k + 6)
    cy, cx = tl.load(shape_ptr + 9 * k), tl.load(shape_ptr + 9 * k + 1)
    log_r, p = tl.log(tl.load(shape_ptr + 9 * k + 2)), tl.load(shape_ptr + 9 * k + 4)
    order = tl.load(shape_ptr + 9 * k + 5).to(tl.int32)
    log_l = tl.log(tl.load(shape_ptr + 9 * k + 6))
    turn_c, turn_s = tl.load(shape_ptr + 9 * k + 7), tl.load(shape_ptr + 9 * k + 8)
    both = tl.zeros((BLOCK,), tl.int64)
    either = tl.zeros((BLOCK,), tl.int64)
    for start in range(0, rows * columns, BLOCK):
        pixel = start + tl.arange(0, BLOCK).to(tl.int64)
        counted = pixel < rows * columns
        y, x = top + pixel // columns * step, left + pixel % columns * step
        seen = counted & (y >= 0) & (x >= 0) & (y < height) & (x < width)
        found = tl.load(label_ptr + (frame * height + y) * width + x, mask=seen, other=-1)
        in_region = seen & (found == own)
        dy, dx = y.to(tl.float64) - cy, x.to(tl.float64) - cx
        square = tl.maximum(dy * dy + dx * dx, 1e-30)
        cos, _ = turned(dy, dx, square, order, turn_c, turn_s)
        log_c, log_s, _, _ = log_terms(cos, log_l)
        rim = log_r - tl.maximum(log_c, log_s)
        rim -= tl.log(1.0 + tl.exp(-p * tl.abs(log_c - log_s))) / p
        in_shape = counted & (0.5 * tl.log(square) <= rim)
        both += (in_region & in_shape).to(tl.int64)
        either += (in_region | in_shape).to(tl.int64)
    tl.store(count_ptr + 2 * k, tl.sum(both, axis=0))
    tl.store(count_ptr + 2 * k + 1, tl.sum(either, axis=0))


def render(shapes: Any, size: int) -> Any:
    """Draw shapes (n, 7) as (n, size, size) shares, on their device.

    The polygons, some hundred vertices each, are set up on the host.
    """
    rows, device = shapes.cpu().numpy(), shapes.device
    out = torch.empty((len(rows), size, size), dtype=torch.float32, device=device)
    if len(rows) == 0:
        return out
    polygons = np.zeros((len(rows), _MOST_EDGES + 1, 2))
    edges = np.empty(len(rows), np.int32)
    for k, row in enumerate(rows):
        y, x = vertices(row)
        edges[k] = len(y)
        polygons[k, : len(y), 0], polygons[k, : len(y), 1] = y, x
        polygons[k, len(y)] = y[0], x[0]
    _render_kernel[(len(rows), triton.cdiv(size * size, PIXELS))](
        torch.from_numpy(polygons).to(device),
        torch.from_numpy(edges).to(device),
        out,
        size,
        STRIDE=2 * (_MOST_EDGES + 1),
        BLOCK=PIXELS,
        num_warps=4,
    )
    return out


@triton.jit
def _render_kernel(
    polygon_ptr, edges_ptr, out_ptr, size, STRIDE: tl.constexpr, BLOCK: tl.constexpr
):
    """Integrate along the outline what of each pixel lies left of it."""
    k = tl.program_id(0).to(tl.int64)
    pixel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    top = (pixel // size).to(tl.float64) - 0.5
    left = (pixel % size).to(tl.float64) - 0.5
    polygon_ptr += k * STRIDE
    share = tl.zeros((BLOCK,), tl.float64)
    for i in range(tl.load(edges_ptr + k)):
        y0, x0 = tl.load(polygon_ptr + 2 * i), tl.load(polygon_ptr + 2 * i + 1)
        y1, x1 = tl.load(polygon_ptr + 2 * i + 2), tl.load(polygon_ptr + 2 * i + 3)
        slope = tl.where(y1 == y0, 0.0, (x1 - x0) / tl.where(y1 == y0, 1.0, y1 - y0))
        start = tl.minimum(tl.maximum(y0, top), top + 1.0)
        end = tl.minimum(tl.maximum(y1, top), top + 1.0)
        a = x0 + slope * (start - y0) - left
        b = x0 + slope * (end - y0) - left
        share += (end - start) * _mean_clipped(a, b)
    share = tl.minimum(tl.maximum(share, 0.0), 1.0).to(tl.float32)
    tl.store(out_ptr + k * size * size + pixel, share, mask=pixel < size * size)


@triton.jit
def _mean_clipped(start, end):
    """Return the mean of a number that goes evenly from start to end, cut to 0 … 1."""
    low, high = tl.minimum(start, end), tl.maximum(start, end)
    width = high - low
    flat = tl.minimum(tl.maximum(low, 0.0), 1.0)
    mean = (_area(high) - _area(low)) / tl.where(width > 1e-7, width, 1.0)
    return tl.where(width > 1e-7, mean, flat)


@triton.jit
def _area(s):
    inside = tl.minimum(tl.maximum(s, 0.0), 1.0)
    return 0.5 * inside * inside + tl.maximum(s - 1.0, 0.0)


COMPILE_CASES = [
    (
        _fit_kernel,
        {"point_ptr": "*fp32", "ends_ptr": "*i64", "limits_ptr": "*fp64", "theta_ptr": "*fp64"}
        | {"answer_ptr": "*fp64", "most": "i32"},
        {"TOLERANCE": TOLERANCE, "FEWEST": FEWEST_POINTS, "BLOCK": POINTS},
        1,
    ),
    (
        _overlap_kernel,
        {"label_ptr": "*i32", "tile_ptr": "*i64", "shape_ptr": "*fp64", "count_ptr": "*i64"}
        | {"height": "i32", "width": "i32"},
        {"BLOCK": PIXELS},
        4,
    ),
    (
        _render_kernel,
        {"polygon_ptr": "*fp64", "edges_ptr": "*i32", "out_ptr": "*fp32", "size": "i32"},
        {"STRIDE": 2 * (_MOST_EDGES + 1), "BLOCK": PIXELS},
        4,
    ),
]
