"""Connected regions in Triton: union-find by atomic minimum."""

from typing import Any

import torch
import triton
import triton.language as tl

BLOCK = 128


def label(mask: Any, connectivity: int) -> tuple[Any, Any]:
    """Label a batch ``(b, y, x)`` of bool on a GPU."""
    n_frames, height, width = mask.shape
    size = height * width
    labels = torch.empty(mask.shape, dtype=torch.int32, device=mask.device)
    if n_frames == 0:
        return labels, torch.empty(0, dtype=torch.int32, device=mask.device)
    index = torch.arange(size, dtype=torch.int32, device=mask.device)
    parent = torch.where(mask.reshape(n_frames, size), index, -1)
    grid = (triton.cdiv(size, BLOCK), n_frames)
    _unite_kernel[grid](parent, size, width, CORNERS=connectivity == 2, BLOCK=BLOCK, num_warps=4)
    number = torch.cumsum(parent == index, dim=1, dtype=torch.int32)
    _number_kernel[grid](parent, number, labels, size, BLOCK=BLOCK, num_warps=4)
    return labels, number[:, -1].contiguous()


def renumber(labels: Any) -> tuple[Any, Any]:
    """Renumber a batch ``(b, y, x)`` of int32 on a GPU."""
    n_frames, height, width = labels.shape
    size = height * width
    if n_frames == 0:
        return labels.clone(), torch.empty(0, dtype=torch.int32, device=labels.device)
    flat = labels.clamp(min=0).reshape(n_frames, size).long()
    pixel = torch.arange(size, device=labels.device).expand(n_frames, size)
    # the size of the table is known on the device only
    n_labels = int(flat.max())
    first = torch.full((n_frames, n_labels + 1), size, device=labels.device)
    first.scatter_reduce_(1, flat, pixel, "amin")
    first[:, 0] = size
    counts = (first < size).sum(dim=1, dtype=torch.int32)
    number = torch.empty_like(first)
    rank = torch.arange(1, n_labels + 2, device=labels.device).expand(n_frames, -1)
    number.scatter_(1, first.argsort(dim=1, stable=True), rank)
    number[first == size] = 0
    return number.gather(1, flat).to(torch.int32).reshape(labels.shape), counts


@triton.jit
def _unite_kernel(parent_ptr, size, width, CORNERS: tl.constexpr, BLOCK: tl.constexpr):
    """Unite every foreground pixel with its neighbours on the left and above."""
    parent_ptr += tl.program_id(1).to(tl.int64) * size
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = pixel % width
    here = _is_foreground(parent_ptr, pixel, pixel < size)
    left = _is_foreground(parent_ptr, pixel - 1, here & (x > 0))
    up = _is_foreground(parent_ptr, pixel - width, here & (pixel >= width))
    up_left = _is_foreground(parent_ptr, pixel - width - 1, here & (x > 0) & (pixel >= width))
    _unite(parent_ptr, pixel, pixel - 1, left)
    # where all four are foreground, the left pixel and the one above it close the ring
    _unite(parent_ptr, pixel, pixel - width, up & ~(left & up_left))
    if CORNERS:
        up_right = _is_foreground(
            parent_ptr, pixel - width + 1, here & (x + 1 < width) & (pixel >= width)
        )
        _unite(parent_ptr, pixel, pixel - width - 1, up_left & ~left & ~up)
        _unite(parent_ptr, pixel, pixel - width + 1, up_right & ~up)


@triton.jit
def _number_kernel(parent_ptr, number_ptr, labels_ptr, size, BLOCK: tl.constexpr):
    """Write the number of the root of every foreground pixel, 0 elsewhere."""
    start = tl.program_id(1).to(tl.int64) * size
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = _is_foreground(parent_ptr + start, pixel, pixel < size)
    root = _find_root(parent_ptr + start, pixel, here)
    number = tl.load(number_ptr + start + root, mask=here, other=0)
    tl.store(labels_ptr + start + pixel, number, mask=pixel < size)


@triton.jit
def _is_foreground(parent_ptr, pixel, inside):
    return tl.load(parent_ptr + pixel, mask=inside, other=-1) >= 0


@triton.jit
def _find_root(parent_ptr, pixel, active):
    """Follow parents to a pixel that is its own; other threads may shorten the way meanwhile."""
    parent = tl.load(parent_ptr + pixel, mask=active, other=0, volatile=True)
    climbing = active & (parent != pixel)
    while tl.max(climbing.to(tl.int32), axis=0) > 0:
        pixel = tl.where(climbing, parent, pixel)
        parent = tl.load(parent_ptr + pixel, mask=climbing, other=0, volatile=True)
        climbing = climbing & (parent != pixel)
    return pixel


@triton.jit
def _unite(parent_ptr, one, other, active):
    """Hang the later of two roots below the earlier, until no thread came in between."""
    while tl.max(active.to(tl.int32), axis=0) > 0:
        one = _find_root(parent_ptr, one, active)
        other = _find_root(parent_ptr, other, active)
        low = tl.minimum(one, other)
        high = tl.maximum(one, other)
        active = active & (low != high)
        found = tl.atomic_min(parent_ptr + high, low, mask=active, sem="relaxed")
        # high was a root no more: what it hung below must be united too
        active = active & (found != high)
        one = tl.where(active, found, one)
        other = tl.where(active, low, other)


# (kernel, signature, constexprs, warps), compiled for every architecture without a device
COMPILE_CASES: list[tuple[Any, dict[str, str], dict[str, Any], int]] = [
    (
        _unite_kernel,
        {"parent_ptr": "*i32", "size": "i32", "width": "i32"},
        {"CORNERS": corners, "BLOCK": BLOCK},
        4,
    )
    for corners in (False, True)
] + [
    (
        _number_kernel,
        {"parent_ptr": "*i32", "number_ptr": "*i32", "labels_ptr": "*i32", "size": "i32"},
        {"BLOCK": BLOCK},
        4,
    )
]
