"""Dynamics of maxima on a GPU: basins in Triton, merged all at once over their best saddles."""

from typing import Any

import torch
import triton
import triton.language as tl

from stempede_kernels.label import gpu as labelling

BLOCK = 256
# trees are as deep as particles are wide; each pass halves what is left of every way up
SHORTENINGS = 5
NO_EDGE = -(2**63)
EDGE_BITS = 32
EDGE_MASK = 2**EDGE_BITS - 1
# half of the neighbours: every pair of pixels is met once
STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))


def label_h_maxima(
    height: Any, mask: Any, h: Any, h_relative: Any, connectivity: int
) -> tuple[Any, Any]:
    """Mark and number maxima of a batch ``(b, y, x)`` on a GPU."""
    n_frames, n_rows, width = mask.shape
    if n_frames == 0:
        return torch.zeros_like(mask, dtype=torch.int32), torch.zeros(
            0, dtype=torch.int32, device=mask.device
        )
    # adding zero turns -0 into +0, so that the bits order as the numbers do
    height = torch.where(height.isnan(), float("-inf"), height) + 0.0
    basins, n_peaks, place = _climb(height, mask, connectivity)
    level = torch.zeros(n_peaks + 1, dtype=torch.float32, device=mask.device)
    level[1:] = height.view(-1)[place]
    dynamic, first = _merge(level, *_saddles(height, basins, connectivity))
    frame = place // (n_rows * width)
    least = _thresholds(level[1:], frame, h, h_relative)
    kept = torch.zeros(n_peaks + 1, dtype=torch.bool, device=mask.device)
    kept[1:] = (dynamic[1:] > 0) & (dynamic[1:] >= least)
    counts = torch.bincount(frame[kept[1:]], minlength=n_frames)
    before = torch.cumsum(counts, dim=0) - counts
    number = torch.cumsum(kept, dim=0)
    number[1:] -= before[frame]
    number = torch.where(kept, number, 0).to(torch.int32)
    # a maximum is its plateau: pixels as high as the summit that their basin merged with
    on_top = height == level[first][basins]
    return torch.where(on_top, number[first][basins], 0), counts.to(torch.int32)


def _climb(height: Any, mask: Any, connectivity: int) -> tuple[Any, int, Any]:
    """Return basins, numbered on from frame to frame, how many, and the place of each summit."""
    n_frames, n_rows, width = mask.shape
    parent = torch.empty(mask.shape, dtype=torch.int32, device=mask.device)
    grid = (triton.cdiv(n_rows * width, BLOCK), n_frames)
    _climb_kernel[grid](
        height,
        mask.view(torch.uint8),
        parent,
        n_rows,
        width,
        CORNERS=connectivity == 2,
        BLOCK=BLOCK,
        num_warps=4,
    )
    for _ in range(SHORTENINGS):
        _shorten_kernel[grid](parent, n_rows * width, BLOCK=BLOCK, num_warps=4)
    basins, n_peaks = labelling.number_on(*labelling.number_trees(parent))
    index = torch.arange(n_rows * width, dtype=torch.int32, device=mask.device)
    return basins, n_peaks, torch.nonzero((parent == index.view(n_rows, width)).view(-1)).view(-1)


def _saddles(height: Any, basins: Any, connectivity: int) -> tuple[Any, Any, Any]:
    """Return the two basins and the lower of the two levels of each pair of pixels that meet."""
    n_frames, n_rows, width = basins.shape
    meets = torch.empty(basins.shape, dtype=torch.uint8, device=basins.device)
    grid = (triton.cdiv(n_rows * width, BLOCK), n_frames)
    _meet_kernel[grid](
        basins, meets, n_rows, width, CORNERS=connectivity == 2, BLOCK=BLOCK, num_warps=4
    )
    pixels = torch.nonzero(meets.view(-1)).view(-1)
    ways = meets.view(-1)[pixels]
    pairs = []
    for k, (step_y, step_x) in enumerate(STEPS):
        one = pixels[(ways >> k) % 2 == 1]
        pairs.append(torch.stack([one, one + step_y * width + step_x]))
    one, other = torch.cat(pairs, dim=1)
    saddle = torch.minimum(height.view(-1)[one], height.view(-1)[other])
    return basins.view(-1)[one], basins.view(-1)[other], saddle


def _merge(level: Any, one: Any, other: Any, saddle: Any) -> tuple[Any, Any]:
    """Return the dynamic of each summit, inf for the highest, and the first of its plateau.

    In each round every basin looks at its highest saddle. Where a higher summit is beyond it,
    no other way there descends less, so the basin has found its dynamic and merges. Of all
    saddles left the highest is the best of both its basins: every round merges some.
    """
    top = torch.arange(len(level), device=level.device)
    first = top.clone()
    dynamic = torch.full((len(level),), float("inf"), dtype=torch.float64, device=level.device)
    while len(one):
        best = torch.full((len(level),), NO_EDGE, device=level.device)
        edges = torch.arange(len(one), device=level.device)
        code = (_order(saddle) << EDGE_BITS) + edges
        best.scatter_reduce_(0, one, code, "amax").scatter_reduce_(0, other, code, "amax")
        here = torch.nonzero(best != NO_EDGE).view(-1)
        edge = best[here] & EDGE_MASK
        beyond = one[edge] + other[edge] - here
        # of equally high summits the earlier counts as higher
        rises = (level[beyond] > level[here]) | ((level[beyond] == level[here]) & (beyond < here))
        here, beyond, edge = here[rises], beyond[rises], edge[rises]
        dynamic[here] = level[here].double() - saddle[edge].double()
        first[here] = torch.where(level[here] == saddle[edge], beyond, here)
        top[here] = beyond
        top = labelling.roots(top)
        one, other = top[one], top[other]
        apart = one != other
        one, other, saddle = one[apart], other[apart], saddle[apart]
    return dynamic, labelling.roots(first)


def _order(level: Any) -> Any:
    """Return integers that order as the levels do, int64."""
    bits = level.contiguous().view(torch.int32)
    return torch.where(bits >= 0, bits, bits ^ 0x7FFFFFFF).to(torch.int64)


def _thresholds(level: Any, frame: Any, h: Any, h_relative: Any) -> Any:
    """Return the least dynamic of each summit; a level that is not finite asks for `h`."""
    absolute, relative = (torch.from_numpy(v.copy()).to(level.device) for v in (h, h_relative))
    share = relative[frame] * level.double()
    return torch.where(share > absolute[frame], share, absolute[frame])


@triton.jit
def _climb_kernel(
    height_ptr, mask_ptr, parent_ptr, n_rows, width, CORNERS: tl.constexpr, BLOCK: tl.constexpr
):
    """Write the highest of each pixel and its neighbours; the first of equally high ones."""
    start = tl.program_id(1).to(tl.int64) * n_rows * width
    height_ptr += start
    mask_ptr += start
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y = pixel // width
    x = pixel % width
    here = (y < n_rows) & (tl.load(mask_ptr + pixel, mask=y < n_rows, other=0) != 0)
    highest = tl.load(height_ptr + pixel, mask=here, other=0.0)
    place = pixel
    for k in tl.static_range(9):
        if (k % 2 == 1) or (CORNERS and k != 4):
            near_y = y + k // 3 - 1
            near_x = x + k % 3 - 1
            near = near_y * width + near_x
            inside = here & (near_y >= 0) & (near_y < n_rows) & (near_x >= 0) & (near_x < width)
            there = inside & (tl.load(mask_ptr + near, mask=inside, other=0) != 0)
            level = tl.load(height_ptr + near, mask=there, other=0.0)
            higher = there & ((level > highest) | ((level == highest) & (near < place)))
            highest = tl.where(higher, level, highest)
            place = tl.where(higher, near, place)
    tl.store(parent_ptr + start + pixel, tl.where(here, place, -1), mask=y < n_rows)


@triton.jit
def _shorten_kernel(parent_ptr, size, BLOCK: tl.constexpr):
    """Hang every pixel below its parent's parent, or what another thread made of that by now."""
    parent_ptr += tl.program_id(1).to(tl.int64) * size
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    parent = tl.load(parent_ptr + pixel, mask=pixel < size, other=-1)
    inside = parent >= 0
    above = tl.load(parent_ptr + parent, mask=inside, other=-1)
    tl.store(parent_ptr + pixel, above, mask=inside)


@triton.jit
def _meet_kernel(basins_ptr, meets_ptr, n_rows, width, CORNERS: tl.constexpr, BLOCK: tl.constexpr):
    """Write a bit for each of the `STEPS` that leads to another basin."""
    start = tl.program_id(1).to(tl.int64) * n_rows * width
    basins_ptr += start
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y = pixel // width
    x = pixel % width
    basin = tl.load(basins_ptr + pixel, mask=y < n_rows, other=0)
    below = (basin > 0) & (y + 1 < n_rows)
    meets = _other(basins_ptr, pixel + 1, basin, (basin > 0) & (x + 1 < width))
    meets += 2 * _other(basins_ptr, pixel + width, basin, below)
    if CORNERS:
        meets += 4 * _other(basins_ptr, pixel + width + 1, basin, below & (x + 1 < width))
        meets += 8 * _other(basins_ptr, pixel + width - 1, basin, below & (x > 0))
    tl.store(meets_ptr + start + pixel, meets.to(tl.uint8), mask=y < n_rows)


@triton.jit
def _other(basins_ptr, near, basin, inside):
    found = tl.load(basins_ptr + near, mask=inside, other=0)
    return ((found > 0) & (found != basin)).to(tl.int32)


# (kernel, signature, constexprs, warps), compiled for every architecture without a device
COMPILE_CASES: list[tuple[Any, dict[str, str], dict[str, Any], int]] = [
    (
        kernel,
        {**pointers, "n_rows": "i32", "width": "i32"},
        {"CORNERS": corners, "BLOCK": BLOCK},
        4,
    )
    for corners in (False, True)
    for kernel, pointers in (
        (_climb_kernel, {"height_ptr": "*fp32", "mask_ptr": "*u8", "parent_ptr": "*i32"}),
        (_meet_kernel, {"basins_ptr": "*i64", "meets_ptr": "*u8"}),
    )
]
COMPILE_CASES.append((_shorten_kernel, {"parent_ptr": "*i32", "size": "i32"}, {"BLOCK": BLOCK}, 4))
