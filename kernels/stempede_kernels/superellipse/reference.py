"""Superellipses in float64 NumPy, one region or shape at a time, as README writes them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.superellipse.plan import (
    CONVERGED,
    EDGES,
    FARTHEST,
    FEWEST_POINTS,
    HIGH,
    LEAST_SQUARE,
    LINES,
    LOW,
    N_FREE,
    N_HARMONICS,
    N_SECTORS,
    OVERLAP_SIDE,
    SINGULAR,
    TOLERANCE,
    UNFINISHED,
    Floats,
    Ints,
    Outlines,
    Trials,
)


def radius(theta: Floats, shape: Floats) -> Floats:
    """Return the distance of the outline in directions theta (rad), by equation 1."""
    _, _, r, angle, p, d, l_ratio = shape
    half = 0.5 * d * (theta - angle)
    first, second = l_ratio * np.abs(np.cos(half)), np.abs(np.sin(half))
    larger, smaller = np.maximum(first, second), np.minimum(first, second)
    result: Floats = r / larger * (1.0 + (smaller / larger) ** p) ** (-1.0 / p)
    return result


def vertices(shape: Floats) -> tuple[Floats, Floats]:
    """Return y and x of the polygon that is drawn for a shape.

    Between a cosine's and a sine's zero of d u / 2 the directions lie dense at both ends and
    around the kink ``arctan L`` of large p.
    """
    d = int(shape[5])
    half = EDGES[d] // 2
    t = np.arange(half + 1) / half
    ease = t * t * (3.0 - 2.0 * t)
    kink = np.arctan(shape[6])
    node = np.concatenate([kink * ease[:-1], kink + (0.5 * np.pi - kink) * ease])
    lobes = [
        0.5 * np.pi * k + (node[:-1] if k % 2 == 0 else 0.5 * np.pi - node[:0:-1])
        for k in range(2 * d)
    ]
    angle = 2.0 * np.concatenate(lobes) / d + shape[3]
    r = radius(angle, shape)
    return shape[0] + r * np.sin(angle), shape[1] + r * np.cos(angle)


def render(shapes: Floats, size: int) -> NDArray[np.float32]:
    """Draw the share of every pixel that lies inside the polygon.

    By Green's theorem it is the integral over the outline, along y within the pixel's row, of
    what of the pixel lies left of the outline.
    """
    out = np.zeros((len(shapes), size, size), np.float32)
    left = np.arange(size) - 0.5
    for k, shape in enumerate(shapes):
        y, x = vertices(shape)
        y1, x1 = np.roll(y, -1), np.roll(x, -1)
        for row in range(size):
            crossing = (np.minimum(y, y1) < row + 0.5) & (np.maximum(y, y1) > row - 0.5)
            crossing &= y != y1
            share = np.zeros(size)
            for a, b, c, d in zip(y[crossing], x[crossing], y1[crossing], x1[crossing]):
                top, bottom = np.clip([a, c], row - 0.5, row + 0.5)
                from_x, to_x = (b + (d - b) * (end - a) / (c - a) for end in (top, bottom))
                share += (bottom - top) * _mean_clipped(from_x - left, to_x - left)
            out[k, row] = np.clip(share, 0.0, 1.0)
    return out


def _mean_clipped(start: Floats, end: Floats) -> Floats:
    """Return the mean of a number that goes evenly from start to end, cut to 0 … 1."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    width = high - low

    def area(s: Floats) -> Floats:
        inside = np.clip(s, 0.0, 1.0)
        result: Floats = 0.5 * inside**2 + np.maximum(s - 1.0, 0.0)
        return result

    safe = np.where(width > 1e-7, width, 1.0)
    return np.where(width > 1e-7, (area(high) - area(low)) / safe, np.clip(low, 0.0, 1.0))


def trace(labels: NDArray[np.int32], frame: Ints, label: Ints, box: Ints) -> Outlines:
    """Read the outlines of regions; see `Outlines`."""
    found = [_trace(labels[f] == own, b) for f, own, b in zip(frame, label, box)]
    begin = np.cumsum([0, *(len(points) for points, _, _ in found)]).astype(np.int64)
    return Outlines(
        begin,
        np.concatenate([np.zeros((0, 3), np.float32), *(points for points, _, _ in found)]),
        (box[:, :2] + box[:, 2:] - 1) / 2.0,
        np.array([h for _, h, _ in found]).reshape(-1, 2, N_HARMONICS + 1),
        np.array([c for _, _, c in found]).reshape(-1, 2),
    )


def _trace(frame_mask: NDArray[np.bool_], box: Ints) -> tuple[Any, Floats, Floats]:
    """Return points, harmonics and centroid of one region."""
    y0, x0, y1, x1 = (int(v) for v in box)
    mask = np.pad(frame_mask, 4)[y0 : y1 + 8, x0 : x1 + 8].astype(int)
    height, width = y1 - y0, x1 - x0
    step = max(1, max(height, width) // LINES)
    middle = np.array([height - 1, width - 1]) / 2.0
    centroid = np.argwhere(mask[4:-4, 4:-4]).mean(axis=0) - middle
    points, edges = [], []
    for y in range(-1, height):
        for x in range(-1, width):
            for ny, nx in ((0, 1), (1, 0)):
                on_line = y % step == step // 2 if nx else x % step == step // 2
                here = mask[y + 4, x + 4]
                if not on_line or here == mask[y + 4 + ny, x + 4 + nx]:
                    continue
                at = np.array([y + 0.5 * ny, x + 0.5 * nx]) - middle
                points.append([*at, step * _arc(mask, y + 4, x + 4, across=bool(nx))])
                sign = step * (1.0 if here else -1.0)
                edges.append([*(at - centroid), sign * ny, sign * nx])
    return np.array(points, np.float32).reshape(-1, 3), _harmonics(np.array(edges)), centroid


def _arc(mask: NDArray[Any], y: int, x: int, *, across: bool) -> float:
    """Return the cosine between an edge's normal and that of the outline, from 5 x 4 pixels."""
    part = mask[y - 2 : y + 3, x - 1 : x + 3] if across else mask[y - 1 : y + 3, x - 2 : x + 3].T
    along = part[:, 2:].sum() - part[:, :2].sum()
    aside = part[3:].sum() - part[:2].sum()
    return 1.0 if along == aside == 0 else abs(along) / np.hypot(along, aside)


def _harmonics(edges: Floats) -> Floats:
    """Return Fourier coefficients of the log distance: each edge by the angle it is seen under."""
    y, x, ny, nx = edges.reshape(-1, 4).T
    square = y**2 + x**2
    there = square > 0
    y, x, ny, nx, square = (a[there] for a in (y, x, ny, nx, square))
    seen = 0.5 * np.log(square) * (ny * y + nx * x) / square / (2 * np.pi)
    waves = np.exp(-1j * np.outer(np.arange(N_HARMONICS + 1), np.arctan2(y, x)))
    total = waves @ seen
    return np.stack([total.real, total.imag])


def misfits(points: Floats, theta: Floats, d: int) -> tuple[Floats, Floats]:
    """Return the distances (m,) of outline points from a shape, and their derivatives (m, 6)."""
    dy, dx = points[:, 0] - theta[0], points[:, 1] - theta[1]
    square = np.maximum(dy**2 + dx**2, 1e-6)
    rho = np.sqrt(square)
    turned = d * (np.arctan2(dy, dx) - theta[3])
    p = np.exp(theta[4])
    c2 = np.maximum(0.5 * (1 + np.cos(turned)), LEAST_SQUARE)
    s2 = np.maximum(0.5 * (1 - np.cos(turned)), LEAST_SQUARE)
    log_c, log_s = 0.5 * np.log(c2) + theta[5], 0.5 * np.log(s2)
    mean = np.logaddexp(p * log_c, p * log_s) / p
    share = np.exp(p * (log_c - mean))
    slope = 0.25 * d * np.sin(turned) * (share / c2 - (1 - share) / s2)
    scale = rho / np.sqrt(1 + slope**2)
    rows = [
        (-dy + slope * dx) / square,
        (-dx - slope * dy) / square,
        -np.ones_like(rho),
        slope,
        -(mean - share * log_c - (1 - share) * log_s),
        share,
    ]
    return scale * (0.5 * np.log(square) - theta[2] + mean), scale[:, None] * np.stack(rows, 1)


def fit(outlines: Outlines, region: Ints, order: Ints, start: Floats, most: int) -> Trials:
    """Fit one shape from each start by Levenberg-Marquardt."""
    n = len(region)
    trials = Trials(start.copy(), np.full(n, np.inf), np.zeros(n, np.int8), np.zeros(n, np.int32))
    for k in range(n):
        points = outlines.points[outlines.begin[region[k]] : outlines.begin[region[k] + 1]]
        points = points.astype(np.float64)
        if len(points) < FEWEST_POINTS or not np.isfinite(start[k]).all():
            trials.state[k] = SINGULAR
            continue
        _fit(points, int(order[k]), most, k, trials)
    return trials


def _fit(points: Floats, d: int, most: int, k: int, trials: Trials) -> None:
    theta, weight = trials.theta[k].copy(), points[:, 2]
    misfit, rows = misfits(points, theta, d)
    here, damping, done = float(weight @ misfit**2), 1e-2, UNFINISHED
    for iteration in range(1, most + 1):
        trials.iterations[k] = iteration
        matrix, gradient = (rows.T * weight) @ rows, rows.T @ (weight * misfit)
        damped = matrix + np.diag(damping * np.diag(matrix) + 1e-9 * matrix[2, 2])
        try:
            np.linalg.cholesky(damped)
        except np.linalg.LinAlgError:
            damping = max(10 * damping, 1e-3)
            if damping > 1e6:
                done = SINGULAR
                break
            continue
        r = np.exp(theta[2])
        longest = np.array([0.3 * r, 0.3 * r, 0.5, 0.6 / d, 1.0, 0.7])
        step = np.clip(-np.linalg.solve(damped, gradient), -longest, longest)
        trial = np.clip(theta + step, LOW, HIGH)
        tried = misfits(points, trial, d)
        there = float(weight @ tried[0] ** 2)
        if there <= here:
            small = here - there <= TOLERANCE * here
            theta, (misfit, rows), here = trial, tried, there
            damping = max(0.2 * damping, 1e-6)
            if small:
                done = CONVERGED
                break
        else:
            damping = max(10 * damping, 1e-3)
            if damping > 1e3:
                done = CONVERGED
                break
    trials.theta[k], trials.state[k], trials.cost[k] = theta, done, here / weight.sum()


def information(
    outlines: Outlines, region: Ints, order: Ints, theta: Floats
) -> tuple[Floats, Floats]:
    """Return the normal matrix (n, 6, 6) and the gradient's sums by sector (n, 24, 6)."""
    matrix = np.zeros((len(region), N_FREE, N_FREE))
    scores = np.zeros((len(region), N_SECTORS, N_FREE))
    for k, r in enumerate(region):
        points = outlines.points[outlines.begin[r] : outlines.begin[r + 1]].astype(np.float64)
        misfit, rows = misfits(points, theta[k], int(order[k]))
        matrix[k] = (rows.T * points[:, 2]) @ rows
        angle = np.arctan2(points[:, 0] - theta[k, 0], points[:, 1] - theta[k, 1])
        sector = ((angle / (2 * np.pi) + 0.5) * N_SECTORS).astype(int) % N_SECTORS
        np.add.at(scores[k], sector, rows * (points[:, 2] * misfit)[:, None])
    return matrix, scores


def overlap(
    labels: NDArray[np.int32], frame: Ints, label: Ints, box: Ints, region: Ints, shapes: Floats
) -> Floats:
    """Return intersection over union of shapes (m, 7), in frame coordinates, with regions."""
    result = np.zeros(len(region))
    for k, r in enumerate(region):
        shape = shapes[k]
        reach = radius(np.linspace(0, 2 * np.pi, 5000), shape).max()
        sides = box[r, 2:] - box[r, :2]
        if not reach < FARTHEST * sides.max():
            continue
        step = max(1, int(sides.max()) // OVERLAP_SIDE)
        low = np.minimum(box[r, :2], np.floor(shape[:2] - 1.1 * reach)).astype(int)
        high = np.maximum(box[r, 2:], np.ceil(shape[:2] + 1.1 * reach) + 1).astype(int)
        low -= low % step
        y, x = np.mgrid[low[0] : high[0] : step, low[1] : high[1] : step]
        dy, dx = y - shape[0], x - shape[1]
        inside = np.hypot(dy, dx) <= radius(np.arctan2(dy, dx), shape)
        image = labels[frame[r]]
        seen = (y >= 0) & (y < image.shape[0]) & (x >= 0) & (x < image.shape[1])
        own = seen & (image[np.where(seen, y, 0), np.where(seen, x, 0)] == label[r])
        either = (inside | own).sum()
        result[k] = (inside & own).sum() / either if either else 0.0
    return result
