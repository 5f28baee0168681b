"""Frames of Gaussians with known parameters, drawn without the kernel's help."""

import numpy as np


def gaussians(shape, parameters, offset=0.0):
    """Expected counts of Gaussians ``(n, 7)`` in one frame; their own offsets are not added."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    image = np.full(shape, float(offset))
    for y0, x0, amplitude, major, minor, angle, _ in np.atleast_2d(parameters):
        along = (x - x0) * np.cos(angle) + (y - y0) * np.sin(angle)
        across = -(x - x0) * np.sin(angle) + (y - y0) * np.cos(angle)
        image += amplitude * np.exp(-0.5 * ((along / major) ** 2 + (across / minor) ** 2))
    return image


def lattice(rows, columns, spacing=23.0, seed=0, electrons=400.0):
    """A frame of rotated columns on an uneven lattice: Poisson counts, truth, rough starts."""
    rng = np.random.default_rng(seed)
    n = rows * columns
    place = np.stack(np.mgrid[:rows, :columns], -1).reshape(n, 2) + 0.7
    truth = np.empty((n, 7))
    truth[:, :2] = spacing * place + rng.normal(0, 1, (n, 2))
    truth[:, 3], truth[:, 4] = 3.1, 2.6
    truth[:, 5] = rng.uniform(-1.4, 1.4, n)
    truth[:, 2] = electrons * rng.uniform(0.5, 1.5, n) / (2 * np.pi * 3.1 * 2.6)
    truth[:, 6] = 0.5
    shape = int(spacing * (rows + 0.5)), int(spacing * (columns + 0.5)) + 3
    frame = rng.poisson(gaussians(shape, truth, 0.5)).astype(np.float32)
    return frame, truth, rough(truth, rng)


def rough(truth, rng):
    """Starts some way off the truth."""
    start = truth.copy()
    start[:, :2] += rng.normal(0, 0.7, (len(truth), 2))
    start[:, 2] *= rng.uniform(0.8, 1.2, len(truth))
    start[:, 3], start[:, 4], start[:, 5] = 3.0, 2.7, 0.3
    return start


def angle_between(one, other):
    """Smallest turn between two directions without a head."""
    return np.abs((np.asarray(one) - other + np.pi / 2) % np.pi - np.pi / 2)
