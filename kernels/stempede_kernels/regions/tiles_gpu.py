"""Regions cut into tiles, one to a Triton program, and the boundary steps of convex images."""

from typing import Any

import torch
import triton
import triton.language as tl

from stempede_kernels.regions.hull_gpu import NONE
from stempede_kernels.regions.sums import box_middle

TILE_ROWS = 16
TILE_COLUMNS = 32


def tiles_of(frame: Any, label: Any, box: Any, reach: int) -> tuple[Any, Any, Any]:
    """Return (t, 6) int32 frame, label, top, left and middle of each tile, its region, and counts.

    Tiles cover each region's box and `reach` pixels around it, at least one: configurations of
    2 x 2 pixels are counted by their last pixel.
    """
    low, size = box[:, :2] - reach, box[:, 2:] - box[:, :2] + 2 * reach
    rows, columns = -(-size[:, 0] // TILE_ROWS), -(-size[:, 1] // TILE_COLUMNS)
    n_tiles = rows * columns
    owner = torch.repeat_interleave(n_tiles)
    before = torch.cumsum(n_tiles, dim=0) - n_tiles
    number = torch.arange(len(owner), device=owner.device) - before[owner]
    top = low[owner, 0] + number // columns[owner] * TILE_ROWS
    left = low[owner, 1] + number % columns[owner] * TILE_COLUMNS
    place = torch.stack([frame[owner], label[owner], top, left], dim=1)
    middle = box_middle(box)[owner]
    return torch.cat([place, middle], dim=1).to(torch.int32), owner, n_tiles


def convex_steps(convex: Any, row_begin: Any, box: Any, tiles: Any, owner: Any) -> Any:
    """Return (t, 3) int64: boundary pixels of convex images by class of length, per tile.

    Parameters are those of ``tiles_of`` and ``hull_gpu.wrap``, and what these returned.
    """
    steps = torch.empty((len(tiles), 3), dtype=torch.int64, device=tiles.device)
    _convex_kernel[(len(tiles),)](
        convex,
        tiles,
        owner,
        box,
        row_begin,
        steps,
        convex.shape[1],
        ROWS=TILE_ROWS,
        COLUMNS=TILE_COLUMNS,
        num_warps=4,
    )
    return steps


@triton.jit
def store_classes(out_ptr, centre, edges, corners):
    """Store boundary pixels by class of length, from how many neighbours are such pixels."""
    centre = centre.to(tl.int64)
    straight = ((edges == 2) | (edges == 3)) & (corners <= 2)
    oblique = ((corners == 2) & (edges == 0)) | ((corners == 3) & (edges == 1))
    mixed = (edges == 1) & ((corners == 1) | (corners == 2))
    tl.store(out_ptr, tl.sum(straight.to(tl.int64) * centre))
    tl.store(out_ptr + 1, tl.sum(oblique.to(tl.int64) * centre))
    tl.store(out_ptr + 2, tl.sum(mixed.to(tl.int64) * centre))


@triton.jit
def _in_convex(convex_ptr, y, x, height, n_rows):
    """Say which pixels belong to a convex image, from its rows' extents."""
    inside = (y >= 0) & (y < height)
    first = tl.load(convex_ptr + y, mask=inside, other=NONE)
    last = -tl.load(convex_ptr + n_rows + y, mask=inside, other=NONE)
    return ((x >= first) & (x <= last)).to(tl.int32)


@triton.jit
def _convex_rim(convex_ptr, y, x, height, n_rows):
    """Say which pixels belong to a convex image and have an edge neighbour that does not."""
    around = (
        _in_convex(convex_ptr, y - 1, x, height, n_rows)
        + _in_convex(convex_ptr, y + 1, x, height, n_rows)
        + _in_convex(convex_ptr, y, x - 1, height, n_rows)
        + _in_convex(convex_ptr, y, x + 1, height, n_rows)
    )
    return _in_convex(convex_ptr, y, x, height, n_rows) * (around < 4).to(tl.int32)


@triton.jit
def _convex_kernel(
    convex_ptr, tiles_ptr, owner_ptr, box_ptr, row_begin_ptr, steps_ptr, n_rows,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Store the boundary pixels of one tile of a region's convex image by class of length."""
    tile = tl.program_id(0).to(tl.int64)
    region = tl.load(owner_ptr + tile)
    box_ptr += 4 * region
    top, left = tl.load(box_ptr).to(tl.int32), tl.load(box_ptr + 1).to(tl.int32)
    height = tl.load(box_ptr + 2).to(tl.int32) - top
    convex_ptr += tl.load(row_begin_ptr + region)
    y = (tl.load(tiles_ptr + tile * 6 + 2) - top + tl.arange(0, ROWS))[:, None]
    x = (tl.load(tiles_ptr + tile * 6 + 3) - left + tl.arange(0, COLUMNS))[None, :]
    edges = (
        _convex_rim(convex_ptr, y - 1, x, height, n_rows)
        + _convex_rim(convex_ptr, y + 1, x, height, n_rows)
        + _convex_rim(convex_ptr, y, x - 1, height, n_rows)
        + _convex_rim(convex_ptr, y, x + 1, height, n_rows)
    )
    corners = (
        _convex_rim(convex_ptr, y - 1, x - 1, height, n_rows)
        + _convex_rim(convex_ptr, y - 1, x + 1, height, n_rows)
        + _convex_rim(convex_ptr, y + 1, x - 1, height, n_rows)
        + _convex_rim(convex_ptr, y + 1, x + 1, height, n_rows)
    )
    centre = _convex_rim(convex_ptr, y, x, height, n_rows)
    store_classes(steps_ptr + tile * 3, centre, edges, corners)


# (kernel, signature, constexprs, warps), compiled for every architecture without a device
COMPILE_CASES: list[tuple[Any, dict[str, str], dict[str, Any], int]] = [
    (
        _convex_kernel,
        {
            "convex_ptr": "*i32",
            "tiles_ptr": "*i32",
            "owner_ptr": "*i64",
            "box_ptr": "*i64",
            "row_begin_ptr": "*i64",
            "steps_ptr": "*i64",
            "n_rows": "i32",
        },
        {"ROWS": TILE_ROWS, "COLUMNS": TILE_COLUMNS},
        4,
    )
]
