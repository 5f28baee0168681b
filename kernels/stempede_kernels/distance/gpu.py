"""Exact distance transform in Triton: columns by two scans, rows by a search that ends early."""

from typing import Any

import torch
import triton
import triton.language as tl

# FAR stands for "no background in this column"; FAR² + SIDE_LIMIT² must fit an int32, and FAR²
# must exceed the largest square distance of a frame, 2 * SIDE_LIMIT²
SIDE_LIMIT_PX = 23_000
FAR = tl.constexpr(32_600)

COLUMN_BLOCK = 64
ROW_BLOCK = 256


def distance(mask: Any) -> Any:
    """Measure a batch ``(b, y, x)`` of bool on a GPU."""
    n_frames, height, width = mask.shape
    if max(height, width) > SIDE_LIMIT_PX:
        raise ValueError(
            f"sides of up to {SIDE_LIMIT_PX} px fit 32-bit squares, found {height} x {width}; "
            "cut the frame or use the host"
        )
    gap = torch.empty(mask.shape, dtype=torch.int32, device=mask.device)
    result = torch.empty(mask.shape, dtype=torch.float32, device=mask.device)
    if n_frames == 0:
        return result
    _column_kernel[(triton.cdiv(width, COLUMN_BLOCK), n_frames)](
        mask.view(torch.uint8), gap, height, width, BLOCK=COLUMN_BLOCK, num_warps=2
    )
    _row_kernel[(triton.cdiv(width, ROW_BLOCK), height, n_frames)](
        gap, result, height, width, BLOCK=ROW_BLOCK, num_warps=4
    )
    return result


@triton.jit
def _column_kernel(mask_ptr, gap_ptr, height, width, BLOCK: tl.constexpr):
    """Write the distance to the nearest background pixel of the same column."""
    x = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    start = tl.program_id(1).to(tl.int64) * height * width
    mask_ptr += start
    gap_ptr += start
    inside = x < width
    gap = tl.full([BLOCK], FAR, tl.int32)
    for y in range(height):
        foreground = tl.load(mask_ptr + y * width + x, mask=inside, other=0)
        gap = tl.where(foreground != 0, tl.minimum(gap + 1, FAR), 0)
        tl.store(gap_ptr + y * width + x, gap, mask=inside)
    for back in range(1, height):
        place = gap_ptr + (height - 1 - back) * width + x
        gap = tl.minimum(tl.load(place, mask=inside, other=0), gap + 1)
        tl.store(place, gap, mask=inside)


@triton.jit
def _row_kernel(gap_ptr, result_ptr, height, width, BLOCK: tl.constexpr):
    """Take the least ``k² + gap(x ± k)²``; no k whose square reaches the best can improve it."""
    x = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row = (tl.program_id(2).to(tl.int64) * height + tl.program_id(1)) * width
    gap_ptr += row
    inside = x < width
    gap = tl.load(gap_ptr + x, mask=inside, other=0)
    best = gap * gap
    k = 1
    worst = tl.max(best, axis=0)
    while (k * k < worst) & (k < width):
        # a few steps for each look at the whole block
        for _ in tl.static_range(4):
            left = tl.load(gap_ptr + x - k, mask=inside & (x >= k), other=FAR)
            right = tl.load(gap_ptr + x + k, mask=x + k < width, other=FAR)
            nearest = tl.minimum(left, right)
            best = tl.minimum(best, nearest * nearest + k * k)
            k += 1
        worst = tl.max(best, axis=0)
    root = tl.sqrt_rn(best.to(tl.float32))
    root = tl.where(best >= FAR * FAR, float("inf"), root)
    tl.store(result_ptr + row + x, root, mask=inside)


# (kernel, signature, constexprs, warps), compiled for every architecture without a device
COMPILE_CASES: list[tuple[Any, dict[str, str], dict[str, Any], int]] = [
    (
        _column_kernel,
        {"mask_ptr": "*u8", "gap_ptr": "*i32", "height": "i32", "width": "i32"},
        {"BLOCK": COLUMN_BLOCK},
        2,
    ),
    (
        _row_kernel,
        {"gap_ptr": "*i32", "result_ptr": "*fp32", "height": "i32", "width": "i32"},
        {"BLOCK": ROW_BLOCK},
        4,
    ),
]
