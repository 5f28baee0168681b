"""Area of the holes of all regions in Triton: gaps between runs, united where they touch."""

from typing import Any

import torch
import triton
import triton.language as tl

from stempede_kernels.label.gpu import roots, unite

BLOCK = 128


def hole_areas(row: Any, start: Any, stop: Any, extents: Any, row_begin: Any) -> Any:
    """Count the pixels of each region's holes, by the rules of ``holes.hole_area``.

    Parameters
    ----------
    row, start, stop : (r,) int64 tensors
        Runs ``[start, stop)`` in raster order within each region. Rows go on from region to
        region; columns count from the region's box.
    extents : (2, rows) int32 tensor
        As ``hull.row_extents``.
    row_begin : (n + 1,) int64 tensor
        Where each region's rows begin.

    Returns
    -------
    (n,) int64 tensor
    """
    n = len(row_begin) - 1
    areas = torch.zeros(n, dtype=torch.int64, device=row.device)
    left = torch.nonzero(row[1:] == row[:-1]).view(-1)
    if not len(left):
        return areas
    row, start, stop = row[left], stop[left], start[left + 1]
    region = torch.searchsorted(row_begin, row, right=True) - 1
    is_first, is_last = row == row_begin[region], row == row_begin[region + 1] - 1
    open_ = is_first | is_last
    for beside in (row - 1, row + 1):
        beside = beside.clamp(0, extents.shape[1] - 1)
        open_ |= (start <= extents[0, beside]) | (stop > -extents[1, beside])
    root = _unite_gaps(row, start, stop, is_first)
    leaks = torch.zeros(len(row), dtype=torch.int32, device=row.device)
    leaks.scatter_reduce_(0, root, open_.to(torch.int32), "amax")
    return areas.index_add_(0, region, torch.where(leaks[root] > 0, 0, stop - start))


def _unite_gaps(row: Any, start: Any, stop: Any, is_first: Any) -> Any:
    """Return the root of each gap among those that it touches, corners included."""
    above = torch.searchsorted(row, row - 1)
    # in the first row of a region what stands before belongs to another
    end = torch.where(is_first, above, torch.searchsorted(row, row - 1, right=True))
    parent = torch.arange(len(row), dtype=torch.int32, device=row.device)
    grid = (triton.cdiv(len(row), BLOCK),)
    _touch_kernel[grid](parent, above, end, start, stop, len(row), BLOCK=BLOCK, num_warps=4)
    return roots(parent.to(torch.int64))


@triton.jit
def _touch_kernel(parent_ptr, above_ptr, end_ptr, start_ptr, stop_ptr, n_gaps, BLOCK: tl.constexpr):
    """Unite every gap with those of the row above that it touches."""
    gap = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    real = gap < n_gaps
    other = tl.load(above_ptr + gap, mask=real, other=0).to(tl.int32)
    end = tl.load(end_ptr + gap, mask=real, other=0).to(tl.int32)
    start = tl.load(start_ptr + gap, mask=real, other=0)
    stop = tl.load(stop_ptr + gap, mask=real, other=0)
    looks = real & (other < end)
    while tl.max(looks.to(tl.int32), axis=0) > 0:
        touches = looks & (start <= tl.load(stop_ptr + other, mask=looks, other=0))
        touches = touches & (tl.load(start_ptr + other, mask=looks, other=0) <= stop)
        unite(parent_ptr, gap, other, touches)
        other += 1
        looks = real & (other < end)


# (kernel, signature, constexprs, warps), compiled for every architecture without a device
COMPILE_CASES: list[tuple[Any, dict[str, str], dict[str, Any], int]] = [
    (
        _touch_kernel,
        {
            "parent_ptr": "*i32",
            "above_ptr": "*i64",
            "end_ptr": "*i64",
            "start_ptr": "*i64",
            "stop_ptr": "*i64",
            "n_gaps": "i32",
        },
        {"BLOCK": BLOCK},
        4,
    )
]
