"""Drawing superellipses on the host: the exact share of every pixel inside a polygon."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stempede_kernels.superellipse.plan import EDGES, Floats
from stempede_kernels.threads import spread

plain = njit(cache=True, nogil=True, error_model="numpy")


def render(shapes: Floats, size: int) -> NDArray[np.float32]:
    """Draw shapes (n, 7) as (n, size, size) shares; see ``reference.vertices`` for the polygon."""
    out = np.zeros((len(shapes), size, size), np.float32)
    spread(_render, len(shapes), shapes, out, at_once=16)
    return out


@plain
def _render(begin: int, end: int, shapes: Floats, out: Any) -> None:
    size = out.shape[1]
    for k in range(begin, end):
        d = int(shapes[k, 5])
        n = 2 * d * EDGES[d]
        y, x = np.empty(n + 1), np.empty(n + 1)
        vertices(shapes[k], y, x)
        part, full = np.zeros((size, size)), np.zeros((size, size + 1))
        for i in range(n):
            _add_edge(y[i] + 0.5, x[i] + 0.5, y[i + 1] + 0.5, x[i + 1] + 0.5, part, full)
        for row in range(size):
            right = full[row, size]
            for column in range(size - 1, -1, -1):
                share = part[row, column] + right
                out[k, row, column] = min(max(share, 0.0), 1.0)
                right += full[row, column]


@plain
def vertices(shape: Floats, y: Floats, x: Floats) -> None:
    """Fill the vertices of a shape's polygon, the first once more at the end."""
    d, p, log_l = int(shape[5]), shape[4], np.log(shape[6])
    n = EDGES[d]
    half = n // 2
    kink = np.arctan(shape[6])
    node, radius = np.empty(n + 1), np.empty(n + 1)
    for j in range(n + 1):
        t = j / half if j < half else (j - half) / half
        ease = t * t * (3.0 - 2.0 * t)
        node[j] = kink * ease if j < half else kink + (0.5 * np.pi - kink) * ease
        # the far ends are exact: a logarithm of zero leaves the other term
        a = log_l + np.log(np.cos(node[j])) if j < n else -np.inf
        b = np.log(np.sin(node[j])) if j > 0 else -np.inf
        radius[j] = shape[2] * np.exp(-max(a, b)) * (1.0 + np.exp(-p * abs(a - b))) ** (-1.0 / p)
    place = 0
    for lobe in range(2 * d):
        for j in range(n):
            i = j if lobe % 2 == 0 else n - j
            v = 0.5 * np.pi * lobe + (node[i] if lobe % 2 == 0 else 0.5 * np.pi - node[i])
            angle = 2.0 * v / d + shape[3]
            y[place] = shape[0] + radius[i] * np.sin(angle)
            x[place] = shape[1] + radius[i] * np.cos(angle)
            place += 1
    y[place], x[place] = y[0], x[0]


@plain
def _add_edge(y0: float, x0: float, y1: float, x1: float, part: Floats, full: Floats) -> None:
    """Add what lies left of an edge, in pixels that begin at whole numbers, row by row."""
    if y0 == y1:
        return
    sign = 1.0
    if y1 < y0:
        y0, x0, y1, x1, sign = y1, x1, y0, x0, -1.0
    size = len(part)
    slope = (x1 - x0) / (y1 - y0)
    low, high = max(y0, 0.0), min(y1, float(size))
    row = int(low)
    while low < high:
        end = min(high, row + 1.0)
        a, b = x0 + slope * (low - y0), x0 + slope * (end - y0)
        _add_piece(a, b, sign * (end - low), part[row], full[row])
        low = end
        row += 1


@plain
def _add_piece(a: float, b: float, height: float, part: Floats, full: Floats) -> None:
    """Add a piece of an edge within one row, pixel by pixel."""
    if b < a:
        a, b = b, a
    size = len(part)
    at = a
    while True:
        column = int(np.floor(at))
        end = min(b, column + 1.0)
        share = height if b == a else height * (end - at) / (b - a)
        if column >= size:
            full[size] += share if b == a else height * (b - at) / (b - a)
            return
        if column >= 0:
            part[column] += share * (0.5 * (at + end) - column)
            full[column] += share
            if end >= b:
                return
            at = end
        else:
            if b <= 0.0:
                return
            at = 0.0
