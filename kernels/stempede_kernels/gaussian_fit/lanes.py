"""Parts of the Triton fit: what one lane works out for its window.

A lane holds everything of its fit in registers, as tuples of scalars: parameters in the order of
`system`, moments in the order of `moments` (two, one, zero, pull_one, pull_zero, each by rising
power of dy, then of dx), the system as the lower triangle of the free parameters by rows, then
the gradient. Loops over them unroll.
"""

import triton
import triton.language as tl

# powers of dy and dx that the derivatives by y, x, amplitude, yy, yx, xx are made of
POWER_Y = tl.constexpr((1, 0, 0, 2, 1, 0))
POWER_X = tl.constexpr((0, 1, 0, 0, 1, 2))
# how many powers two, one, zero, pull_one and pull_zero have, and where they start in a row's sums
POWERS = tl.constexpr((5, 4, 3, 3, 2))
ROW = tl.constexpr((0, 5, 9, 12, 15))
# where each set of moments starts
START = tl.constexpr((0, 15, 25, 31, 37))
ONE = tl.constexpr(15)
ZERO = tl.constexpr(25)
PULL_ONE = tl.constexpr(31)
PULL_ZERO = tl.constexpr(37)
FLOOR_SHARE = tl.constexpr(1e-6)


@triton.jit
def where_all(condition, yes, no):
    """Choose between two tuples."""
    out = ()
    for k in tl.static_range(len(no)):
        out = out + (tl.where(condition, yes[k], no[k]),)
    return out


@triton.jit
def load_all(ptr, lane, n, there, N: tl.constexpr):
    """Load N numbers per lane, each stored for all n lanes in turn; 1 where there is no fit."""
    out = ()
    for k in tl.static_range(N):
        out = out + (tl.load(ptr + k * n + lane, mask=there, other=1.0),)
    return out


@triton.jit
def store_all(ptr, values, lane, n, there):
    """Store a tuple as `load_all` reads it."""
    for k in tl.static_range(len(values)):
        tl.store(ptr + k * n + lane, values[k], mask=there)


@triton.jit
def zeros(N: tl.constexpr, LANES: tl.constexpr):
    """Return N zeros per lane."""
    out = ()
    for _ in tl.static_range(N):
        out = out + (tl.zeros((LANES,), tl.float32),)
    return out


@triton.jit
def pixel(window, j, i, WINDOW: tl.constexpr, WITH_BASE: tl.constexpr):
    """Return data, base and weight (0 or 1) of a pixel of every lane's window."""
    corner, base_ptr, shift, there = window
    image_ptr, start, top, left, height, width = corner
    y, x = top + j, left + i
    inside = there & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    value = tl.load(image_ptr + start + y.to(tl.int64) * width + x, mask=inside, other=0.0)
    seen = inside & (tl.abs(value) < float("inf"))
    base = shift
    if WITH_BASE:
        beside = tl.load(base_ptr + j * WINDOW + i, mask=there, other=0.0)
        seen = seen & (beside == beside)
        base = shift + tl.where(seen, beside, 0.0)
    return tl.where(seen, value + shift, 0.0), base, seen.to(tl.float32)


@triton.jit
def pixels_and_floor(
    window,
    WINDOW: tl.constexpr,
    WITH_BASE: tl.constexpr,
    POISSON: tl.constexpr,
    LANES: tl.constexpr,
):
    """Return the number of pixels seen and the smallest rate."""
    n = tl.zeros((LANES,), tl.float32)
    total = tl.zeros((LANES,), tl.float32)
    for j in range(WINDOW):
        for i in range(WINDOW):
            data, _, seen = pixel(window, j, i, WINDOW, WITH_BASE)
            n += seen
            total += data
    shift = window[2]
    mean = tl.maximum(total / tl.maximum(n, 1.0) - shift, 0.0) + shift
    floor = FLOOR_SHARE * mean
    if not POISSON:
        floor = mean * 0.0 - float("inf")
    return n, floor


@triton.jit
def misfit(data, rate, seen, POISSON: tl.constexpr):
    """Return half the deviance of a pixel, or its square."""
    if POISSON:
        # a count of zero leaves the rate alone; a negative one, of read noise, has no own optimum
        own = tl.where(data > 0.0, data, 1.0)
        value = seen * (rate - data) - tl.where(data == 0.0, 0.0, data * tl.log(rate / own))
    else:
        value = seen * (data - rate) * (data - rate)
    return value


@triton.jit
def evaluate(
    theta,
    window,
    floor,
    WINDOW: tl.constexpr,
    WITH_BASE: tl.constexpr,
    POISSON: tl.constexpr,
    LANES: tl.constexpr,
):
    """Return deviance and moments at theta, in one pass over the pixels."""
    deviance = tl.zeros((LANES,), tl.float32)
    moments = zeros(40, LANES)
    for j in range(WINDOW):
        dy = j - WINDOW // 2 - theta[0]
        level = theta[6] + theta[7] * (j - WINDOW // 2)
        t = zeros(17, LANES)
        for i in range(WINDOW):
            data, base, seen = pixel(window, j, i, WINDOW, WITH_BASE)
            dx = i - WINDOW // 2 - theta[1]
            q = theta[3] * dy * dy + dx * (2.0 * theta[4] * dy + theta[5] * dx)
            bell = tl.exp(-0.5 * q)
            rate = base + theta[2] * bell + level + theta[8] * (i - WINDOW // 2)
            rate = tl.maximum(rate, floor)
            deviance += misfit(data, rate, seen, POISSON)
            t = _add_pixel(t, data, rate, seen, bell, dx, POISSON)
        moments = _add_row(moments, t, dy)
    if POISSON:
        deviance = 2.0 * deviance
    return deviance, moments


@triton.jit
def _add_pixel(t, data, rate, seen, bell, dx, POISSON: tl.constexpr):
    """Add a pixel to the sums of its row: powers of dx of five products."""
    weight, pull = seen, seen * (data - rate)
    if POISSON:
        weight, pull = weight / rate, pull / rate
    one, drawn = weight * bell, pull * bell
    products = (one * bell, one, weight, drawn, pull)
    out = ()
    for p in tl.static_range(5):
        value = products[p]
        for k in tl.static_range(tl.constexpr(POWERS[p])):
            out = out + (t[ROW[p] + k] + value,)
            value = value * dx
    return out


@triton.jit
def _add_row(moments, t, dy):
    """Add the sums of a row, weighed by powers of dy, to the moments."""
    out = ()
    for p in tl.static_range(5):
        power = dy * 0.0 + 1.0
        for i in tl.static_range(tl.constexpr(POWERS[p])):
            for k in tl.static_range(tl.constexpr(POWERS[p] - i)):
                here = moment(moments, START[p], POWERS[p] - 1, i, k)
                out = out + (here + power * t[ROW[p] + k],)
            power = power * dy
    return out


@triton.jit
def moment(moments, first: tl.constexpr, top: tl.constexpr, i: tl.constexpr, k: tl.constexpr):
    """Return a moment of a set that starts at `first` and has powers up to `top`."""
    return moments[first + i * (top + 1) - (i * (i - 1)) // 2 + k]


@triton.jit
def _raw(moments, a: tl.constexpr, b: tl.constexpr):
    """Return the sum of the monomials of Gaussian parameters a and b."""
    return moment(moments, 0, 4, POWER_Y[a] + POWER_Y[b], POWER_X[a] + POWER_X[b])


@triton.jit
def _half(theta, moments, p: tl.constexpr, b: tl.constexpr):
    """Return the sum of derivative p, a Gaussian parameter, with monomial b."""
    amplitude = theta[2]
    if p == 0:
        value = amplitude * (theta[3] * _raw(moments, 0, b) + theta[4] * _raw(moments, 1, b))
    elif p == 1:
        value = amplitude * (theta[4] * _raw(moments, 0, b) + theta[5] * _raw(moments, 1, b))
    elif p == 2:
        value = _raw(moments, 2, b)
    elif p == 4:
        value = -amplitude * _raw(moments, 4, b)
    else:
        value = -0.5 * amplitude * _raw(moments, p, b)
    return value


@triton.jit
def _both(theta, moments, p: tl.constexpr, q: tl.constexpr):
    """Return the sum of derivatives p and q, Gaussian parameters both."""
    amplitude = theta[2]
    if q == 0:
        u, v = _half(theta, moments, p, 0), _half(theta, moments, p, 1)
        value = amplitude * (theta[3] * u + theta[4] * v)
    elif q == 1:
        u, v = _half(theta, moments, p, 0), _half(theta, moments, p, 1)
        value = amplitude * (theta[4] * u + theta[5] * v)
    elif q == 2:
        value = _half(theta, moments, p, 2)
    elif q == 4:
        value = -amplitude * _half(theta, moments, p, 4)
    else:
        value = -0.5 * amplitude * _half(theta, moments, p, q)
    return value


@triton.jit
def _ground(
    theta, moments, b: tl.constexpr, a: tl.constexpr, first: tl.constexpr, top: tl.constexpr
):
    """Return the sum of background derivative b (6, 7, 8) with monomial a of a set."""
    i: tl.constexpr = POWER_Y[a]
    k: tl.constexpr = POWER_X[a]
    plain = moment(moments, first, top, i, k)
    if b == 6:
        value = plain
    elif b == 7:
        value = moment(moments, first, top, i + 1, k) + theta[0] * plain
    else:
        value = moment(moments, first, top, i, k + 1) + theta[1] * plain
    return value


@triton.jit
def _mixed(
    theta, moments, b: tl.constexpr, p: tl.constexpr, first: tl.constexpr, top: tl.constexpr
):
    """Return the sum of background derivative b with Gaussian derivative p."""
    amplitude = theta[2]
    if p == 0:
        u = _ground(theta, moments, b, 0, first, top)
        value = amplitude * (theta[3] * u + theta[4] * _ground(theta, moments, b, 1, first, top))
    elif p == 1:
        u = _ground(theta, moments, b, 0, first, top)
        value = amplitude * (theta[4] * u + theta[5] * _ground(theta, moments, b, 1, first, top))
    elif p == 2:
        value = _ground(theta, moments, b, 2, first, top)
    elif p == 4:
        value = -amplitude * _ground(theta, moments, b, 4, first, top)
    else:
        value = -0.5 * amplitude * _ground(theta, moments, b, p, first, top)
    return value


@triton.jit
def _level(theta, moments, b: tl.constexpr, c: tl.constexpr):
    """Return the sum of background derivatives b >= c."""
    if c == 6:
        value = _ground(theta, moments, b, 2, ZERO, 2)
    elif b == 7:
        z = moment(moments, ZERO, 2, 1, 0)
        plain = moment(moments, ZERO, 2, 0, 0)
        value = moment(moments, ZERO, 2, 2, 0) + theta[0] * (2.0 * z + theta[0] * plain)
    elif c == 7:
        zy, zx = moment(moments, ZERO, 2, 1, 0), moment(moments, ZERO, 2, 0, 1)
        plain = moment(moments, ZERO, 2, 0, 0)
        value = moment(moments, ZERO, 2, 1, 1) + theta[1] * zy + theta[0] * (zx + theta[1] * plain)
    else:
        z = moment(moments, ZERO, 2, 0, 1)
        plain = moment(moments, ZERO, 2, 0, 0)
        value = moment(moments, ZERO, 2, 0, 2) + theta[1] * (2.0 * z + theta[1] * plain)
    return value


@triton.jit
def _entry(theta, moments, p: tl.constexpr, q: tl.constexpr, SHAPE: tl.constexpr):
    """Return an entry p >= q of the Fisher matrix; a circular Gaussian's yy stands for both."""
    if q >= 6:
        value = _level(theta, moments, p, q)
    elif p >= 6:
        value = _mixed(theta, moments, p, q, ONE, 3)
        if SHAPE == 1 and q == 3:
            value += _mixed(theta, moments, p, 5, ONE, 3)
    else:
        value = _both(theta, moments, p, q)
        if SHAPE == 1 and p == 3:
            value += _both(theta, moments, 5, q)
            if q == 3:
                value += _both(theta, moments, 5, 3) + _both(theta, moments, 5, 5)
    return value


@triton.jit
def _slope(theta, moments, p: tl.constexpr, SHAPE: tl.constexpr):
    """Return an entry of the gradient."""
    if p >= 6:
        value = _ground(theta, moments, p, 2, PULL_ZERO, 1)
    else:
        value = _mixed_pull(theta, moments, p)
        if SHAPE == 1 and p == 3:
            value += _mixed_pull(theta, moments, 5)
    return value


@triton.jit
def _mixed_pull(theta, moments, p: tl.constexpr):
    """Return the sum of the residuals with Gaussian derivative p."""
    return _mixed(theta, moments, 6, p, PULL_ONE, 2)


@triton.jit
def assemble(theta, moments, FREE: tl.constexpr, SHAPE: tl.constexpr):
    """Return the lower triangle of the free parameters by rows, then their gradient."""
    out = ()
    for a in tl.static_range(len(FREE)):
        for b in tl.static_range(a + 1):
            out = out + (_entry(theta, moments, FREE[a], FREE[b], SHAPE),)
    for a in tl.static_range(len(FREE)):
        out = out + (_slope(theta, moments, FREE[a], SHAPE),)
    return out
