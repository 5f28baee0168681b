"""Separable means in Triton: one axis at a time, weights by distance."""

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray

BLOCK = 256


def gaussian(images: Any, weights: NDArray[np.float32]) -> Any:
    """Weigh a batch ``(b, y, x)`` of float32 on a GPU by the distance along each axis."""
    _, height, width = images.shape
    on_device = torch.from_numpy(weights).to(images.device)
    between, result = torch.empty_like(images), torch.empty_like(images)
    n_pixels = images.numel()
    if n_pixels == 0:
        return result
    grid = (triton.cdiv(n_pixels, BLOCK),)
    for source, target, size, step in (
        (images, between, height, width),
        (between, result, width, 1),
    ):
        _weigh_kernel[grid](
            source,
            target,
            on_device,
            n_pixels,
            size,
            step,
            len(weights) - 1,
            BLOCK=BLOCK,
            num_warps=4,
        )
    return result


def box_mean(images: Any, radius: int) -> Any:
    """Average a batch ``(b, y, x)`` of float32 on a GPU over square windows."""
    return gaussian(images, np.full(radius + 1, 1 / (2 * radius + 1), np.float32))


@triton.jit
def _weigh_kernel(
    source_ptr, target_ptr, weight_ptr, n_pixels, size, step, radius, BLOCK: tl.constexpr
):
    """Sum pixels along one axis, whose neighbours lie ``step`` apart, weighed by distance."""
    pixel = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < n_pixels
    place = ((pixel // step) % size).to(tl.int32)
    line = pixel - place.to(tl.int64) * step
    total = tl.load(weight_ptr) * tl.load(source_ptr + pixel, mask=inside, other=0.0)
    for k in range(1, radius + 1):
        before = tl.load(
            source_ptr + line + _reflect(place - k, size) * step, mask=inside, other=0.0
        )
        after = tl.load(
            source_ptr + line + _reflect(place + k, size) * step, mask=inside, other=0.0
        )
        total += tl.load(weight_ptr + k) * (before + after)
    tl.store(target_ptr + pixel, total, mask=inside)


@triton.jit
def _reflect(place, size):
    """Fold a place beyond the border back, repeating the border pixel."""
    folded = (place % (2 * size) + 2 * size) % (2 * size)
    return tl.minimum(folded, 2 * size - 1 - folded)


# (kernel, signature, constexprs, warps), compiled for every architecture without a device
COMPILE_CASES: list[tuple[Any, dict[str, str], dict[str, Any], int]] = [
    (
        _weigh_kernel,
        {
            "source_ptr": "*fp32",
            "target_ptr": "*fp32",
            "weight_ptr": "*fp32",
            "n_pixels": "i64",
            "size": "i32",
            "step": "i32",
            "radius": "i32",
        },
        {"BLOCK": BLOCK},
        4,
    )
]
