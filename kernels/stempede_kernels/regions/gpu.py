"""Sums of every region in Triton; runs are listed on the device, hulls and holes on the host."""

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from stempede_kernels.regions import cpu
from stempede_kernels.regions.sums import Sums, box_middle

TILE_ROWS = 16
TILE_COLUMNS = 32
# order of the whole numbers of a tile: moments, configurations of 2 x 2, steps
N_MOMENTS = 10
N_COUNTS = 19


def accumulate(labels, images, background, valid, ring_gap_px, ring_width_px, count):
    """Return (Runs, Sums) of a batch on a GPU; all but the labels may be None.

    The host measures hulls and holes from the runs while the device sums.
    """
    runs = find_runs(labels, count)
    sums = Sums.zeros(len(runs))
    if len(runs) == 0:
        return runs, sums
    reach = ring_gap_px + ring_width_px if images is not None and background is None else 1
    tiles, owner = _tiles(runs, reach)
    partial = _launch(labels, images, background, valid, tiles, ring_gap_px, reach)
    count("up", tiles.nbytes)
    cpu.envelope(runs, sums)
    whole, light = _gather(partial, owner, len(runs), count)
    sums.moments[:] = whole[:, :N_MOMENTS]
    sums.windows[:] = whole[:, N_MOMENTS : N_MOMENTS + 16]
    sums.steps[:] = whole[:, N_MOMENTS + 16 :]
    sums.light[:] = light
    return runs, sums


def find_runs(labels, count):
    """Return the runs of a batch of label maps, found on its device."""
    height, width = labels.shape[1:]
    foreground = labels != 0
    change = labels[:, :, 1:] != labels[:, :, :-1]
    start, stop = foreground.clone(), foreground
    start[:, :, 1:] &= change
    stop[:, :, :-1] &= change
    first = torch.nonzero(start.view(-1)).view(-1)
    last = torch.nonzero(stop.view(-1)).view(-1)
    listed = torch.stack([first, last, labels.view(-1)[first].to(torch.int64)]).cpu().numpy()
    count("down", listed.nbytes)
    line, begin = np.divmod(listed[0], width)
    return cpu.order_runs(line, begin, listed[1] % width + 1, listed[2], height)


def _tiles(runs, reach):
    """Return (t, 6) int32 frame, label, top, left and middle of each tile, and its region.

    Tiles cover each region's box and `reach` pixels around it, at least one: configurations of
    2 x 2 pixels are counted by their last pixel.
    """
    low, high = runs.box[:, :2] - reach, runs.box[:, 2:] + reach
    rows = -((low[:, 0] - high[:, 0]) // TILE_ROWS)
    columns = -((low[:, 1] - high[:, 1]) // TILE_COLUMNS)
    owner = np.repeat(np.arange(len(runs)), rows * columns)
    number = np.arange(len(owner)) - (np.cumsum(rows * columns) - rows * columns)[owner]
    row, column = np.divmod(number, columns[owner])
    tiles = np.empty((len(owner), 6), np.int32)
    tiles[:, 0], tiles[:, 1] = runs.frame[owner], runs.label[owner]
    tiles[:, 2] = low[owner, 0] + row * TILE_ROWS
    tiles[:, 3] = low[owner, 1] + column * TILE_COLUMNS
    tiles[:, 4:] = box_middle(runs.box)[owner]
    return tiles, owner


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
        torch.from_numpy(tiles).to(device),
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


def _gather(partial, owner, n_regions, count):
    """Add tiles to regions: whole numbers on the device, fractions in order on the host."""
    numbers, light = partial
    whole = torch.zeros((n_regions, numbers.shape[1]), dtype=torch.int64, device=numbers.device)
    place = torch.from_numpy(owner).to(numbers.device)
    count("up", owner.nbytes)
    whole.index_add_(0, place, numbers)
    on_host = whole.cpu().numpy(), light.cpu().numpy()
    count("down", on_host[0].nbytes + on_host[1].nbytes)
    first = np.searchsorted(owner, np.arange(n_regions))
    return on_host[0], np.add.reduceat(on_host[1], first, axis=0)


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
    straight = ((edges == 2) | (edges == 3)) & (corners <= 2)
    oblique = ((corners == 2) & (edges == 0)) | ((corners == 3) & (edges == 1))
    mixed = (edges == 1) & ((corners == 1) | (corners == 2))
    centre = _boundary(labels_ptr, y, x, height, width, label).to(tl.int64)
    tl.store(out_ptr, tl.sum(straight.to(tl.int64) * centre))
    tl.store(out_ptr + 1, tl.sum(oblique.to(tl.int64) * centre))
    tl.store(out_ptr + 2, tl.sum(mixed.to(tl.int64) * centre))


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
COMPILE_CASES: list[tuple[Any, dict[str, str], dict[str, Any], int]] = [
    (
        _tile_kernel,
        _POINTERS | _NUMBERS,
        _TILE
        | {"WITH_IMAGES": images, "WITH_BACKGROUND": background, "WITH_VALID": not background},
        4,
    )
    for images, background in ((True, False), (True, True))
]
