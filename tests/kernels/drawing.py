"""Frames that are hard on image kernels: extremes, long thin regions, noise."""

import numpy as np

PATTERNS = ["empty", "full", "one pixel", "one hole", "checkerboard", "spiral", "noise", "blobs"]


def draw(pattern, shape):
    """Draw a bool frame."""
    y, x = np.indices(shape)
    middle = (y == shape[0] // 2) & (x == shape[1] // 3)
    rng = np.random.default_rng(7)
    return {
        "empty": lambda: np.zeros(shape, bool),
        "full": lambda: np.ones(shape, bool),
        "one pixel": lambda: middle,
        "one hole": lambda: ~middle,
        "checkerboard": lambda: (y + x) % 2 == 0,
        "spiral": lambda: draw_spiral(shape),
        "noise": lambda: rng.random(shape) < 0.6,
        "blobs": lambda: np.sin(y / 3.1) + np.cos(x / 4.3 + y / 9.0) > 0.4,
    }[pattern]()


def draw_spiral(shape):
    """Draw one connected path that winds inwards, one pixel wide."""
    path = np.zeros(shape, bool)
    top, left, bottom, right = 0, 0, shape[0] - 1, shape[1] - 1
    while top <= bottom and left <= right:
        path[top, max(left - 1, 0) : right + 1] = True
        path[top : bottom + 1, right] = True
        path[bottom, left : right + 1] = True
        path[min(top + 2, bottom) : bottom + 1, left] = True
        top, left, bottom, right = top + 2, left + 2, bottom - 2, right - 2
    return path
