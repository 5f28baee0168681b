"""Parts of the Triton fit: the damped step of a lane, its bounds, and the fit without a column."""

import triton
import triton.language as tl

from stempede_kernels.gaussian_fit.lanes import misfit, pixel

NARROWEST_PX = tl.constexpr(0.3)
LEAST_SHARE = tl.constexpr(0.3)
BLANK_STEPS = tl.constexpr(20)
# a pivot of the scaled matrix that float32 cannot tell from zero
SMALLEST_PIVOT = tl.constexpr(1e-7)


@triton.jit
def _triangle(a: tl.constexpr, b: tl.constexpr):
    """Return the place of entry a >= b in a lower triangle by rows."""
    return a * (a + 1) // 2 + b


@triton.jit
def _factorise(system, damping, N: tl.constexpr):
    """Return success, scales and Cholesky factor of the first N, scaled to a unit diagonal."""
    good = system[0] > 0.0
    scale = ()
    for a in tl.static_range(N):
        here = system[a * (a + 1) // 2 + a]
        good = good & (here > 0.0)
        scale = scale + (1.0 / tl.sqrt(tl.maximum(here, 1e-30)),)
    factor = ()
    for a in tl.static_range(N):
        for b in tl.static_range(a + 1):
            value = system[a * (a + 1) // 2 + b] * scale[a] * scale[b]
            if a == b:
                value = value + damping
            for k in tl.static_range(b):
                value = value - factor[a * (a + 1) // 2 + k] * factor[b * (b + 1) // 2 + k]
            if a == b:
                good = good & (value > SMALLEST_PIVOT)
                factor = factor + (tl.sqrt(tl.maximum(value, SMALLEST_PIVOT)),)
            else:
                factor = factor + (value / factor[b * (b + 1) // 2 + b],)
    return good, scale, factor


@triton.jit
def _substitute(scale, factor, right, N: tl.constexpr):
    """Return the solution for a right-hand side of N."""
    half = ()
    for a in tl.static_range(N):
        value = right[a] * scale[a]
        for k in tl.static_range(a):
            value = value - factor[a * (a + 1) // 2 + k] * half[k]
        half = half + (value / factor[a * (a + 1) // 2 + a],)
    # backwards, so that the solution is built last first
    back = ()
    for r in tl.static_range(N):
        value = half[N - 1 - r]
        for k in tl.static_range(r):
            value = value - factor[(N - 1 - k) * (N - k) // 2 + N - 1 - r] * back[k]
        back = back + (value / factor[(N - 1 - r) * (N - r) // 2 + N - 1 - r],)
    out = ()
    for a in tl.static_range(N):
        out = out + (back[N - 1 - a] * scale[a],)
    return out


@triton.jit
def _without(system, N: tl.constexpr, LEFT_OUT: tl.constexpr):
    """Return the triangle of N parameters without one."""
    out = ()
    for a in tl.static_range(N):
        for b in tl.static_range(a + 1):
            if a != LEFT_OUT and b != LEFT_OUT:
                out = out + (system[a * (a + 1) // 2 + b],)
    return out


@triton.jit
def solve(
    theta, system, damping, FREE: tl.constexpr, POISSON: tl.constexpr, OFFSET_AT: tl.constexpr
):
    """Return success and the step of all nine parameters.

    An offset that would fall below zero goes to zero and the others follow. `OFFSET_AT` is its
    place among the free parameters, −1 where it is held.
    """
    N: tl.constexpr = len(FREE)
    first: tl.constexpr = N * (N + 1) // 2
    good, scale, factor = _factorise(system, damping, N)
    right = ()
    for a in tl.static_range(N):
        right = right + (system[first + a],)
    step = _substitute(scale, factor, right, N)
    if POISSON and OFFSET_AT >= 0:
        below = theta[6] + step[OFFSET_AT] < 0.0
        less = ()
        for a in tl.static_range(N):
            if a < OFFSET_AT:
                less = less + (right[a] + system[OFFSET_AT * (OFFSET_AT + 1) // 2 + a] * theta[6],)
            elif a > OFFSET_AT:
                less = less + (right[a] + system[a * (a + 1) // 2 + OFFSET_AT] * theta[6],)
        found, scale, factor = _factorise(_without(system, N, OFFSET_AT), damping, N - 1)
        bound = _substitute(scale, factor, less, N - 1)
        chosen = ()
        for a in tl.static_range(N):
            if a < OFFSET_AT:
                chosen = chosen + (tl.where(below, bound[a], step[a]),)
            elif a == OFFSET_AT:
                chosen = chosen + (tl.where(below, -theta[6], step[a]),)
            else:
                chosen = chosen + (tl.where(below, bound[a - 1], step[a]),)
        step = chosen
        good = good & (found | (below == 0))
    out = ()
    for p in tl.static_range(9):
        value = theta[p] * 0.0
        for a in tl.static_range(N):
            if FREE[a] == p:
                value = step[a]
        out = out + (value,)
    return good, out


@triton.jit
def shorten(step, share):
    """Return a share of a step."""
    out = ()
    for p in tl.static_range(9):
        out = out + (step[p] * share,)
    return out


@triton.jit
def lead(step, system, FREE: tl.constexpr):
    """Return the product of a step with the gradient."""
    N: tl.constexpr = len(FREE)
    total = step[0] * 0.0
    for a in tl.static_range(N):
        total = total + step[FREE[a]] * system[N * (N + 1) // 2 + a]
    return total


@triton.jit
def relax(share, before, after):
    """Return the share of the next step to take, from the slopes along the last one."""
    falls = before > after
    found = share * before / tl.where(falls, before - after, 1.0)
    return tl.where(falls, tl.minimum(tl.maximum(found, LEAST_SHARE), 1.0), 1.0)


@triton.jit
def propose(theta, step, WINDOW: tl.constexpr, SHAPE: tl.constexpr):
    """Return the parameters after a step within bounds, and its length relative to the scales."""
    reach = tl.maximum(1.0, 1.0 / tl.sqrt(0.5 * (theta[3] + theta[5])))
    y = theta[0] + tl.minimum(tl.maximum(step[0], -reach), reach)
    x = theta[1] + tl.minimum(tl.maximum(step[1], -reach), reach)
    # an amplitude never changes its sign: at most nine tenths are lost at once
    amplitude = tl.maximum(theta[2] + step[2], 0.1 * theta[2])
    length = tl.maximum(tl.maximum(tl.abs(step[0]), tl.abs(step[1])), tl.abs(step[2]) / theta[2])
    yy, yx, xx = theta[3], theta[4], theta[5]
    if SHAPE != 0:
        step_xx = step[5]
        if SHAPE == 1:
            step_xx = step[3]
        largest = tl.maximum(theta[3], theta[5])
        length = tl.maximum(length, tl.maximum(tl.abs(step[3]), tl.abs(step_xx)) / largest)
        yy, yx, xx = _limit_shape(theta, step[3], step[4], step_xx, WINDOW)
    length = tl.maximum(length, tl.abs(step[6]) / (theta[2] + tl.abs(theta[6])))
    ground = (theta[6] + step[6], theta[7] + step[7], theta[8] + step[8])
    return (y, x, amplitude, yy, yx, xx) + ground, length


@triton.jit
def _limit_shape(theta, step_yy, step_yx, step_xx, WINDOW: tl.constexpr):
    """Clip the eigenvalues of the new precision to a quarter to four times the old ones."""
    mean = 0.5 * (theta[3] + theta[5])
    half = _length(0.5 * (theta[5] - theta[3]), theta[4])
    low = tl.maximum(0.25 * (mean - half), 1.0 / (WINDOW * WINDOW))
    high = tl.minimum(4.0 * (mean + half), 1.0 / (NARROWEST_PX * NARROWEST_PX))
    yy, yx, xx = theta[3] + step_yy, theta[4] + step_yx, theta[5] + step_xx
    c = 0.5 * (xx - yy)
    mean, half = 0.5 * (yy + xx), _length(c, yx)
    round_ = half == 0.0
    cos = tl.where(round_, 1.0, c / tl.where(round_, 1.0, half))
    sin = tl.where(round_, 0.0, yx / tl.where(round_, 1.0, half))
    small = tl.minimum(tl.maximum(mean - half, low), high)
    large = tl.minimum(tl.maximum(mean + half, low), high)
    mean, half = 0.5 * (small + large), 0.5 * (large - small)
    return mean - half * cos, half * sin, mean + half * cos


@triton.jit
def _length(a, b):
    return tl.sqrt(a * a + b * b)


@triton.jit
def blank_deviance(
    offset,
    window,
    floor,
    pixels,
    WINDOW: tl.constexpr,
    WITH_BASE: tl.constexpr,
    POISSON: tl.constexpr,
    OFFSET: tl.constexpr,
    LANES: tl.constexpr,
):
    """Return the deviance of the best constant on the base alone."""
    if OFFSET:
        total = tl.zeros((LANES,), tl.float32)
        for j in range(WINDOW):
            for i in range(WINDOW):
                data, base, seen = pixel(window, j, i, WINDOW, WITH_BASE)
                total += seen * (data - base)
        offset = total / tl.maximum(pixels, 1.0)
    if POISSON:
        offset = tl.maximum(offset, 0.0)
        if OFFSET:
            offset = _best_offset(offset, window, floor, WINDOW, WITH_BASE, LANES)
    deviance = tl.zeros((LANES,), tl.float32)
    for j in range(WINDOW):
        for i in range(WINDOW):
            data, base, seen = pixel(window, j, i, WINDOW, WITH_BASE)
            rate = tl.maximum(base + offset, floor)
            deviance += misfit(data, rate, seen, POISSON)
    if POISSON:
        deviance = 2.0 * deviance
    return deviance


@triton.jit
def _best_offset(
    offset, window, floor, WINDOW: tl.constexpr, WITH_BASE: tl.constexpr, LANES: tl.constexpr
):
    """Return the most likely offset, by Fisher scoring from a start above or at zero."""
    going, step = 1, 0
    while going > 0:
        pull = tl.zeros((LANES,), tl.float32)
        information = tl.full((LANES,), 1e-30, tl.float32)
        for j in range(WINDOW):
            for i in range(WINDOW):
                data, base, seen = pixel(window, j, i, WINDOW, WITH_BASE)
                rate = tl.maximum(base + offset, floor)
                rate = tl.maximum(rate, 1e-30)
                pull += seen * (data / rate - 1.0)
                information += seen / rate
        change = tl.maximum(pull / information, -0.9 * offset)
        offset = offset + change
        step += 1
        moving = tl.abs(change) > 1e-6 * offset
        going = tl.sum(moving.to(tl.int32)) * (BLANK_STEPS - step > 0)
    return offset
