"""Hulls, convex images and calipers of all regions in Triton, in the integers of ``hull``."""

from typing import Any

import torch
import triton
import triton.language as tl

NONE = tl.constexpr(1 << 28)
"""Extent of a row without a pixel; beyond any coordinate."""

EMPTY = 1 << 28
FAR = tl.constexpr(1 << 60)
# quotients are shifted by this much, so that they are whole above zero
SHIFT = tl.constexpr(1 << 20)

BLOCK = 128
# vertices taken at a time: edges against vertices, and pairs of vertices
CORNERS = 32
PAIRED = 16
# left to itself the assembler keeps to 96 and may spill
MORE_REGISTERS = {"maxnreg": 128}

_ROUNDING = 1e-12


def wrap(extents: Any, row_begin: Any) -> tuple[Any, Any, Any]:
    """Wrap every region's rows.

    Parameters
    ----------
    extents : (2, rows) int32 tensor
        As ``hull.row_extents``, region after region; ``EMPTY`` in rows without a pixel.
    row_begin : (n + 1,) int64 tensor
        The rows of region k are ``row_begin[k]`` to ``row_begin[k + 1]``, that one excluded.

    Returns
    -------
    corners : (p, 2) int64 tensor
        The hulls' vertices in order, without repeats, in doubled coordinates (y, x).
    begin : (n + 1,) int64 tensor
        Where those of each region begin.
    convex : (2, rows) int32 tensor
        Extents of the lattice points on or in the hull.
    """
    n, n_rows = len(row_begin) - 1, extents.shape[1]
    room = 2 * row_begin[:-1] + torch.arange(n, device=extents.device)
    sides = torch.empty((2, 2, 2 * n_rows + n), dtype=torch.int32, device=extents.device)
    counts = torch.empty((2, n), dtype=torch.int64, device=extents.device)
    convex = torch.empty_like(extents)
    _wrap_kernel[(n, 2)](
        extents, row_begin, room, sides, counts, convex, n_rows, n, BLOCK=BLOCK, num_warps=4
    )
    convex[:, convex[0] > -convex[1]] = EMPTY
    return *_polygons(sides, counts, room), convex


def _polygons(sides: Any, counts: Any, room: Any) -> tuple[Any, Any]:
    """Join the left sides, downwards, with the right ones, upwards."""
    n, device = counts.shape[1], counts.device
    parts = []
    for side, sign in enumerate((1, -1)):
        owner = torch.repeat_interleave(counts[side])
        first = torch.cumsum(counts[side], dim=0) - counts[side]
        place = torch.arange(len(owner), device=device) - first[owner]
        y, x = sides[side][:, room[owner] + place].to(torch.int64)
        parts.append(torch.stack([owner, sign * place + side * sides.shape[2], y, sign * x]))
    owner, place, y, x = torch.cat(parts, dim=1)
    order = torch.argsort(owner * (2 * sides.shape[2]) + place)
    owner, y, x = owner[order], y[order], x[order]
    # both sides have the corner where the top or the bottom is one point
    last = _ends(owner, n)[1:] - 1
    before = torch.arange(len(owner), device=device) - 1
    first = _ends(owner, n)[:-1]
    before[first] = last
    kept = (y != y[before]) | (x != x[before])
    # of a repeated top the first is kept, which no other place follows
    kept[first] = True
    kept[last] &= (y[last] != y[first]) | (x[last] != x[first])
    return torch.stack([y[kept], x[kept]], dim=1), _ends(owner[kept], n)


def _ends(owner: Any, n: int) -> Any:
    """Return (n + 1,) where each of n owners begins in a sorted list of them."""
    return torch.searchsorted(owner, torch.arange(n + 1, device=owner.device))


def longest(corners: Any, begin: Any) -> Any:
    """Return (n, 3) int64: the largest square distance of two vertices, and its direction.

    Of equal distances the one with the smallest angle in (-90, 90] counts.
    """
    found = torch.empty((len(begin) - 1, 3), dtype=torch.int64, device=begin.device)
    _longest_kernel[(len(found),)](
        corners, begin, found, SIDE=PAIRED, num_warps=2, **MORE_REGISTERS
    )
    return found


def calipers(corners: Any, begin: Any) -> Any:
    """Return (n, 8) int64: two edges, with the narrowest width and the least rectangle.

    Each by the hull's extent along it and across it, times its length, and the edge itself
    (dy, dx). The rules for ties are those of ``hull.edge_calipers``.
    """
    n = len(begin) - 1
    spans = torch.empty((2, len(corners)), dtype=torch.int64, device=begin.device)
    edges = torch.empty_like(corners)
    _span_kernel[(n,)](corners, begin, spans, edges, len(corners), SIDE=CORNERS, num_warps=4)
    along, across = spans
    dy, dx = edges[:, 0], edges[:, 1]
    owner = torch.repeat_interleave(begin.diff())
    scale = 2 * torch.sqrt((dy * dy + dx * dx).double())
    width, length = torch.minimum(along, across) / scale, torch.maximum(along, across) / scale
    normal = _steepness(dx, -dy)
    turned = torch.where(along >= across, _steepness(dy, dx), normal)
    best = [
        _first_least((across / scale, normal), owner, n),
        _first_least((length * width, -length, turned), owner, n),
    ]
    whole = torch.stack([along, across, dy, dx], dim=1)
    return torch.cat([whole[k] for k in best], dim=1)


def _steepness(dy: Any, dx: Any) -> Any:
    """Return numbers that order as the angles of lines in (-90, 90] do."""
    return torch.where(dx == 0, float("inf"), dy.double() / dx)


def _first_least(ranks: tuple[Any, ...], owner: Any, n: int) -> Any:
    """Return the place of each owner's least first rank; among equals of the next, and so on."""
    chosen = torch.ones(len(owner), dtype=torch.bool, device=owner.device)
    for rank in ranks:
        least = torch.full((n,), float("inf"), dtype=torch.float64, device=owner.device)
        least.scatter_reduce_(0, owner[chosen], rank[chosen], "amin")
        least = least[owner]
        chosen &= (rank == least) | ((rank - least <= _ROUNDING * rank.abs()) & rank.isfinite())
    first = torch.full((n,), len(owner), device=owner.device)
    return first.scatter_reduce(0, owner[chosen], torch.nonzero(chosen).view(-1), "amin")


@triton.jit
def _point(extents_ptr, at, height):
    """Return the points of doubled rows, and whether there are any: edges' middles of pixels."""
    odd = at & 1
    above = (at - odd) >> 1
    below = (at + odd) >> 1
    first = tl.minimum(
        tl.load(extents_ptr + above, mask=(above >= 0) & (above < height), other=NONE),
        tl.load(extents_ptr + below, mask=(below >= 0) & (below < height), other=NONE),
    )
    return 2 * first - 1 + odd, first < NONE


@triton.jit
def _wrap_kernel(
    extents_ptr, row_begin_ptr, room_ptr, sides_ptr, counts_ptr, convex_ptr, n_rows, n_regions,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Wrap one side of one region: from each vertex to the last of those least to the right."""
    region, side = tl.program_id(0), tl.program_id(1)
    first_row = tl.load(row_begin_ptr + region)
    height = (tl.load(row_begin_ptr + region + 1) - first_row).to(tl.int32)
    extents_ptr += side.to(tl.int64) * n_rows + first_row
    convex_ptr += side.to(tl.int64) * n_rows + first_row
    width = 2 * n_rows + n_regions
    sides_ptr += side.to(tl.int64) * 2 * width + tl.load(room_ptr + region)
    bottom = 2 * height - 1
    y = -1
    x = 2 * tl.load(extents_ptr)
    tl.store(sides_ptr, y)
    tl.store(sides_ptr + width, x)
    count = 1
    while y < bottom:
        least = tl.full([], float("inf"), tl.float64)
        next_y = bottom
        next_x = x
        start = y + 1
        while start <= bottom:
            at = start + tl.arange(0, BLOCK)
            near, there = _point(extents_ptr, at, height)
            # a quotient of such whole numbers is rounded to the same number only if it is equal
            slope = (near - x).to(tl.float64) / (at - y).to(tl.float64)
            slope = tl.where(there, slope, float("inf"))
            lowest = tl.min(slope, axis=0)
            last = tl.max(tl.where(there & (slope == lowest), at, -1), axis=0)
            better = (last >= 0) & (lowest <= least)
            least = tl.where(better, lowest, least)
            next_y = tl.where(better, last, next_y)
            next_x = tl.where(better, tl.min(tl.where(at == last, near, 2 * NONE), axis=0), next_x)
            start += BLOCK
        _fill_convex(convex_ptr, y, x, next_y, next_x, BLOCK)
        y = next_y
        x = next_x
        tl.store(sides_ptr + count, y)
        tl.store(sides_ptr + width + count, x)
        count += 1
    tl.store(counts_ptr + side * n_regions + region, count)


@triton.jit
def _fill_convex(convex_ptr, y, x, next_y, next_x, BLOCK: tl.constexpr):
    """Store the first column on or right of an edge, per row: a ceiling of a fraction."""
    rise = (next_y - y).to(tl.int64)
    run = (next_x - x).to(tl.int64)
    start = (y + 1) >> 1
    while 2 * start <= next_y:
        row = start + tl.arange(0, BLOCK)
        numerator = x * rise + run * (2 * row - y)
        ceiling = (numerator + 2 * rise * (1 + SHIFT) - 1) // (2 * rise) - SHIFT
        tl.store(convex_ptr + row, ceiling.to(tl.int32), mask=2 * row <= next_y)
        start += BLOCK


@triton.jit
def _pairs(corners_ptr, one, other, end):
    """Return the steps between two runs of vertices, 0 beyond the end."""
    real = (one < end)[:, None] & (other < end)[None, :]
    dy = tl.load(corners_ptr + 2 * one, mask=one < end, other=0)[:, None]
    dy = dy - tl.load(corners_ptr + 2 * other, mask=other < end, other=0)[None, :]
    dx = tl.load(corners_ptr + 2 * one + 1, mask=one < end, other=0)[:, None]
    dx = dx - tl.load(corners_ptr + 2 * other + 1, mask=other < end, other=0)[None, :]
    return tl.where(real, dy, 0), tl.where(real, dx, 0)


@triton.jit
def _longest_kernel(corners_ptr, begin_ptr, found_ptr, SIDE: tl.constexpr):
    """Find the largest distance, then the flattest of those as large, then its direction."""
    region = tl.program_id(0)
    begin = tl.load(begin_ptr + region)
    end = tl.load(begin_ptr + region + 1)
    best = tl.full([], 0, tl.int64)
    flattest = tl.full([], float("inf"), tl.float64)
    best_y = tl.full([], 0, tl.int64)
    best_x = tl.full([], 0, tl.int64)
    for turn in tl.static_range(3):
        start = begin
        while start < end:
            second = begin
            while second <= start:
                steps = tl.arange(0, SIDE)
                dy, dx = _pairs(corners_ptr, start + steps, second + steps, end)
                square = dy * dy + dx * dx
                steep = dy.to(tl.float64) / tl.where(dx == 0, 1, dx).to(tl.float64)
                steep = tl.where(dx == 0, float("inf"), steep)
                if turn == 0:
                    best = tl.maximum(best, tl.max(square))
                elif turn == 1:
                    steep = tl.where(square == best, steep, float("inf"))
                    flattest = tl.minimum(flattest, tl.min(steep))
                else:
                    chosen = (square == best) & (steep == flattest)
                    best_y = tl.maximum(best_y, tl.max(tl.where(chosen, tl.abs(dy), 0)))
                    best_x = tl.maximum(best_x, tl.max(tl.where(chosen, tl.abs(dx), 0)))
                second += SIDE
            start += SIDE
    tl.store(found_ptr + 3 * region, best)
    tl.store(found_ptr + 3 * region + 1, tl.where(flattest < 0, -best_y, best_y))
    tl.store(found_ptr + 3 * region + 2, best_x)


@triton.jit
def _span_kernel(corners_ptr, begin_ptr, spans_ptr, edges_ptr, n_corners, SIDE: tl.constexpr):
    """Store the edge that ends in each vertex and the hull's extent along it and across it."""
    region = tl.program_id(0)
    begin = tl.load(begin_ptr + region)
    end = tl.load(begin_ptr + region + 1)
    start = begin
    while start < end:
        edge = start + tl.arange(0, SIDE)
        real = edge < end
        before = tl.where(edge == begin, end - 1, edge - 1)
        dy = tl.load(corners_ptr + 2 * edge, mask=real, other=0)
        dy -= tl.load(corners_ptr + 2 * before, mask=real, other=0)
        dx = tl.load(corners_ptr + 2 * edge + 1, mask=real, other=0)
        dx -= tl.load(corners_ptr + 2 * before + 1, mask=real, other=0)
        along_low = tl.full([SIDE], FAR, tl.int64)
        across_low = along_low
        along_high = -along_low
        across_high = -along_low
        second = begin
        while second < end:
            other = second + tl.arange(0, SIDE)
            there = (other < end)[None, :]
            y = tl.load(corners_ptr + 2 * other, mask=other < end, other=0)[None, :]
            x = tl.load(corners_ptr + 2 * other + 1, mask=other < end, other=0)[None, :]
            along = y * dy[:, None] + x * dx[:, None]
            across = y * dx[:, None] - x * dy[:, None]
            along_low = tl.minimum(along_low, tl.min(tl.where(there, along, FAR), axis=1))
            along_high = tl.maximum(along_high, tl.max(tl.where(there, along, -FAR), axis=1))
            across_low = tl.minimum(across_low, tl.min(tl.where(there, across, FAR), axis=1))
            across_high = tl.maximum(across_high, tl.max(tl.where(there, across, -FAR), axis=1))
            second += SIDE
        tl.store(spans_ptr + edge, along_high - along_low, mask=real)
        tl.store(spans_ptr + n_corners + edge, across_high - across_low, mask=real)
        tl.store(edges_ptr + 2 * edge, dy, mask=real)
        tl.store(edges_ptr + 2 * edge + 1, dx, mask=real)
        start += SIDE


# (kernel, signature, constexprs, warps), compiled for every architecture without a device
COMPILE_CASES: list[tuple[Any, ...]] = [
    (
        _wrap_kernel,
        {
            "extents_ptr": "*i32",
            "row_begin_ptr": "*i64",
            "room_ptr": "*i64",
            "sides_ptr": "*i32",
            "counts_ptr": "*i64",
            "convex_ptr": "*i32",
            "n_rows": "i32",
            "n_regions": "i32",
        },
        {"BLOCK": BLOCK},
        4,
    ),
    (
        _longest_kernel,
        {"corners_ptr": "*i64", "begin_ptr": "*i64", "found_ptr": "*i64"},
        {"SIDE": PAIRED},
        2,
        MORE_REGISTERS,
    ),
    (
        _span_kernel,
        {
            "corners_ptr": "*i64",
            "begin_ptr": "*i64",
            "spans_ptr": "*i64",
            "edges_ptr": "*i64",
            "n_corners": "i32",
        },
        {"SIDE": CORNERS},
        4,
    ),
]
