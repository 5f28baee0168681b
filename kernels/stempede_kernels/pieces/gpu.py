"""Pieces of labels on a GPU: forests of equal pixels in Triton, tables of pieces in torch."""

from typing import Any

import torch
import triton
import triton.language as tl

from stempede_kernels.label import gpu as labelling
from stempede_kernels.label.gpu import unite

BLOCK = 128
HIGHEST = 2**31 - 1
PIECE_BITS = 32
LAST_PIECE = 2**PIECE_BITS - 1


def whole_pieces(labels: Any, *, fill: bool) -> Any:
    """Keep the largest piece of every label of a batch ``(b, y, x)``; fill its holes if asked."""
    if labels.numel() == 0:
        return labels.clone()
    pieces, first = _pieces(labels)
    value = _after_none(labels.view(-1)[first])
    area = labelling.areas(torch.where(labels > 0, pieces, 0), len(first))
    frame = _after_none(first // labels[0].numel())
    # the number of labels is known on the device only
    slot = frame * (int(labels.max()) + 1) + value
    # of equally large pieces the first is the largest
    rank = (area << PIECE_BITS) + LAST_PIECE - torch.arange(len(area), device=area.device)
    largest = torch.zeros(int(slot.max()) + 1, dtype=torch.int64, device=labels.device)
    largest.scatter_reduce_(0, slot[1:], rank[1:], "amax")
    kept = torch.where(rank == largest[slot], value, 0)[pieces]
    return _fill_holes(kept) if fill else kept


def separate(labels: Any, *, least_px: int) -> Any:
    """Part the labels of a batch ``(b, y, x)`` that lie apart."""
    if labels.numel() == 0:
        return labels.clone()
    numbers, counts = labelling.label(labels > 0, 1)
    pieces, n_pieces = labelling.number_on(numbers, counts)
    inside = torch.nonzero(pieces.view(-1) > 0).view(-1)
    piece, value = pieces.view(-1)[inside], labels.view(-1)[inside]
    low, high = _extremes(piece, value, n_pieces)
    area = labelling.areas(pieces, n_pieces)
    frame = torch.zeros_like(area)
    frame[piece] = inside // labels[0].numel()
    slot = frame * (int(labels.max()) + 1) + high
    largest = torch.zeros(int(slot.max()) + 1, dtype=torch.int64, device=labels.device)
    largest.scatter_reduce_(0, slot, area, "amax")
    stays = area >= largest[slot].clamp(max=least_px)
    parted = torch.where(stays[pieces], numbers, 0)
    return torch.where((low < high)[pieces] & (labels > 0), counts[:, None, None] + labels, parted)


def _pieces(labels: Any) -> tuple[Any, Any]:
    """Return pieces, of labels and background, numbered on from 1, and the first pixel of each."""
    n_frames, height, width = labels.shape
    index = torch.arange(height * width, dtype=torch.int32, device=labels.device)
    parent = index.view(height, width).repeat(n_frames, 1, 1)
    _unite_equal_kernel[(triton.cdiv(height * width, BLOCK), n_frames)](
        labels, parent, height * width, width, BLOCK=BLOCK, num_warps=4
    )
    first = torch.nonzero((parent == index.view(height, width)).view(-1)).view(-1)
    return labelling.number_on(*labelling.number_trees(parent))[0], first


def _fill_holes(labels: Any) -> Any:
    """Give background pieces that touch one label only, and not the rim, to that label."""
    gaps, n_gaps = labelling.number_on(*labelling.label(labels == 0, 2))
    met, label = (torch.cat(parts) for parts in zip(*(_met(gaps, labels, k) for k in (1, 2))))
    low, high = _extremes(met, label, n_gaps)
    owner = torch.where(low == high, low, 0)
    for rim in (gaps[:, 0], gaps[:, -1], gaps[:, :, 0], gaps[:, :, -1]):
        owner[rim.flatten()] = 0
    owner[0] = 0
    return labels + owner[gaps]


def _met(gaps: Any, labels: Any, axis: int) -> tuple[Any, Any]:
    """Return the gap and the label of each pair of pixels of both that follow along an axis."""
    n = labels.shape[axis] - 1
    pairs = [(gaps.narrow(axis, at, n), labels.narrow(axis, 1 - at, n)) for at in (0, 1)]
    met = [(gap > 0) & (label > 0) for gap, label in pairs]
    return (
        torch.cat([gap[m] for (gap, _), m in zip(pairs, met)]),
        torch.cat([label[m] for (_, label), m in zip(pairs, met)]),
    )


def _extremes(place: Any, value: Any, n: int) -> tuple[Any, Any]:
    """Return the least and the greatest value of each place 0 … n; `HIGHEST` and 0 if none."""
    low = torch.full((n + 1,), HIGHEST, dtype=torch.int32, device=value.device)
    high = torch.zeros_like(low)
    low.scatter_reduce_(0, place, value, "amin")
    high.scatter_reduce_(0, place, value, "amax")
    return low, high


def _after_none(values: Any) -> Any:
    """Put 0 before the values, for the number 0 that no piece has."""
    return torch.nn.functional.pad(values, (1, 0))


@triton.jit
def _unite_equal_kernel(labels_ptr, parent_ptr, size, width, BLOCK: tl.constexpr):
    """Unite every pixel with its equals on the left and above, by corners too in background."""
    labels_ptr += tl.program_id(1).to(tl.int64) * size
    parent_ptr += tl.program_id(1).to(tl.int64) * size
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = pixel % width
    inside = pixel < size
    here = tl.load(labels_ptr + pixel, mask=inside, other=-1)
    has_up = inside & (pixel >= width)
    left = _equals(labels_ptr, pixel - 1, here, inside & (x > 0))
    up = _equals(labels_ptr, pixel - width, here, has_up)
    up_left = _equals(labels_ptr, pixel - width - 1, here, has_up & (x > 0))
    up_right = _equals(labels_ptr, pixel - width + 1, here, has_up & (x + 1 < width))
    unite(parent_ptr, pixel, pixel - 1, left)
    # where all four are equal, the left pixel and the one above it close the ring
    unite(parent_ptr, pixel, pixel - width, up & ~(left & up_left))
    unite(parent_ptr, pixel, pixel - width - 1, (here == 0) & up_left & ~left & ~up)
    unite(parent_ptr, pixel, pixel - width + 1, (here == 0) & up_right & ~up)


@triton.jit
def _equals(labels_ptr, near, here, inside):
    return inside & (tl.load(labels_ptr + near, mask=inside, other=-1) == here)


# (kernel, signature, constexprs, warps), compiled for every architecture without a device
COMPILE_CASES: list[tuple[Any, dict[str, str], dict[str, Any], int]] = [
    (
        _unite_equal_kernel,
        {"labels_ptr": "*i32", "parent_ptr": "*i32", "size": "i32", "width": "i32"},
        {"BLOCK": BLOCK},
        4,
    )
]
