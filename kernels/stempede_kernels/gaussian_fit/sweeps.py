"""Sweeps over all fits: neighbours become known background, groups share their shape.

Host code over small arrays; the fits themselves run in ``cpu`` or ``gpu``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.gaussian_fit.pairs import pairs_in_reach
from stempede_kernels.gaussian_fit.plan import Answer, Rule, Task, answer
from stempede_kernels.gaussian_fit.shared import share_shape, start_shapes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Engine = Callable[[Any, Task, Rule, Answer], None]

# a neighbour that moved less leaves its surroundings as they are
SETTLED_PX = 0.01
SETTLED_SHARE = 0.01
# a Gaussian ends where it falls to exp(-4.5² / 2) = 4e-5
REACH_SIGMA = 4.5
FAILED = (3, 4)
# what a fit leaves to its neighbours: at first, while starts are rough, all that is theirs
FIRST_DOMINANCE, DOMINANCE = 1.0, 0.1


class Input(NamedTuple):
    """What is fitted: images, and per fit its frame, start and group; noise per frame."""

    images: Any
    frame: Ints
    theta: Floats
    variance: Floats
    group: Ints | None


def run(fit: Engine, given: Input, rule: Rule, neighbours: bool, sweeps: int) -> tuple[Answer, int]:  # noqa: FBT001
    """Fit all windows until nothing moves; return the results and the number of sweeps."""
    theta, group, n = given.theta, given.group, len(given.theta)
    result = answer(theta if group is None else start_shapes(theta, group))
    start, middle = result.theta.copy(), np.rint(np.nan_to_num(np.ascontiguousarray(theta[:, :2])))
    first, beside = pairs_in_reach(given.frame, start, rule.window, REACH_SIGMA, neighbours)
    owner = np.repeat(np.arange(n), np.diff(first))
    spread = np.zeros((n, 3, 3))
    known = start
    chosen = np.arange(n)
    sweep = 0
    while len(chosen) and sweep < sweeps:
        sweep += 1
        task = Task(chosen, given.frame, middle, first, beside, known, given.variance, spread)
        dominance = FIRST_DOMINANCE if sweep == 1 else DOMINANCE
        fit(given.images, task, rule._replace(dominance=dominance), result)
        again = np.zeros(n, bool)
        if group is not None:
            spread, again = share_shape(result, group, rule.pooled, rule.window)
        drawn = _as_drawn(result)
        again[owner[_moved(known, drawn)[beside]]] = True
        known = drawn
        lost = again & np.isin(result.state, FAILED)
        result.theta[lost] = start[lost]
        _recentre(result.theta, middle, again)
        chosen = np.flatnonzero(again)
    if group is not None:
        every = np.flatnonzero(~np.isin(result.state, FAILED))
        task = Task(every, given.frame, middle, first, beside, known, given.variance, spread)
        _evaluate(fit, given.images, task, rule, result)
    return result, sweep


def _evaluate(fit: Engine, images: Any, task: Task, rule: Rule, result: Answer) -> None:
    """Fill errors for the final shape, keeping what was found."""
    state, iterations = result.state.copy(), result.iterations.copy()
    fit(images, task, rule._replace(iterations=0, dominance=DOMINANCE), result)
    singular = result.state == FAILED[0]
    result.state[:] = np.where(singular, result.state, state)
    result.iterations[:] = iterations


def _as_drawn(result: Answer) -> Floats:
    """Return the Gaussians as neighbours see them: what was lost is not drawn."""
    drawn: Floats = result.theta.copy()
    drawn[np.isin(result.state, FAILED), 2] = 0.0
    return drawn


def _moved(before: Floats, after: Floats) -> NDArray[np.bool_]:
    """Say which Gaussians changed enough to be felt by their neighbours."""
    with np.errstate(invalid="ignore", divide="ignore"):
        place = np.abs(after[:, :2] - before[:, :2]).max(axis=1) > SETTLED_PX
        scale = np.maximum(np.abs(before[:, 2]), np.abs(after[:, 2]))
        height = np.abs(after[:, 2] - before[:, 2]) > SETTLED_SHARE * scale
        wide = np.maximum(before[:, 3], before[:, 5])[:, None]
        width = (np.abs(after[:, 3:6] - before[:, 3:6]) > 2 * SETTLED_SHARE * wide).any(axis=1)
    moved: NDArray[np.bool_] = place | height | width
    return moved


def _recentre(theta: Floats, middle: Floats, again: NDArray[np.bool_]) -> None:
    """Put windows back over Gaussians that moved more than a pixel from their middle."""
    away = again & (np.abs(theta[:, :2] - middle).max(axis=1) > 1.0)
    shift = np.rint(theta[away, :2]) - middle[away]
    # the offset is that of the plane in the middle of the window
    theta[away, 6] += (theta[away, 7:9] * shift).sum(axis=1)
    middle[away] += shift
