"""Watershed in Triton: one program floods one contested region, a level at a time."""

from typing import Any

import torch
import triton
import triton.language as tl

from stempede_kernels.label import gpu as labelling

# slots (a pixel in turn times a direction) and warps of a program, for regions up to so many px
SIZES = ((1 << 15, 512, 4), (1 << 31, 2048, 16))

# left to itself the assembler keeps to 64 and may spill
MORE_REGISTERS = {"maxnreg": 128}

HIGHEST = 2**31 - 1


def watershed(height: Any, markers: Any, mask: Any, connectivity: int) -> Any:
    """Flood a batch ``(b, y, x)`` on a GPU."""
    if mask.numel() == 0:
        return torch.zeros_like(markers)
    regions, n_regions = labelling.number_on(*labelling.label(mask, connectivity))
    height = torch.where(height.isnan(), float("inf"), height)
    sources = torch.nonzero(((markers > 0) & mask).view(-1)).view(-1)
    owner = regions.view(-1)[sources]
    label, contested = _label_of_regions(owner, markers.view(-1)[sources], n_regions)
    state = torch.where(mask, label[regions], HIGHEST)
    state.view(-1)[sources] = markers.view(-1)[sources]
    area = labelling.areas(torch.where(contested[regions], regions, 0), n_regions)
    _flood(state, height, sources, owner, area, connectivity)
    return torch.where(mask, state, 0)


def _label_of_regions(owner: Any, found: Any, n_regions: int) -> tuple[Any, Any]:
    """Return the one label each region holds, 0 where none or several, and which hold several."""
    low = torch.full((n_regions + 1,), HIGHEST, dtype=torch.int32, device=found.device)
    high = torch.zeros_like(low)
    low.scatter_reduce_(0, owner, found, "amin")
    high.scatter_reduce_(0, owner, found, "amax")
    several = low < high
    return torch.where(several, 0, high), several


def _flood(state: Any, height: Any, sources: Any, owner: Any, area: Any, connectivity: int) -> None:
    """Flood the regions that have an area, in place."""
    contested = area[owner] > 0
    sources, owner = sources[contested], owner[contested]
    if not len(sources):
        return
    waiting, level, jobs = _line_up(height, sources, owner, area)
    queue = torch.empty_like(waiting)
    least = 0
    for most, slots, warps in SIZES:
        # the largest first, so that none is left to run alone at the end
        chosen = torch.nonzero((area > least) & (area <= most)).view(-1)
        chosen = chosen[area[chosen].argsort(descending=True)]
        least = most
        if len(chosen):
            _flood_kernel[(len(chosen),)](
                state,
                height,
                waiting,
                level,
                queue,
                jobs[chosen],
                *state.shape[1:],
                NEAR=4 * connectivity,
                SLOTS=slots,
                num_warps=warps,
                **MORE_REGISTERS,
            )


def _line_up(height: Any, sources: Any, owner: Any, area: Any) -> tuple[Any, Any, Any]:
    """Let the sources of each region wait, in raster order, in a list with room for its area.

    Returns
    -------
    waiting : (a,) int32 tensor
        Pixels within their frame, region by region.
    level : (a,) float32 tensor
        Their heights.
    jobs : (r, 3) int64 tensor
        Frame, begin in the lists and number of sources of each region.
    """
    size = height.shape[1] * height.shape[2]
    begin = torch.cumsum(area, dim=0) - area
    n_sources = torch.bincount(owner, minlength=len(area))
    before = torch.cumsum(n_sources, dim=0) - n_sources
    by_region = owner.argsort(stable=True)
    owner, sources = owner[by_region], sources[by_region]
    place = begin[owner] + torch.arange(len(owner), device=owner.device) - before[owner]
    waiting = torch.empty(int(area.sum()), dtype=torch.int32, device=height.device)
    level = torch.empty_like(waiting, dtype=torch.float32)
    waiting[place] = (sources % size).to(torch.int32)
    level[place] = height.view(-1)[sources]
    frame = torch.zeros_like(area)
    frame[owner] = sources // size
    return waiting, level, torch.stack([frame, begin, n_sources], dim=1)


@triton.jit
def _flood_kernel(
    state_ptr,
    height_ptr,
    waiting_ptr,
    level_ptr,
    queue_ptr,
    jobs_ptr,
    n_rows,
    width,
    NEAR: tl.constexpr,
    SLOTS: tl.constexpr,
):
    """Flood one region in the order of (level, age).

    Pixels that wait stand in a list in the order of their age. Those of the lowest level move
    to a queue, order kept, which spreads until it is dry; what it reaches at higher levels
    goes to the end of the list.
    """
    job_ptr = jobs_ptr + tl.program_id(0) * 3
    frame = tl.load(job_ptr) * n_rows * width
    begin = tl.load(job_ptr + 1)
    n_waiting = tl.load(job_ptr + 2).to(tl.int32)
    state_ptr += frame
    height_ptr += frame
    waiting_ptr += begin
    level_ptr += begin
    queue_ptr += begin
    here = float("-inf")
    while n_waiting > 0:
        n_queued, n_waiting, lowest = _take_level(
            waiting_ptr, level_ptr, queue_ptr, n_waiting, here, SLOTS
        )
        head = 0
        while head < n_queued:
            # what joins the queue meanwhile has its turn after those that stand in it
            after = tl.minimum(head + SLOTS // NEAR, n_queued)
            n_queued, n_waiting, lowest = _spread(
                state_ptr,
                height_ptr,
                waiting_ptr,
                level_ptr,
                queue_ptr,
                head,
                n_queued,
                n_waiting,
                here,
                lowest,
                n_rows,
                width,
                NEAR,
                SLOTS,
            )
            head = after
        here = lowest


@triton.jit
def _take_level(waiting_ptr, level_ptr, queue_ptr, n_waiting, here, SLOTS: tl.constexpr):
    """Move what waits at a level to the queue, close the ranks, find the lowest level left."""
    n_queued = 0
    n_kept = 0
    lowest = float("inf")
    start = 0
    while start < n_waiting:
        slot = start + tl.arange(0, SLOTS)
        there = slot < n_waiting
        pixel = tl.load(waiting_ptr + slot, mask=there, other=0, volatile=True)
        level = tl.load(level_ptr + slot, mask=there, other=float("inf"), volatile=True)
        due = there & (level <= here)
        kept = there & (level > here)
        first, second, n_first, n_second = _places(due, kept)
        # ranks close over places that other threads must have read
        tl.debug_barrier()
        tl.store(queue_ptr + n_queued + first, pixel, mask=due)
        tl.store(waiting_ptr + n_kept + second, pixel, mask=kept)
        tl.store(level_ptr + n_kept + second, level, mask=kept)
        n_queued += n_first
        n_kept += n_second
        lowest = tl.minimum(lowest, tl.min(tl.where(kept, level, float("inf")), axis=0))
        tl.debug_barrier()
        start += SLOTS
    return n_queued, n_kept, lowest


@triton.jit
def _spread(
    state_ptr,
    height_ptr,
    waiting_ptr,
    level_ptr,
    queue_ptr,
    head,
    n_queued,
    n_waiting,
    here,
    lowest,
    n_rows,
    width,
    NEAR: tl.constexpr,
    SLOTS: tl.constexpr,
):
    """Let the next pixels of the queue reach their dry neighbours, in the order of the queue."""
    slot = tl.arange(0, SLOTS)
    turn = head + slot // NEAR
    there = turn < n_queued
    pixel = tl.load(queue_ptr + turn, mask=there, other=0, volatile=True)
    label = tl.load(state_ptr + pixel, mask=there, other=0, volatile=True)
    step_y, step_x = _step(slot % NEAR)
    y = pixel // width + step_y
    x = pixel % width + step_x
    inside = there & (y >= 0) & (y < n_rows) & (x >= 0) & (x < width)
    near = y * width + x
    # dry pixels hold 0; of the claims below it that the slots make, the earliest stays
    dry = inside & (tl.load(state_ptr + near, mask=inside, other=1, volatile=True) <= 0)
    claim = slot - SLOTS
    tl.atomic_min(state_ptr + near, claim, mask=dry, sem="relaxed")
    tl.debug_barrier()
    won = dry & (tl.load(state_ptr + near, mask=dry, other=0, volatile=True) == claim)
    tl.store(state_ptr + near, label, mask=won)
    level = tl.load(height_ptr + near, mask=won, other=0.0)
    joins = won & (level <= here)
    waits = won & (level > here)
    first, second, n_first, n_second = _places(joins, waits)
    tl.store(queue_ptr + n_queued + first, near, mask=joins)
    tl.store(waiting_ptr + n_waiting + second, near, mask=waits)
    tl.store(level_ptr + n_waiting + second, level, mask=waits)
    lowest = tl.minimum(lowest, tl.min(tl.where(waits, level, float("inf")), axis=0))
    tl.debug_barrier()
    return n_queued + n_first, n_waiting + n_second, lowest


@triton.jit
def _places(one, other):
    """Return how many of each kind stand before every slot, and in all; both in one scan."""
    count = one.to(tl.int32) + (other.to(tl.int32) << 16)
    before = tl.cumsum(count, axis=0) - count
    total = tl.sum(count, axis=0)
    return before & 0xFFFF, before >> 16, total & 0xFFFF, total >> 16


@triton.jit
def _step(direction):
    """Return the steps along y and x: up, left, right, down, then the corners in that order."""
    corner = direction >= 4
    step_y = tl.where(direction == 0, -1, tl.where(direction == 3, 1, 0))
    step_x = tl.where(direction == 1, -1, tl.where(direction == 2, 1, 0))
    step_y = tl.where(corner, tl.where(direction < 6, -1, 1), step_y)
    return step_y, tl.where(corner, tl.where(direction % 2 == 0, -1, 1), step_x)


_POINTERS = {
    "state_ptr": "*i32",
    "height_ptr": "*fp32",
    "waiting_ptr": "*i32",
    "level_ptr": "*fp32",
    "queue_ptr": "*i32",
    "jobs_ptr": "*i64",
    "n_rows": "i32",
    "width": "i32",
}

# (kernel, signature, constexprs, warps), compiled for every architecture without a device
COMPILE_CASES: list[tuple[Any, dict[str, str], dict[str, Any], int, dict[str, int]]] = [
    (_flood_kernel, _POINTERS, {"NEAR": near, "SLOTS": slots}, warps, MORE_REGISTERS)
    for near in (4, 8)
    for _, slots, warps in SIZES
]
