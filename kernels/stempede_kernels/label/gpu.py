"""Connected regions in Triton: union-find by atomic minimum."""

from typing import Any

import torch
import triton
import triton.language as tl

BLOCK = 128


def label(mask: Any, connectivity: int) -> tuple[Any, Any]:
    """Label a batch ``(b, y, x)`` of bool on a GPU."""
    n_frames, height, width = mask.shape
    index = torch.arange(height * width, dtype=torch.int32, device=mask.device)
    parent = torch.where(mask, index.view(height, width), -1)
    if n_frames:
        grid = (triton.cdiv(height * width, BLOCK), n_frames)
        corners = connectivity == 2
        _unite_kernel[grid](
            parent, height * width, width, CORNERS=corners, BLOCK=BLOCK, num_warps=4
        )
    return number_trees(parent)


def number_trees(parent: Any) -> tuple[Any, Any]:
    """Number the trees that pixels of each frame form, in raster order of their roots.

    Parameters
    ----------
    parent : (b, y, x) int32 tensor
        The pixel of the same frame, as a raster index, that each pixel hangs below; its own at
        roots, -1 where a pixel belongs to no tree.

    Returns
    -------
    labels : (b, y, x) int32 tensor
        1 … n within each frame, 0 where there is no tree.
    counts : (b,) int32 tensor
        Trees per frame, n.
    """
    n_frames, height, width = parent.shape
    size = height * width
    labels = torch.empty_like(parent)
    if n_frames == 0:
        return labels, torch.empty(0, dtype=torch.int32, device=parent.device)
    index = torch.arange(size, dtype=torch.int32, device=parent.device)
    number = torch.cumsum(parent.view(n_frames, size) == index, dim=1, dtype=torch.int32)
    grid = (triton.cdiv(size, BLOCK), n_frames)
    _number_kernel[grid](parent, number, labels, size, BLOCK=BLOCK, num_warps=4)
    return labels, number[:, -1].contiguous()


def number_on(labels: Any, counts: Any) -> tuple[Any, int]:
    """Let the numbers 1 … n of each frame go on from frame to frame.

    Returns
    -------
    numbers : (b, y, x) int64 tensor
        0 where the labels are.
    n : int
        The last number. It is known on the device only, so this waits for it.
    """
    ends = torch.cumsum(counts, dim=0, dtype=torch.int64)
    before = (ends - counts)[:, None, None]
    return torch.where(labels > 0, labels + before, 0), int(ends[-1]) if len(ends) else 0


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


def roots(parent: Any) -> Any:
    """Follow parents to the end, by doubling; ``parent`` is any (n,) int64 forest."""
    while True:
        further = parent[parent]
        if torch.equal(further, parent):
            return parent
        parent = further


def areas(numbers: Any, n: int) -> Any:
    """Count the pixels of each number 1 … n; entry 0 is 0.

    Pixels without a number are left out: all threads would wait for each other to count them.
    """
    return torch.bincount(numbers[numbers > 0], minlength=n + 1)


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
    unite(parent_ptr, pixel, pixel - 1, left)
    # where all four are foreground, the left pixel and the one above it close the ring
    unite(parent_ptr, pixel, pixel - width, up & ~(left & up_left))
    if CORNERS:
        up_right = _is_foreground(
            parent_ptr, pixel - width + 1, here & (x + 1 < width) & (pixel >= width)
        )
        unite(parent_ptr, pixel, pixel - width - 1, up_left & ~left & ~up)
        unite(parent_ptr, pixel, pixel - width + 1, up_right & ~up)


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
def unite(parent_ptr, one, other, active):
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
