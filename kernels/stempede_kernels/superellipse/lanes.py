"""Parts of the Triton fit: distances of outline points, normal equations, steps.

The points of an outline lie across the lanes of a program; parameters, system and step are
tuples of float64 scalars, so that a device gives what the host gives.
"""

import triton
import triton.language as tl

N_FREE = tl.constexpr(6)
N_SYSTEM = tl.constexpr(27)
LEAST_SQUARE = tl.constexpr(1e-8)


@triton.jit
def where_all(condition, yes, no):
    """Choose between two tuples."""
    out = ()
    for k in tl.static_range(len(no)):
        out = out + (tl.where(condition, yes[k], no[k]),)
    return out


@triton.jit
def cos_sin(angle):
    """Return cosine and sine by series at a quarter of the angle.

    The library's functions keep an array in local memory for angles of any size.
    """
    rest = angle - tl.floor(angle * 0.15915494309189535 + 0.5) * 6.283185307179586
    q = 0.25 * rest
    z = q * q
    high = 1.0 / 6227020800.0 - z / 1307674368000.0
    high = 1.0 / 362880.0 - z * (1.0 / 39916800.0 - z * high)
    sin = q * (1.0 - z * (1.0 / 6.0 - z * (1.0 / 120.0 - z * (1.0 / 5040.0 - z * high))))
    # a quarter of at most half a turn: its cosine is not negative
    cos = tl.sqrt(1.0 - sin * sin)
    sin, cos = 2.0 * sin * cos, 1.0 - 2.0 * sin * sin
    return 1.0 - 2.0 * sin * sin, 2.0 * sin * cos


@triton.jit
def turned(dy, dx, square, order, turn_c, turn_s):
    """Return cosine and sine of `order` times the direction, less that of the angle."""
    scale = 1.0 / tl.sqrt(square)
    ux, uy = dx * scale, dy * scale
    re, im = ux, uy
    for _ in range(1, order):
        re, im = re * ux - im * uy, re * uy + im * ux
    return re * turn_c + im * turn_s, im * turn_c - re * turn_s


@triton.jit
def log_terms(cos, log_l):
    """Return log(L |cos|) and log |sin| of half an angle, and both squares."""
    c2 = tl.maximum(0.5 * (1.0 + cos), LEAST_SQUARE)
    s2 = tl.maximum(0.5 * (1.0 - cos), LEAST_SQUARE)
    return 0.5 * tl.log(c2) + log_l, 0.5 * tl.log(s2), c2, s2


@triton.jit
def evaluate(point_ptr, first, last, theta, order, BLOCK: tl.constexpr):
    """Return the weighted sum of squares, the total weight, and the system (27 scalars)."""
    turn_c, turn_s = cos_sin(order * theta[3])
    p = tl.exp(theta[4])
    total = tl.zeros((BLOCK,), tl.float64)
    length = tl.zeros((BLOCK,), tl.float64)
    sums = ()
    for _ in tl.static_range(N_SYSTEM):
        sums = sums + (tl.zeros((BLOCK,), tl.float64),)
    for start in range(first, last, BLOCK):
        point = start + tl.arange(0, BLOCK).to(tl.int64)
        there = point < last
        y = tl.load(point_ptr + 3 * point, mask=there, other=1.0).to(tl.float64)
        x = tl.load(point_ptr + 3 * point + 1, mask=there, other=1.0).to(tl.float64)
        weight = tl.load(point_ptr + 3 * point + 2, mask=there, other=0.0).to(tl.float64)
        dy, dx = y - theta[0], x - theta[1]
        square = tl.maximum(dy * dy + dx * dx, 1e-6)
        cos, sin = turned(dy, dx, square, order, turn_c, turn_s)
        log_c, log_s, c2, s2 = log_terms(cos, theta[5])
        small = tl.exp(-p * tl.abs(log_c - log_s))
        lead = 1.0 / (1.0 + small)
        share = tl.where(log_c > log_s, lead, small * lead)
        mean = tl.maximum(log_c, log_s) + tl.log(1.0 + small) / p
        slope = 0.25 * order * sin * (share / c2 - (1.0 - share) / s2)
        scale = tl.sqrt(square / (1.0 + slope * slope))
        misfit = scale * (0.5 * tl.log(square) - theta[2] + mean)
        rows = (
            scale * (-dy + slope * dx) / square,
            scale * (-dx - slope * dy) / square,
            -scale,
            scale * slope,
            -scale * (mean - share * log_c - (1.0 - share) * log_s),
            scale * share,
        )
        total += weight * misfit * misfit
        length += weight
        sums = _added(sums, rows, weight, misfit)
    system = ()
    for k in tl.static_range(N_SYSTEM):
        system = system + (tl.sum(sums[k], axis=0),)
    return tl.sum(total, axis=0), tl.sum(length, axis=0), system


@triton.jit
def _added(sums, rows, weight, misfit):
    """Add points to the lower triangle of the matrix, by rows, and to the gradient."""
    out = ()
    for a in tl.static_range(N_FREE):
        for b in tl.static_range(a + 1):
            out = out + (sums[a * (a + 1) // 2 + b] + weight * rows[a] * rows[b],)
    for a in tl.static_range(N_FREE):
        out = out + (sums[21 + a] + weight * rows[a] * misfit,)
    return out


@triton.jit
def solve(system, damping):
    """Return whether the damped system is positive, and its step, by Cholesky."""
    factor = ()
    positive = damping > 0.0
    for a in tl.static_range(N_FREE):
        for b in tl.static_range(a + 1):
            value = system[a * (a + 1) // 2 + b]
            if a == b:
                value = value * (1.0 + damping) + 1e-9 * system[5]
            for c in tl.static_range(b):
                value -= factor[a * (a + 1) // 2 + c] * factor[b * (b + 1) // 2 + c]
            if a == b:
                positive = positive & (value > 0.0)
                factor = factor + (tl.sqrt(tl.where(value > 0.0, value, 1.0)),)
            else:
                factor = factor + (value / factor[b * (b + 1) // 2 + b],)
    forward = ()
    for a in tl.static_range(N_FREE):
        value = -system[21 + a]
        for c in tl.static_range(a):
            value -= factor[a * (a + 1) // 2 + c] * forward[c]
        forward = forward + (value / factor[a * (a + 1) // 2 + a],)
    # from the last to the first: `back` holds step 5, 4, …
    back = ()
    for k in tl.static_range(N_FREE):
        value = forward[5 - k]
        for j in tl.static_range(k):
            value -= factor[(5 - j) * (6 - j) // 2 + 5 - k] * back[j]
        back = back + (value / factor[(5 - k) * (6 - k) // 2 + 5 - k],)
    return positive, (back[5], back[4], back[3], back[2], back[1], back[0])


@triton.jit
def bounded(theta, step, order, low, high):
    """Return theta after a step, cut to what a shape can stand and to the bounds."""
    radius = tl.exp(theta[2])
    longest = (0.3 * radius, 0.3 * radius, radius * 0.0 + 0.5, 0.6 / order, 1.0, 0.7)
    out = ()
    for a in tl.static_range(N_FREE):
        part = tl.minimum(tl.maximum(step[a], -longest[a]), longest[a])
        out = out + (tl.minimum(tl.maximum(theta[a] + part, low[a]), high[a]),)
    return out
