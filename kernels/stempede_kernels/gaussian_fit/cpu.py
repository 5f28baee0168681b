"""Fits of Gaussians for host arrays: numba, parallel over blocks of fits."""

from typing import Any

import numpy as np

from stempede_kernels.gaussian_fit.conclude import (
    DEVIANCE,
    PIXELS,
    RATIO,
    Noise,
    blank_deviance,
    conclude,
)
from stempede_kernels.gaussian_fit.moments import (
    FLOOR,
    borrow_moments,
    deviance,
    gather,
    moments,
    own_deviance,
    rate,
)
from stempede_kernels.gaussian_fit.plan import Answer, Rule, Task
from stempede_kernels.gaussian_fit.separable import products, pulls
from stempede_kernels.gaussian_fit.system import (
    UPRIGHT,
    assemble,
    borrow_system,
    find_step,
    lead,
    list_free,
    propose,
    relax,
    system,
)
from stempede_kernels.gaussian_fit.window import (
    add_to_base,
    borrow,
    borrow_scratch,
    cut,
    draw,
    plain,
    scratch,
)
from stempede_kernels.threads import spread

CONVERGED, MAX_ITERATIONS, SINGULAR, OUT_OF_WINDOW = 1, 2, 3, 4
BLOCK = 64
# neighbours below this share of the offset disturb no pixel
FAINT = 0.1
# an amplitude below this share of its start has vanished, and the position with it
VANISHED = 1e-6


def fit(images: Any, task: Task, rule: Rule, result: Answer) -> None:
    """Run the chosen fits on ``images`` (b, y, x) float32; ``plan`` describes the arrays.

    Raises
    ------
    ValueError
        If an array is not contiguous: views are borrowed without their strides.
    """
    if not all(array.flags.c_contiguous for array in (images, *task, *result)):
        raise ValueError("all arrays must be C-contiguous; pass numpy.ascontiguousarray of them")
    spread(_fit_block, len(task.chosen), images, task, rule, result, at_once=BLOCK)


@plain
def _fit_block(begin, end, images, task, rule, result):
    own_s, own_m, own_e = scratch(rule.window), moments(), system()
    s, m, e = borrow_scratch(own_s), borrow_moments(own_m), borrow_system(own_e)
    pixels, work, into = borrow(images), _borrow_task(task), _borrow_answer(result)
    for place in range(begin, end):
        _fit_one(pixels, work.chosen[place], work, rule, into, s, m, e)
    # a last use of what was borrowed keeps it until here
    own_s.data[0] = own_m.two[0, 0] = own_e.step[0] = 0.0


@plain
def _borrow_task(task):
    return Task(
        borrow(task.chosen),
        borrow(task.frame),
        borrow(task.middle),
        borrow(task.first),
        borrow(task.beside),
        borrow(task.known),
        borrow(task.variance),
        borrow(task.shape_covariance),
    )


@plain
def _borrow_answer(result):
    return Answer(
        borrow(result.theta),
        borrow(result.errors),
        borrow(result.results),
        borrow(result.pooled),
        borrow(result.state),
        borrow(result.iterations),
    )


@plain
def _fit_one(images, f, task, rule, result, s, m, e):
    theta, middle, row = result.theta[f], task.middle[f], result.results[f]
    frame = task.frame[f]
    box = cut(images[frame], int(middle[0]), int(middle[1]), rule.window, s)
    if task.first[f] < task.first[f + 1]:
        _add_neighbours(f, task, box, s)
        _leave_to_neighbours(theta, rule.dominance, box, s)
    noise = _judge(box, s, rule.poisson, task.variance[frame])
    result.errors[f] = np.nan
    row[:] = np.nan
    row[PIXELS] = noise.pixels
    first = theta[2]
    state, iterations, dev = _refine(theta, middle, box, s, m, e, rule, noise)
    if not theta[2] > VANISHED * first:
        state = SINGULAR
    result.state[f], result.iterations[f] = state, iterations
    if state == SINGULAR:
        return
    outside_y = abs(theta[0] - (box.y + 0.5 * (box.height - 1))) > 0.5 * box.height
    if outside_y or abs(theta[1] - (box.x + 0.5 * (box.width - 1))) > 0.5 * box.width:
        result.state[f] = OUT_OF_WINDOW
    if not conclude(f, dev, rule, task, result, e):
        result.state[f] = SINGULAR
        return
    blank = blank_deviance(theta[6], rule.offset, noise, box, s)
    if noise.variance == noise.variance:
        scale = 1.0 if rule.poisson else noise.variance
        row[DEVIANCE], row[RATIO] = dev / scale, (blank - dev) / scale
    else:
        row[DEVIANCE], row[RATIO] = dev, noise.pixels * np.log(blank / dev)


@plain
def _add_neighbours(f, task, box, s):
    for pair in range(task.first[f], task.first[f + 1]):
        other = task.known[task.beside[pair]]
        if other[2] > 0.0:
            draw(other, box, s)
            add_to_base(other[2], box, s)


@plain
def _leave_to_neighbours(theta, dominance, box, s):
    """Leave out pixels where the neighbours rise above the background and drown the fit's own."""
    draw(theta, box, s)
    for k in range(box.height * box.stride):
        faint = s.base[k] <= FAINT * theta[6]
        if not (faint or theta[2] * s.bell[k] >= dominance * s.base[k]):
            s.seen[k] = 0.0
            s.data[k] = 0.0


@plain
def _judge(box, s, poisson, variance):
    """Add read noise to both sides of a Poisson likelihood; sum up what its terms need."""
    total = pixels = 0.0
    shift = variance if poisson else 0.0
    for k in range(box.height * box.stride):
        total += s.data[k]
        pixels += s.seen[k]
        s.data[k] += s.seen[k] * shift
        s.base[k] += shift
    mean = max(total / max(pixels, 1.0), 0.0) + shift
    floor = FLOOR * mean if poisson else -np.inf
    own = own_deviance(box, s) if poisson else 0.0
    return Noise(poisson, floor, own, variance, pixels)


@plain
def _refine(theta, middle, box, s, m, e, rule, noise):
    """Fisher scoring with damping; a step that does not lower the deviance is not taken."""
    n = list_free(rule.shape, rule.offset, rule.plane, e.free)
    finite = np.isfinite(theta.sum()) and theta[2] > 0.0
    if not finite or noise.pixels <= n or (rule.poisson and noise.floor <= 0.0):
        return SINGULAR, 0, np.nan
    upright = not (rule.poisson or rule.plane) and rule.shape <= UPRIGHT and theta[4] == 0.0
    simple = upright and noise.pixels == box.height * box.width
    dev = _evaluate(theta, middle, box, s, m, rule, noise, simple)
    _gather(theta, box, s, m, rule, simple)
    assemble(theta, middle, m, rule.shape, e)
    damping, share_taken, state, iteration = 1e-3, 1.0, MAX_ITERATIONS, 0
    while iteration < rule.iterations:
        iteration += 1
        n = list_free(rule.shape, rule.offset, rule.plane, e.free)
        if not find_step(theta, n, damping, rule.poisson, e):
            damping = max(10.0 * damping, 1e-2)
            if damping > 1e6:
                return SINGULAR, iteration, dev
            continue
        before = lead(share_taken, e)
        length = propose(theta, rule.window, rule.shape, e)
        tried = _evaluate(e.trial, middle, box, s, m, rule, noise, simple)
        if tried <= dev + 1e-12 * abs(dev):
            theta[:] = e.trial
            dev = tried
            _gather(theta, box, s, m, rule, simple)
            assemble(theta, middle, m, rule.shape, e)
            damping *= 0.1
            share_taken = relax(share_taken, before, lead(1.0, e))
        else:
            damping = max(10.0 * damping, 1e-2)
            share_taken *= 0.5
        if length <= rule.tolerance:
            state = CONVERGED
            break
    return state, iteration, dev


@plain
def _evaluate(theta, middle, box, s, m, rule, noise, simple):
    draw(theta, box, s)
    if simple:
        return pulls(theta, box, s, m)
    rate(theta, middle, box, s, noise.floor)
    return deviance(box, s, rule.poisson, noise.own)


@plain
def _gather(theta, box, s, m, rule, simple):
    if simple:
        products(theta, box, s, m)
    else:
        gather(theta, box, s, rule.poisson, rule.plane, m)
