"""Sums of every region in Triton; a row of numbers for each is all that leaves the device."""

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from stempede_kernels.regions import holes_gpu, hull, hull_gpu, tiles_gpu
from stempede_kernels.regions.sums import Runs, Sums
from stempede_kernels.regions.tiles_gpu import (
    TILE_COLUMNS,
    TILE_ROWS,
    convex_steps,
    store_classes,
    tiles_of,
)

# order of the whole numbers of a tile: moments, configurations of 2 x 2, steps
N_MOMENTS = 10
N_COUNTS = 19


def accumulate(labels, images, background, valid, ring_gap_px, ring_width_px, count):
    """Return (Runs, Sums) of a batch on a GPU; all but the labels may be None.

    Runs hold the first of each region, from which its first pixel is known; the others stay
    on the device.
    """
    runs = find_runs(labels)
    if len(runs) == 0:
        nothing = np.zeros(0, np.int64)
        box = np.zeros((0, 4), np.int64)
        return Runs(np.zeros(1, np.int64), *[nothing] * 5, box), Sums.zeros(0)
    reach = ring_gap_px + ring_width_px if images is not None and background is None else 1
    tiles, owner, n_tiles = tiles_of(runs.frame, runs.label, runs.box, reach)
    numbers, light = _launch(labels, images, background, valid, tiles, ring_gap_px, reach)
    outline, steps, convex_px = _envelope(runs, tiles, owner)
    first = runs.begin[:-1]
    parts = (
        torch.stack([runs.frame, runs.label, runs.starts[first], runs.stops[first]], dim=1),
        runs.box,
        _add(numbers, owner, len(runs)),
        _add(steps, owner, len(runs)),
        convex_px,
        outline,
    )
    # tile by tile in one thread per region: no order of threads shows in a sum
    sums_of_light = torch.segment_reduce(light, "sum", lengths=n_tiles, axis=0)
    whole, bright = (_download(part, count) for part in (torch.cat(parts, dim=1), sums_of_light))
    return _conclude(np.split(whole, np.cumsum([p.shape[1] for p in parts])[:-1], axis=1), bright)


def find_runs(labels):
    """Return the runs of a batch of label maps, tensors on its device, as ``cpu.find_runs``."""
    height, width = labels.shape[1:]
    foreground = labels != 0
    change = labels[:, :, 1:] != labels[:, :, :-1]
    start, stop = foreground.clone(), foreground
    start[:, :, 1:] &= change
    stop[:, :, :-1] &= change
    first = torch.nonzero(start.view(-1)).view(-1)
    last = torch.nonzero(stop.view(-1)).view(-1)
    label = labels.view(-1)[first].to(torch.int64)
    lowest, stride = (int(label.min()), int(label.max()) + 1) if len(label) else (0, 1)
    if lowest < 0:
        raise ValueError(f"labels must be 0 or positive, found {lowest}")
    line = first // width
    keys, region = torch.unique(line // height * stride + label, return_inverse=True)
    region, order = torch.sort(region, stable=True)
    ends = line % height, first % width, last % width + 1
    rows, starts, stops = (part[order] for part in ends)
    begin = torch.searchsorted(region, torch.arange(len(keys) + 1, device=labels.device))
    left = torch.full_like(keys, width).scatter_reduce(0, region, starts, "amin")
    right = torch.zeros_like(keys).scatter_reduce(0, region, stops, "amax")
    box = torch.stack([rows[begin[:-1]], left, rows[begin[1:] - 1] + 1, right], dim=1)
    return Runs(begin, rows, starts, stops, keys // stride, keys % stride, box)


def _launch(labels, images, background, valid, tiles, gap, reach):
    """Start the kernel; return what it fills: (t, 29) int64 and (t, 4) float64."""
    device, n_tiles = labels.device, len(tiles)
    numbers = torch.empty((n_tiles, N_MOMENTS + N_COUNTS), dtype=torch.int64, device=device)
    light = torch.zeros((n_tiles, 4), dtype=torch.float64, device=device)
    _tile_kernel[(n_tiles,)](
        labels,
        labels if images is None else images,
        labels if background is None else background,
        labels if valid is None else valid.view(torch.uint8),
        tiles,
        numbers,
        light,
        labels.shape[1],
        labels.shape[2],
        gap,
        reach,
        WITH_IMAGES=images is not None,
        WITH_BACKGROUND=background is not None,
        WITH_VALID=valid is not None,
        ROWS=TILE_ROWS,
        COLUMNS=TILE_COLUMNS,
        num_warps=4,
    )
    return numbers, light


def _envelope(runs, tiles, owner):
    """Return outlines' whole numbers, the convex images' steps by tile, and both areas.

    Outlines are (n, 11): the longest distance of the convex image's hull, then the hull's two
    edges, as ``hull_gpu`` has them.
    """
    rows = _rows_of(runs)
    _, start, stop, extents, row_begin = rows
    corners, begin, convex = hull_gpu.wrap(extents, row_begin)
    outer, outer_begin, _ = hull_gpu.wrap(convex, row_begin)
    outline = torch.cat(
        [hull_gpu.longest(outer, outer_begin), hull_gpu.calipers(corners, begin)], dim=1
    )
    full = torch.where(convex[0] == hull_gpu.EMPTY, 0, 1 - convex[1] - convex[0])
    filled_px = holes_gpu.hole_areas(*rows)
    filled_px.index_add_(0, torch.repeat_interleave(runs.begin.diff()), stop - start)
    convex_px = torch.zeros_like(filled_px)
    convex_px.index_add_(0, torch.repeat_interleave(row_begin.diff()), full.to(torch.int64))
    areas = torch.stack([filled_px, convex_px], dim=1)
    return outline, convex_steps(convex, row_begin, runs.box, tiles, owner), areas


def _rows_of(runs):
    """Return row, start and stop of runs within their boxes, the rows' extents, and their begin.

    Rows go on from region to region; see ``hull_gpu.wrap``.
    """
    height = runs.box[:, 2] - runs.box[:, 0]
    row_begin = torch.nn.functional.pad(torch.cumsum(height, dim=0), (1, 0))
    region = torch.repeat_interleave(runs.begin.diff())
    row = row_begin[region] + runs.rows - runs.box[region, 0]
    start, stop = (part - runs.box[region, 1] for part in (runs.starts, runs.stops))
    shape = (2, int(row_begin[-1]))
    extents = torch.full(shape, hull_gpu.EMPTY, dtype=torch.int32, device=row.device)
    extents[0].scatter_reduce_(0, row, start.to(torch.int32), "amin")
    extents[1].scatter_reduce_(0, row, (1 - stop).to(torch.int32), "amin")
    return row, start, stop, extents, row_begin


def _add(numbers, owner, n_regions):
    """Add the whole numbers of tiles to their regions."""
    total = torch.zeros((n_regions, numbers.shape[1]), dtype=torch.int64, device=numbers.device)
    return total.index_add_(0, owner, numbers)


def _download(array, count):
    """Return a tensor on the host."""
    host = array.cpu().numpy()
    count("down", host.nbytes)
    return host


def _conclude(parts, light):
    """Return (Runs, Sums) on the host from what came down."""
    identity, box, numbers, hull_steps, areas, outline = parts
    n_regions = len(box)
    begin = np.arange(n_regions + 1)
    runs = Runs(begin, box[:, 0], identity[:, 2], identity[:, 3], *identity.T[:2], box)
    sums = Sums.zeros(n_regions)
    sums.moments[:] = numbers[:, :N_MOMENTS]
    sums.windows[:] = numbers[:, N_MOMENTS : N_MOMENTS + 16]
    sums.steps[:] = numbers[:, N_MOMENTS + 16 :]
    sums.hull_steps[:], sums.areas[:], sums.light[:] = hull_steps, areas, light
    hull.calipers_of_edges(np.ascontiguousarray(outline), sums.calipers)
    return runs, sums


@triton.jit
def _belongs(labels_ptr, y, x, height, width, label):
    """Say which pixels carry the label; none does outside the frame."""
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return (tl.load(labels_ptr + y * width + x, mask=inside, other=0) == label).to(tl.int32)


@triton.jit
def _boundary(labels_ptr, y, x, height, width, label):
    """Say which pixels belong and have an edge neighbour that does not."""
    around = (
        _belongs(labels_ptr, y - 1, x, height, width, label)
        + _belongs(labels_ptr, y + 1, x, height, width, label)
        + _belongs(labels_ptr, y, x - 1, height, width, label)
        + _belongs(labels_ptr, y, x + 1, height, width, label)
    )
    return _belongs(labels_ptr, y, x, height, width, label) * (around < 4).to(tl.int32)


@triton.jit
def _store_moments(out_ptr, here, y, x):
    """Store sums of powers in the order of MOMENTS; y and x count from the middle."""
    n = here.to(tl.int64)
    yy, yx, xx = y * y * n, y * x * n, x * x * n
    tl.store(out_ptr, tl.sum(n))
    tl.store(out_ptr + 1, tl.sum(y * n))
    tl.store(out_ptr + 2, tl.sum(x * n))
    tl.store(out_ptr + 3, tl.sum(yy))
    tl.store(out_ptr + 4, tl.sum(yx))
    tl.store(out_ptr + 5, tl.sum(xx))
    tl.store(out_ptr + 6, tl.sum(y * yy))
    tl.store(out_ptr + 7, tl.sum(x * yy))
    tl.store(out_ptr + 8, tl.sum(y * xx))
    tl.store(out_ptr + 9, tl.sum(x * xx))


@triton.jit
def _store_windows(out_ptr, labels_ptr, here, y, x, height, width, label):
    """Store how often each configuration of 2 x 2 pixels occurs; each counts at its last pixel."""
    code = (
        here
        + 2 * _belongs(labels_ptr, y - 1, x, height, width, label)
        + 4 * _belongs(labels_ptr, y, x - 1, height, width, label)
        + 8 * _belongs(labels_ptr, y - 1, x - 1, height, width, label)
    )
    tl.store(out_ptr, 0)
    tl.store(out_ptr + 15, 0)
    for configuration in tl.static_range(1, 15):
        tl.store(out_ptr + configuration, tl.sum((code == configuration).to(tl.int64)))


@triton.jit
def _store_steps(out_ptr, labels_ptr, y, x, height, width, label):
    """Store the boundary pixels by class of length, as STEP_CLASSES has them."""
    edges = (
        _boundary(labels_ptr, y - 1, x, height, width, label)
        + _boundary(labels_ptr, y + 1, x, height, width, label)
        + _boundary(labels_ptr, y, x - 1, height, width, label)
        + _boundary(labels_ptr, y, x + 1, height, width, label)
    )
    corners = (
        _boundary(labels_ptr, y - 1, x - 1, height, width, label)
        + _boundary(labels_ptr, y - 1, x + 1, height, width, label)
        + _boundary(labels_ptr, y + 1, x - 1, height, width, label)
        + _boundary(labels_ptr, y + 1, x + 1, height, width, label)
    )
    centre = _boundary(labels_ptr, y, x, height, width, label)
    store_classes(out_ptr, centre, edges, corners)


@triton.jit
def _store_light(out_ptr, values_ptr, chosen, place):
    """Store sum and count of the finite values of chosen pixels."""
    value = tl.load(values_ptr + place, mask=chosen, other=float("nan"))
    finite = tl.abs(value) < float("inf")
    tl.store(out_ptr, tl.sum(tl.where(finite, value, 0.0).to(tl.float64)))
    tl.store(out_ptr + 1, tl.sum(finite.to(tl.float64)))


@triton.jit
def _in_ring(labels_ptr, y, x, height, width, label, gap, reach):
    """Say which pixels are nearest to the region at square distance in (gap, reach]."""
    near = tl.zeros_like(x + y).to(tl.int32)
    far = near
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            there = _belongs(labels_ptr, y + dy, x + dx, height, width, label)
            far = far | there
            inner = (dy <= gap) & (dy >= -gap) & (dx <= gap) & (dx >= -gap)
            near = near | tl.where(inner, there, 0)
    return (far - near) > 0


@triton.jit
def _tile_kernel(
    labels_ptr, images_ptr, background_ptr, valid_ptr, tiles_ptr, numbers_ptr, light_ptr,
    height, width, gap, reach,
    WITH_IMAGES: tl.constexpr, WITH_BACKGROUND: tl.constexpr, WITH_VALID: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sum one tile of one region's surroundings."""
    tile = tl.program_id(0).to(tl.int64)
    tiles_ptr += tile * 6
    numbers_ptr += tile * 29
    light_ptr += tile * 4
    frame = tl.load(tiles_ptr).to(tl.int64) * height * width
    label = tl.load(tiles_ptr + 1)
    y = (tl.load(tiles_ptr + 2) + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    x = (tl.load(tiles_ptr + 3) + tl.arange(0, COLUMNS)).to(tl.int64)[None, :]
    labels_ptr += frame
    place = y * width + x
    here = _belongs(labels_ptr, y, x, height, width, label)  # [ROWS, COLUMNS]
    middle_y, middle_x = tl.load(tiles_ptr + 4), tl.load(tiles_ptr + 5)
    _store_moments(numbers_ptr, here, y - middle_y, x - middle_x)
    _store_windows(numbers_ptr + 10, labels_ptr, here, y, x, height, width, label)
    _store_steps(numbers_ptr + 26, labels_ptr, y, x, height, width, label)
    if WITH_IMAGES:
        _store_light(light_ptr, images_ptr + frame, here > 0, place)
        if WITH_BACKGROUND:
            _store_light(light_ptr + 2, background_ptr + frame, here > 0, place)
        else:
            ring = _in_ring(labels_ptr, y, x, height, width, label, gap, reach)
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            ring = ring & inside
            ring = ring & (tl.load(labels_ptr + place, mask=ring, other=1) == 0)
            if WITH_VALID:
                ring = ring & (tl.load(valid_ptr + frame + place, mask=ring, other=0) != 0)
            _store_light(light_ptr + 2, images_ptr + frame, ring, place)


_POINTERS = {
    "labels_ptr": "*i32",
    "images_ptr": "*fp32",
    "background_ptr": "*fp32",
    "valid_ptr": "*u8",
    "tiles_ptr": "*i32",
    "numbers_ptr": "*i64",
    "light_ptr": "*fp64",
}
_NUMBERS = {"height": "i32", "width": "i32", "gap": "i32", "reach": "i32"}
_TILE = {"ROWS": TILE_ROWS, "COLUMNS": TILE_COLUMNS}

# (kernel, signature, constexprs, warps), compiled for every architecture without a device
COMPILE_CASES: list[tuple[Any, ...]] = [
    (
        _tile_kernel,
        _POINTERS | _NUMBERS,
        _TILE
        | {"WITH_IMAGES": images, "WITH_BACKGROUND": background, "WITH_VALID": not background},
        4,
    )
    for images, background in ((True, False), (True, True))
]
COMPILE_CASES += tiles_gpu.COMPILE_CASES + hull_gpu.COMPILE_CASES + holes_gpu.COMPILE_CASES
