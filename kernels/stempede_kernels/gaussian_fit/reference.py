"""The fit in float64 NumPy, one window at a time, after the equations of the README."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.gaussian_fit.plan import Answer, Rule, Task

Floats = NDArray[np.float64]

CONVERGED, MAX_ITERATIONS, SINGULAR, OUT_OF_WINDOW = 1, 2, 3, 4
FLOOR = 1e-6
FAINT = 0.1
VANISHED = 1e-6
NARROWEST_PX = 0.3
LEAST_SHARE = 0.3
# places of the shape among the parameters, by kind: held, circular, upright, rotated
SHAPES: dict[int, list[int]] = {0: [], 1: [3], 2: [3, 5], 3: [3, 4, 5]}


class Window(NamedTuple):
    """Pixels of one fit as flat arrays, and how they are judged."""

    y: Floats
    x: Floats
    data: Floats
    base: Floats
    middle: Floats
    poisson: bool
    floor: float


def fit(images: Any, task: Task, rule: Rule, result: Answer) -> None:
    """Run the chosen fits; the same arguments and meaning as in ``cpu`` and ``gpu``."""
    for f in task.chosen:
        _fit_one(np.asarray(images[task.frame[f]], np.float64), int(f), task, rule, result)


def bell(theta: Floats, y: Floats, x: Floats) -> Floats:
    """Return the Gaussian of height 1."""
    dy, dx = y - theta[0], x - theta[1]
    form = theta[3] * dy**2 + 2 * theta[4] * dy * dx + theta[5] * dx**2
    values: Floats = np.exp(-0.5 * form)
    return values


def model(theta: Floats, w: Window) -> Floats:
    """Return the expected value of every pixel."""
    plane = theta[6] + theta[7] * (w.y - w.middle[0]) + theta[8] * (w.x - w.middle[1])
    values: Floats = np.maximum(w.base + theta[2] * bell(theta, w.y, w.x) + plane, w.floor)
    return values


def derivatives(theta: Floats, w: Window, circular: bool) -> Floats:  # noqa: FBT001
    """Return the derivative of every pixel by every parameter, ``(pixels, 9)``."""
    g, dy, dx = bell(theta, w.y, w.x), w.y - theta[0], w.x - theta[1]
    bright = theta[2] * g
    by = np.empty((len(g), 9))
    by[:, 0] = bright * (theta[3] * dy + theta[4] * dx)
    by[:, 1] = bright * (theta[4] * dy + theta[5] * dx)
    by[:, 2] = g
    by[:, 3] = -0.5 * bright * dy**2
    by[:, 4] = -bright * dy * dx
    by[:, 5] = -0.5 * bright * dx**2
    by[:, 6] = 1.0
    by[:, 7], by[:, 8] = w.y - w.middle[0], w.x - w.middle[1]
    if circular:
        by[:, 3] += by[:, 5]
    return by


def deviance(theta: Floats, w: Window) -> float:
    """Return the Poisson deviance, or the sum of squares."""
    mu = model(theta, w)
    if not w.poisson:
        return float(((w.data - mu) ** 2).sum())
    positive = np.maximum(w.data, 0.0)
    own = positive * np.log(np.where(w.data > 0, w.data, 1.0)) - positive
    return float(2 * (mu - w.data * np.log(mu) + own).sum())


def equations(theta: Floats, w: Window, kind: int) -> tuple[Floats, Floats]:
    """Return the Fisher information of all parameters and the gradient."""
    mu, by = model(theta, w), derivatives(theta, w, kind == 1)
    weight = 1 / mu if w.poisson else np.ones_like(mu)
    return (by * weight[:, None]).T @ by, by.T @ (weight * (w.data - mu))


def _fit_one(image: Floats, f: int, task: Task, rule: Rule, result: Answer) -> None:
    w = _cut(image, f, task, rule, result.theta[f])
    theta, variance = result.theta[f], task.variance[task.frame[f]]
    result.errors[f], result.results[f] = np.nan, np.nan
    result.results[f, 5] = len(w.data)
    first = theta[2]
    state, iterations, dev = _refine(theta, w, rule)
    if not theta[2] > VANISHED * first:
        state = SINGULAR
    result.state[f], result.iterations[f] = state, iterations
    if state == SINGULAR:
        return
    if _is_outside(theta, image.shape, task.middle[f], rule.window):
        result.state[f] = OUT_OF_WINDOW
    known = not np.isnan(variance)
    covariance, scale = _covariance(theta, dev, w, rule, variance)
    if covariance is None:
        result.state[f] = SINGULAR
        return
    result.errors[f], result.results[f, :3] = _translate(theta, covariance, rule.shape == 3)
    blank = _blank(theta[6], rule.offset, w)
    scale = scale if known else 1.0
    result.results[f, 3] = dev / scale
    ratio = (blank - dev) / scale if known else len(w.data) * np.log(blank / dev)
    result.results[f, 4] = ratio


def _cut(image: Floats, f: int, task: Task, rule: Rule, theta: Floats) -> Window:
    """Collect the pixels of the window that are inside, finite and the fit's own."""
    half = rule.window // 2
    middle = task.middle[f]
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float64)
    inside = (abs(y - middle[0]) <= half) & (abs(x - middle[1]) <= half) & np.isfinite(image)
    y, x, data = y[inside], x[inside], image[inside]
    base = np.zeros_like(data)
    neighbours = task.beside[task.first[f] : task.first[f + 1]]
    for other in task.known[neighbours]:
        base += max(other[2], 0.0) * bell(other, y, x)
    if len(neighbours):
        own = theta[2] * bell(theta, y, x) >= rule.dominance * base
        own |= base <= FAINT * theta[6]
        y, x, data, base = y[own], x[own], data[own], base[own]
    shift = task.variance[task.frame[f]] if rule.poisson else 0.0
    mean = max(data.mean() if len(data) else 0.0, 0.0) + shift
    floor = FLOOR * mean if rule.poisson else -np.inf
    return Window(y, x, data + shift, base + shift, middle, rule.poisson, floor)


def free_places(rule: Rule) -> list[int]:
    """List the free parameters."""
    offset, plane = [6] if rule.offset else [], [7, 8] if rule.plane else []
    return [0, 1, 2, *SHAPES[rule.shape], *offset, *plane]


def _refine(theta: Floats, w: Window, rule: Rule) -> tuple[int, int, float]:
    """Fisher scoring with Levenberg–Marquardt damping, in place."""
    free = free_places(rule)
    usable = np.isfinite(theta).all() and theta[2] > 0 and len(w.data) > len(free)
    if not usable or (w.poisson and w.floor <= 0):
        return SINGULAR, 0, np.nan
    damping, share, dev = 1e-3, 1.0, deviance(theta, w)
    for iteration in range(1, rule.iterations + 1):
        step = _step(theta, w, rule, free, damping)
        if step is None:
            damping = max(10 * damping, 1e-2)
            if damping > 1e6:
                return SINGULAR, iteration, dev
            continue
        step *= share
        before = step @ equations(theta, w, rule.shape)[1]
        trial, length = _bound(theta, step, rule)
        tried = deviance(trial, w)
        if tried <= dev + 1e-12 * abs(dev):
            theta[:], dev, damping = trial, tried, 0.1 * damping
            after = step @ equations(theta, w, rule.shape)[1]
            overshot = before > after
            found = share * before / (before - after) if overshot else 1.0
            share = float(np.clip(found, LEAST_SHARE, 1.0))
        else:
            damping, share = max(10 * damping, 1e-2), 0.5 * share
        if length <= rule.tolerance:
            return CONVERGED, iteration, dev
    return MAX_ITERATIONS, rule.iterations, dev


def _step(theta: Floats, w: Window, rule: Rule, free: list[int], damping: float) -> Floats | None:
    """Solve the damped equations; an offset that would fall below zero goes to zero."""
    information, gradient = equations(theta, w, rule.shape)
    step = _solve(information, gradient, free, damping)
    if step is not None and w.poisson and theta[6] + step[6] < 0:
        others = [p for p in free if p != 6]
        step = _solve(information, gradient + information[:, 6] * theta[6], others, damping)
        if step is not None:
            step[6] = -theta[6]
    return step


def _solve(information: Floats, gradient: Floats, free: list[int], damping: float) -> Floats | None:
    part = information[np.ix_(free, free)]
    diagonal = np.diag(part)
    if not (diagonal > 0).all():
        return None
    root = np.sqrt(diagonal)
    scaled = part / np.outer(root, root) + damping * np.eye(len(free))
    if np.linalg.eigvalsh(scaled)[0] <= 1e-13:
        return None
    step = np.zeros(9)
    step[free] = np.linalg.solve(scaled, gradient[free] / root) / root
    return step


def _bound(theta: Floats, step: Floats, rule: Rule) -> tuple[Floats, float]:
    """Return the step's end within bounds, and the step's length on the scales of the fit."""
    if rule.shape == 1:
        step[5] = step[3]
    trial = theta + step
    reach = max(1.0, 1 / np.sqrt(0.5 * (theta[3] + theta[5])))
    trial[:2] = theta[:2] + np.clip(step[:2], -reach, reach)
    trial[2] = max(trial[2], 0.1 * theta[2])
    if rule.shape:
        before = np.linalg.eigvalsh(_matrix(theta))
        values, vectors = np.linalg.eigh(_matrix(trial))
        low = max(0.25 * before[0], 1 / rule.window**2)
        high = min(4 * before[1], 1 / NARROWEST_PX**2)
        matrix = (vectors * np.clip(values, low, high)) @ vectors.T
        trial[3:6] = matrix[0, 0], matrix[0, 1], matrix[1, 1]
    largest = max(theta[3], theta[5])
    parts = [*abs(step[:2]), abs(step[2]) / theta[2], abs(step[3]) / largest]
    parts += [abs(step[5]) / largest, abs(step[6]) / (theta[2] + abs(theta[6]))]
    if rule.shape == 1:
        # one parameter: along the gradient it counts once
        step[5] = 0.0
    return trial, float(max(parts))


def _matrix(theta: Floats) -> Floats:
    return np.array([[theta[3], theta[4]], [theta[4], theta[5]]])


def _is_outside(theta: Floats, shape: tuple[int, ...], middle: Floats, window: int) -> bool:
    low = np.maximum(middle - window // 2, 0)
    high = np.minimum(middle + window // 2, np.array(shape) - 1)
    return bool((abs(theta[:2] - (low + high) / 2) > (high - low + 1) / 2).any())


def _covariance(
    theta: Floats, dev: float, w: Window, rule: Rule, variance: float
) -> tuple[Floats | None, float]:
    """Invert the information of what is not at a bound; return the scale of the noise too."""
    free = [p for p in free_places(rule) if not (p == 6 and theta[6] == 0)]
    information, _ = equations(theta, w, rule.shape)
    estimated = dev / max(len(w.data) - len(free), 1)
    scale = 1.0 if w.poisson else (estimated if np.isnan(variance) else variance)
    part = information[np.ix_(free, free)]
    if (
        not (np.diag(part) > 0).all()
        or np.linalg.cond(part / np.sqrt(np.outer(*[np.diag(part)] * 2))) > 1e13
    ):
        return None, scale
    covariance = np.zeros((9, 9))
    covariance[np.ix_(free, free)] = scale * np.linalg.inv(part)
    if rule.shape == 1:
        covariance[5], covariance[:, 5] = covariance[3], covariance[:, 3]
        covariance[5, 5] = covariance[3, 3]
    return covariance, scale


def shape_of(theta: Floats) -> Floats:
    """Return sigma major, sigma minor, angle and intensity of a precision and amplitude."""
    values, vectors = np.linalg.eigh(np.linalg.inv(_matrix(theta)))
    y, x = vectors[:, 1]
    angle = (np.arctan2(y, x) + np.pi / 2) % np.pi - np.pi / 2
    volume = 2 * np.pi * theta[2] * np.sqrt(values.prod())
    return np.array([np.sqrt(values[1]), np.sqrt(values[0]), angle, volume])


def _translate(theta: Floats, covariance: Floats, turned: bool) -> tuple[Floats, list[float]]:  # noqa: FBT001
    """Propagate the covariance to the public parameters, by central differences."""
    by = np.zeros((4, 9))
    for p in (2, 3, 4, 5):
        h = 1e-6 * (theta[2] if p == 2 else max(theta[3], theta[5]))
        above, below = theta.copy(), theta.copy()
        above[p] += h
        below[p] -= h
        change = shape_of(above) - shape_of(below)
        change[2] = (change[2] + np.pi / 2) % np.pi - np.pi / 2
        by[:, p] = change / (2 * h)
    spread = np.sqrt(np.maximum(np.diag(by @ covariance @ by.T), 0))
    direct = np.sqrt(np.diag(covariance))
    errors = np.array([*direct[:3], *spread[:3], direct[6]])
    errors[5] = min(errors[5], np.pi / np.sqrt(12)) if turned else np.nan
    errors[errors == 0] = np.nan
    return errors, [covariance[0, 1], shape_of(theta)[3], spread[3]]


def _blank(offset: float, free_offset: bool, w: Window) -> float:  # noqa: FBT001
    """Return the deviance of the best constant on the base."""
    flat = np.zeros(9)
    flat[3] = flat[5] = 1.0
    flat[6] = offset
    if free_offset:
        flat[6] = (w.data - w.base).mean()
        flat[6] = max(flat[6], 0.0) if w.poisson else flat[6]
        for _ in range(100 if w.poisson else 0):
            mu = model(flat, w)
            flat[6] += max(((w.data / mu) - 1).sum() / (1 / mu).sum(), -0.9 * flat[6])
    return deviance(flat, w)
