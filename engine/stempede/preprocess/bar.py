"""A drawn bar: what it is, and its measurement at a place where one may be.

A bar is one value over a few rows that begin and end at the same columns, with a step of one
or two pixels all around. Crystals are rounded at their ends and softer at their edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stempede.frames import Box

RUN_PX = 24
"""Shortest bar that is looked for."""
STEP = 24
"""Grey levels from the bar's own that still are the bar."""
EDGE = 36
"""Grey levels between bar and surroundings that count as an edge."""
ASPECT = 4
"""Least length over thickness."""
MARGIN = 48
"""Pixels looked at around a candidate."""
U_END_PX = 0.5
"""Standard uncertainty of a length whose two ends are drawn on whole pixels."""
RISE_MAX_PX = 4
SIDE_MIN = 0.45
"""Least share of each side that is a step; particles as dark as the bar hide the rest."""
OUTLINE_MIN = 0.8
OUTLINE_MIN_CUT = 0.95
"""Least share of the whole outline, of a bar and of one that touches the frame's rim."""


@dataclass(frozen=True)
class Bar:
    """A scale bar found in an image.

    Parameters
    ----------
    box : (y0, x0, y1, x1)
        Pixels of the bar, ends exclusive.
    length_px : float
        From edge to edge at half height, sub-pixel.
    u_px : float
        Standard uncertainty of the length: where the ends lie, and what was meant by them.
    level : float
        Grey level of the bar.
    score : float
        Share of its outline that is a sharp step, 0 to 1.
    whole : bool
        False where the bar touches the frame's rim, so that its length is not known.
    rise_px : int
        Pixels that the softest side takes to climb: 1 or 2 for what is drawn, 3 or 4 where
        the image was enlarged afterwards, and also for the edges of crystals.
    """

    box: Box
    length_px: float
    u_px: float
    level: float
    score: float
    whole: bool
    rise_px: int


def measure_bar(grey: np.ndarray, y0: int, y1: int, x0: int, x1: int) -> Bar | None:
    """Measure a candidate; None where it is not a drawn bar.

    Parameters
    ----------
    grey : (y, x) uint8 array
    y0, y1, x0, x1 : int
        Rows and columns, ends exclusive, that lie inside the bar to about 8 px along x.

    Returns
    -------
    Bar or None
    """
    top, left = max(0, y0 - MARGIN), max(0, x0 - MARGIN)
    window = grey[top : y1 + MARGIN, left : x1 + MARGIN].astype(np.float32)
    core = slice(x0 - left + 8, max(x1 - left - 8, x0 - left + 9))
    level = float(np.median(window[y0 - top : y1 - top, core]))
    inside: np.ndarray = np.abs(window - level) <= STEP
    middle = (y0 + y1) // 2 - top, (x0 + x1) // 2 - left
    extent = _extent(inside, core, middle)
    if extent is None:
        return None
    rows, columns = extent
    whole = left + columns[0] > 0 and left + columns[1] < grey.shape[1]
    shares = _edges(window, inside, rows, columns, level)
    if min(shares) < SIDE_MIN or np.mean(shares) < (OUTLINE_MIN if whole else OUTLINE_MIN_CUT):
        return None
    along = window[_inner(rows)].mean(axis=0)
    across = np.median(window[:, slice(*columns)], axis=1)
    # each profile runs outwards from a bar that ends at the index beside it
    first, last = (along[::-1], len(along) - 1 - columns[0]), (along, columns[1] - 1)
    down, up = (across, rows[1] - 1), (across[::-1], len(across) - 1 - rows[0])
    rise = max(_rise(profile, at, level) for profile, at in (first, last, down, up))
    ends = _crossing(*first, level), _crossing(*last, level)
    if rise > RISE_MAX_PX or (whole and None in ends):
        return None
    length = float(columns[1] - columns[0])
    if ends[0] is not None and ends[1] is not None:
        length = ends[1] - (len(along) - 1 - ends[0])
    tick, (above, below) = _ticks(inside, rows, columns)
    box = (top + rows[0] - above, left + columns[0], top + rows[1] + below, left + columns[1])
    return Bar(box, length, max(U_END_PX, tick / 4), level, float(np.mean(shares)), whole, rise)


def _extent(
    inside: np.ndarray, core: slice, middle: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the rows and columns of the bar around a point, None where it has no bar's form."""
    rows = run_around(inside[:, core].mean(axis=1) >= 0.8, middle[0])
    if rows is None or rows[0] == 0 or rows[1] == len(inside):
        return None
    columns = run_around(inside[_inner(rows)].mean(axis=0) >= 0.5, middle[1])
    if columns is None or columns[1] - columns[0] < max(RUN_PX, ASPECT * (rows[1] - rows[0])):
        return None
    return rows, columns


def _inner(rows: tuple[int, int]) -> slice:
    """Return the rows of a bar without the outermost, which compression may have smeared."""
    trim = 1 if rows[1] - rows[0] > 3 else 0
    return slice(rows[0] + trim, rows[1] - trim)


def _rise(profile: np.ndarray, last: int, level: float) -> int:
    """Return over how many pixels a profile climbs from the bar's level to its surroundings."""
    climb = np.abs(profile[max(last - 3, 0) : last + 7] - level)
    beyond = climb[min(last, 3) + 1 :]
    if len(beyond) < 3 or beyond.max() < EDGE:
        return 0
    contrast = max(float(np.median(beyond[2:])), float(beyond[:2].max()))
    foot = int(np.flatnonzero(climb[: min(last, 3) + 1] <= 0.15 * contrast).max(initial=0))
    return int(np.argmax(climb >= 0.7 * contrast)) - foot


def _ticks(
    inside: np.ndarray, rows: tuple[int, int], columns: tuple[int, int]
) -> tuple[int, tuple[int, int]]:
    """Return the width of the strokes across both ends, and their reach above and below.

    A length may be meant from stroke to stroke, centre or rim: their width is an uncertainty.
    """
    (t, b), (l, r) = rows, columns  # noqa: E741
    ends = np.asarray(inside[:, l : l + 2].all(axis=1) & inside[:, r - 2 : r].all(axis=1))
    reach = run_around(ends, (t + b) // 2)
    if reach is None:
        return 0, (0, 0)
    above, below = t - reach[0], reach[1] - b
    row = t - above if above > below else b + below - 1
    if max(above, below) < 2 or inside[row, l:r].mean() > 0.5:
        return 0, (0, 0)
    return int(np.argmin(inside[row, l:r])), (max(above, 0), max(below, 0))


def run_around(good: np.ndarray, start: int) -> tuple[int, int] | None:
    """Return the run of True (end exclusive) around an index."""
    if not 0 <= start < len(good) or not good[start]:
        return None
    bad = np.flatnonzero(~good)
    after = bad[bad > start]
    before = bad[bad < start]
    return (int(before[-1]) + 1 if len(before) else 0), (int(after[0]) if len(after) else len(good))


def _crossing(profile: np.ndarray, last: int, level: float) -> float | None:
    """Return where a profile leaves the bar's level, half way to what lies outside."""
    outside = profile[last + 1 : last + 4] - level
    if len(outside) == 0 or np.abs(outside).max() < EDGE:
        return None
    half = 0.5 * float(outside[np.argmax(np.abs(outside))])
    sign = 1.0 if half > 0 else -1.0
    steps = sign * (profile[max(last - 2, 0) : last + 4] - level)
    k = int(np.argmax(steps >= abs(half)))
    below = steps[k - 1] if k else 0.0
    fraction = (abs(half) - below) / (steps[k] - below)
    return max(last - 2, 0) + k - 1 + float(fraction)


def _edges(
    window: np.ndarray,
    inside: np.ndarray,
    rows: tuple[int, int],
    columns: tuple[int, int],
    level: float,
) -> tuple[float, float, float, float]:
    """Return the share of each side (top, bottom, left, right) that is a sharp step."""
    far: np.ndarray = np.abs(window - level) >= EDGE
    (t, b), (l, r) = rows, columns  # noqa: E741
    body: np.ndarray = inside[t:b, l:r]

    def share(near: Any, beyond: np.ndarray, axis: int) -> float:
        if beyond.shape[axis] == 0:
            return 1.0
        return float(np.mean(near & beyond.any(axis=axis)))

    return (
        share(body[:2].any(axis=0), far[max(t - 2, 0) : t, l:r], 0),
        share(body[-2:].any(axis=0), far[b : b + 2, l:r], 0),
        share(body[:, :2].any(axis=1), far[t:b, max(l - 2, 0) : l], 1),
        share(body[:, -2:].any(axis=1), far[t:b, r : r + 2], 1),
    )
