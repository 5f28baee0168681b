"""Errors of fits that ran on a GPU, worked out on the host from their moments (numba)."""

from typing import Any

import numpy as np
from numba import njit

from stempede_kernels.gaussian_fit.conclude import DEVIANCE, PIXELS, RATIO, conclude
from stempede_kernels.gaussian_fit.cpu import OUT_OF_WINDOW, SINGULAR, VANISHED
from stempede_kernels.gaussian_fit.moments import moments as new_moments
from stempede_kernels.gaussian_fit.plan import Answer, Rule, Task
from stempede_kernels.gaussian_fit.system import assemble
from stempede_kernels.gaussian_fit.system import system as new_system


def finish(
    fitted: Any,
    moments: Any,
    ends: Any,
    shape: tuple[int, ...],
    task: Task,
    rule: Rule,
    result: Answer,
) -> None:
    """Write what a GPU found into ``result``, with errors and what groups pool.

    Parameters
    ----------
    fitted : (m, 9) float64 array
    moments : (40, m) float32 array
        In the order of `lanes`.
    ends : (5, m) float32 array
        Deviance, deviance without the column, pixels, state, iterations.
    shape : (b, height, width)
        Of the frames.
    """
    work = moments.astype(np.float64), ends.astype(np.float64)
    _finish(fitted, *work, (int(shape[1]), int(shape[2])), task, rule, result)


@njit(cache=True, nogil=True, error_model="numpy")
def _finish(fitted, moments, ends, shape, task, rule, result):
    m, e = new_moments(), new_system()
    for place in range(len(task.chosen)):
        f = task.chosen[place]
        dev, blank, pixels = ends[0, place], ends[1, place], ends[2, place]
        row, theta = result.results[f], fitted[place]
        result.errors[f] = np.nan
        row[:] = np.nan
        row[PIXELS] = pixels
        result.state[f], result.iterations[f] = int(ends[3, place]), int(ends[4, place])
        if not theta[2] > VANISHED * result.theta[f, 2]:
            result.state[f] = SINGULAR
        result.theta[f] = theta
        if result.state[f] == SINGULAR:
            continue
        if _is_outside(theta, task.middle[f], rule.window, shape):
            result.state[f] = OUT_OF_WINDOW
        _unpack(moments[:, place], m)
        assemble(theta, task.middle[f], m, rule.shape, e)
        variance = task.variance[task.frame[f]]
        if not conclude(f, dev, rule, task, result, e):
            result.state[f] = SINGULAR
            continue
        if rule.poisson or variance == variance:
            scale = 1.0 if rule.poisson else variance
            row[DEVIANCE], row[RATIO] = dev / scale, (blank - dev) / scale
        else:
            row[DEVIANCE], row[RATIO] = dev, pixels * np.log(blank / dev)


@njit(cache=True, nogil=True)
def _is_outside(theta, middle, window, shape):
    """Say whether a fit left the part of its window that lies inside the frame."""
    for axis in range(2):
        low = max(middle[axis] - window // 2, 0.0)
        high = min(middle[axis] + window // 2, shape[axis] - 1.0)
        if abs(theta[axis] - 0.5 * (low + high)) > 0.5 * (high - low + 1.0):
            return True
    return False


@njit(cache=True, nogil=True)
def _unpack(flat, m):
    """Put the moments of one fit back into their tables, each the corner left of a diagonal."""
    k = 0
    for table in (m.two, m.one, m.zero, m.pull_one, m.pull_zero):
        for i in range(len(table)):
            for j in range(len(table) - i):
                table[i, j] = flat[k]
                k += 1
