"""Fits of Gaussians in Triton: one fit per lane, pixels read in place from the frames.

The same start, steps, bounds and stopping rule as the host, in float32 about the middle of each
window. Sums of pixels stay in registers; what comes back is the fitted parameters and the
moments there, from which the host works out errors by the same code as for its own fits.
"""

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from stempede_kernels.gaussian_fit.finish import finish
from stempede_kernels.gaussian_fit.lane_steps import (
    blank_deviance,
    lead,
    propose,
    relax,
    shorten,
    solve,
)
from stempede_kernels.gaussian_fit.lanes import (
    assemble,
    evaluate,
    load_all,
    pixels_and_floor,
    store_all,
    where_all,
)
from stempede_kernels.gaussian_fit.plan import Answer, Rule, Task

LANES = 32
# left to itself the assembler keeps to 168 registers, and spills a few
REGISTERS = {"maxnreg": 224}
N_MOMENTS = 40
# deviance, blank deviance, pixels, state, iterations
N_ENDS = 5
# neighbours below this share of the offset disturb no pixel
FAINT = 0.1


def fit(images: Any, task: Task, rule: Rule, result: Answer) -> None:
    """Run the chosen fits on ``images`` (b, y, x) float32 on a GPU; see README for the arrays."""
    n = len(task.chosen)
    if n == 0:
        return
    device = images.device
    place = np.empty((n, 3), np.int32)
    place[:, 0] = task.frame[task.chosen]
    place[:, 1:] = task.middle[task.chosen]
    local = result.theta[task.chosen].copy()
    local[:, :2] -= task.middle[task.chosen]
    places = torch.from_numpy(place).to(device)
    theta = torch.from_numpy(local.T.astype(np.float32)).contiguous().to(device)
    shift = torch.from_numpy(np.nan_to_num(task.variance).astype(np.float32)).to(device)
    moments = torch.empty((N_MOMENTS, n), dtype=torch.float32, device=device)
    ends = torch.empty((N_ENDS, n), dtype=torch.float32, device=device)
    free = free_list(rule)
    base = _base(task, rule, result, device)
    _fit_kernel[(triton.cdiv(n, LANES),)](
        images,
        images if base is None else base,
        places,
        theta,
        shift,
        moments,
        ends,
        n,
        images.shape[1],
        images.shape[2],
        rule.tolerance,
        rule.iterations,
        WINDOW=rule.window,
        FREE=free,
        SHAPE=rule.shape,
        POISSON=rule.poisson,
        OFFSET_AT=free.index(6) if rule.offset else -1,
        WITH_BASE=base is not None,
        LANES=LANES,
        num_warps=1,
        **REGISTERS,
    )
    fitted = theta.cpu().numpy().T.astype(np.float64)
    fitted[:, :2] += task.middle[task.chosen]
    finish(fitted, moments.cpu().numpy(), ends.cpu().numpy(), images.shape, task, rule, result)


def free_list(rule: Rule) -> tuple[int, ...]:
    """Return the places of the free parameters, in order."""
    shape: dict[int, tuple[int, ...]] = {0: (), 1: (3,), 2: (3, 5), 3: (3, 4, 5)}
    offset = (6,) if rule.offset else ()
    return (0, 1, 2, *shape[rule.shape], *offset, *((7, 8) if rule.plane else ()))


def _base(task: Task, rule: Rule, result: Answer, device: Any) -> Any:
    """Return (n, window²) float32 of what neighbours put into each window, None without any.

    NaN where a pixel is left to the neighbours.
    """
    n = len(task.chosen)
    first, last = task.first[task.chosen], task.first[task.chosen + 1]
    if not (last > first).any():
        return None
    to_device = lambda a, kind: torch.from_numpy(np.ascontiguousarray(a, kind)).to(device)  # noqa: E731
    base = torch.empty((n, rule.window**2), dtype=torch.float32, device=device)
    own = result.theta[task.chosen].copy()
    middle = task.middle[task.chosen]
    own[:, :2] -= middle
    # neighbours' places relative to each window: float32 would lose them in large frames
    pair = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
    owner = np.repeat(np.arange(n), last - first)
    drawn = task.known[task.beside[pair]][:, :6].copy()
    drawn[:, :2] -= middle[owner]
    ends = np.zeros(n + 1, np.int64)
    np.cumsum(last - first, out=ends[1:])
    block = triton.next_power_of_2(rule.window**2)
    _base_kernel[(n,)](
        base,
        to_device(own[:, :7], np.float32),
        to_device(drawn, np.float32),
        to_device(ends, np.int32),
        rule.dominance,
        FAINT,
        WINDOW=rule.window,
        BLOCK=block,
        num_warps=4,
    )
    return base


@triton.jit
def _base_kernel(
    base_ptr,
    own_ptr,
    drawn_ptr,
    ends_ptr,
    dominance,
    faint,
    WINDOW: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Draw the neighbours of one fit into its window; NaN where they drown the fit's own."""
    fit_number = tl.program_id(0)
    pixel = tl.arange(0, BLOCK)
    y = (pixel // WINDOW - WINDOW // 2).to(tl.float32)
    x = (pixel % WINDOW - WINDOW // 2).to(tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    for k in range(tl.load(ends_ptr + fit_number), tl.load(ends_ptr + fit_number + 1)):
        total += tl.maximum(_bell(drawn_ptr + 6 * k, y, x), 0.0)
    own_ptr += 7 * fit_number
    own = _bell(own_ptr, y, x)
    offset = tl.load(own_ptr + 6)
    kept = (total <= faint * offset) | (own >= dominance * total)
    total = tl.where(kept, total, float("nan"))
    tl.store(base_ptr + fit_number * (WINDOW * WINDOW) + pixel, total, pixel < WINDOW * WINDOW)


@triton.jit
def _bell(theta_ptr, y, x):
    """Draw the Gaussian y, x, amplitude, precision yy, yx, xx."""
    dy, dx = y - tl.load(theta_ptr), x - tl.load(theta_ptr + 1)
    q = tl.load(theta_ptr + 3) * dy * dy + 2.0 * tl.load(theta_ptr + 4) * dy * dx
    q += tl.load(theta_ptr + 5) * dx * dx
    return tl.load(theta_ptr + 2) * tl.exp(-0.5 * q)


@triton.jit
def _fit_kernel(
    image_ptr,
    base_ptr,
    place_ptr,
    theta_ptr,
    shift_ptr,
    moments_ptr,
    ends_ptr,
    n,
    height,
    width,
    tolerance,
    most,
    WINDOW: tl.constexpr,
    FREE: tl.constexpr,
    SHAPE: tl.constexpr,
    POISSON: tl.constexpr,
    OFFSET_AT: tl.constexpr,
    WITH_BASE: tl.constexpr,
    LANES: tl.constexpr,
):
    """Fit one window per lane by damped Fisher scoring; lanes that are done wait, masked."""
    lane = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    there = lane < n
    frame = tl.load(place_ptr + 3 * lane, mask=there, other=0)
    shift = tl.load(shift_ptr + frame, mask=there, other=0.0)
    if not POISSON:
        shift = shift * 0.0
    top = tl.load(place_ptr + 3 * lane + 1, mask=there, other=0) - WINDOW // 2
    left = tl.load(place_ptr + 3 * lane + 2, mask=there, other=0) - WINDOW // 2
    corner = (image_ptr, frame.to(tl.int64) * height * width, top, left, height, width)
    window = (corner, base_ptr + lane * (WINDOW * WINDOW), shift, there)
    theta = load_all(theta_ptr, lane, n, there, 9)
    pixels, floor = pixels_and_floor(window, WINDOW, WITH_BASE, POISSON, LANES)
    finite = theta[2] > 0.0
    for k in tl.static_range(9):
        finite = finite & (tl.abs(theta[k]) < float("inf"))
    usable = there & finite & (pixels > len(FREE))
    if POISSON:
        usable = usable & (floor > 0.0)
    deviance, moments = evaluate(theta, window, floor, WINDOW, WITH_BASE, POISSON, LANES)
    system = assemble(theta, moments, FREE, SHAPE)
    damping = tl.full((LANES,), 1e-3, tl.float32)
    share = tl.full((LANES,), 1.0, tl.float32)
    state = tl.where(usable, 2, 3)
    iterations = tl.zeros((LANES,), tl.int32)
    active = usable
    iteration = 0
    going = tl.sum(active.to(tl.int32)) * (most > 0)
    while going > 0:
        iteration += 1
        iterations = tl.where(active, iteration, iterations)
        solved, step = solve(theta, system, damping, FREE, POISSON, OFFSET_AT)
        step = shorten(step, share)
        before = lead(step, system, FREE)
        trial, length = propose(theta, step, WINDOW, SHAPE)
        tried, moments = evaluate(trial, window, floor, WINDOW, WITH_BASE, POISSON, LANES)
        # float32 sums of a window agree to about a part in a million
        better = active & solved & (tried <= deviance + 1e-6 * tl.abs(deviance))
        system = where_all(better, assemble(trial, moments, FREE, SHAPE), system)
        relaxed = relax(share, before, lead(step, system, FREE))
        share = tl.where(solved, tl.where(better, relaxed, 0.5 * share), share)
        theta = where_all(better, trial, theta)
        deviance = tl.where(better, tried, deviance)
        harder = tl.maximum(10.0 * damping, 1e-2)
        damping = tl.where(better, 0.1 * damping, harder)
        settled = active & solved & (length <= tolerance)
        stuck = active & (solved == 0) & (damping > 1e6)
        state = tl.where(settled, 1, tl.where(stuck, 3, state))
        active = active & (settled == 0) & (stuck == 0)
        going = tl.sum(active.to(tl.int32)) * (most - iteration > 0)
    deviance, moments = evaluate(theta, window, floor, WINDOW, WITH_BASE, POISSON, LANES)
    blank = blank_deviance(
        theta[6], window, floor, pixels, WINDOW, WITH_BASE, POISSON, OFFSET_AT >= 0, LANES
    )
    store_all(theta_ptr, theta, lane, n, there)
    store_all(moments_ptr, moments, lane, n, there)
    ends = (deviance, blank, pixels, state.to(tl.float32), iterations.to(tl.float32))
    store_all(ends_ptr, ends, lane, n, there)


def _case(window: int, free: tuple[int, ...], shape: int, *, poisson: bool) -> Any:
    pointers = ("image_ptr", "base_ptr", "theta_ptr", "shift_ptr", "moments_ptr", "ends_ptr")
    signature = dict.fromkeys(pointers, "*fp32") | {"place_ptr": "*i32", "tolerance": "fp32"}
    signature |= dict.fromkeys(("n", "height", "width", "most"), "i32")
    constants = {"WINDOW": window, "FREE": free, "SHAPE": shape, "POISSON": poisson}
    constants |= {"OFFSET_AT": free.index(6), "WITH_BASE": True, "LANES": LANES}
    return _fit_kernel, signature, constants, 1, REGISTERS


COMPILE_CASES = [
    (
        _base_kernel,
        {"base_ptr": "*fp32", "own_ptr": "*fp32", "drawn_ptr": "*fp32", "ends_ptr": "*i32"}
        | {"dominance": "fp32", "faint": "fp32"},
        {"WINDOW": 15, "BLOCK": 256},
        4,
    ),
    _case(11, (0, 1, 2, 3, 4, 5, 6), 3, poisson=True),
    _case(15, (0, 1, 2, 3, 4, 5, 6), 3, poisson=True),
    _case(15, (0, 1, 2, 3, 6), 1, poisson=False),
    _case(15, (0, 1, 2, 3, 4, 5, 6, 7, 8), 3, poisson=True),
]
