"""Find a burned-in scale bar and measure it.

A bar is drawn, not imaged: one value along a row for longer than noise allows, over a few
rows that begin and end at the same columns, with a step of one or two pixels all around.
Crystals are rounded at their ends, dead lines reach the rim, clipped vacuum is thick: none
passes all three tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stempede.frames import Box

RUN_PX = 24
"""Shortest bar that is looked for."""
STEP = 24
"""Grey levels from the bar's own that still are the bar."""
EDGE = 36
"""Grey levels between bar and surroundings that count as an edge."""
MARGIN = 48
"""Pixels looked at around a candidate."""
ASPECT = 4
"""Least length over thickness."""
U_END_PX = 0.5
"""Standard uncertainty of a length whose two ends are drawn on whole pixels."""
RISE_MAX_PX = 4
BLOCK_ROWS = 64
TOLERANCES = (20, 48)
"""Grey levels from the extreme that still belong to the bar: clean, then JPEG-ridden thin ones."""


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


def find_bars(grey: np.ndarray) -> list[Bar]:
    """Return the scale bars of an image, best first.

    Parameters
    ----------
    grey : (y, x) uint8 array

    Returns
    -------
    list of Bar
        Empty where there is none.
    """
    for masks in _level_masks(grey):
        bars: list[Bar] = []
        for mask in masks:
            found = [_examine(grey, *stack) for stack in _stacks(mask, grey)]
            bars += [bar for bar in found if bar is not None]
        bars.sort(key=lambda b: (-round(b.score, 2), -b.length_px))
        apart = [b for k, b in enumerate(bars) if not any(_overlap(b.box, c.box) for c in bars[:k])]
        if apart:
            return apart
    return []


def _level_masks(grey: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Yield the masks of a pass: extreme or flat pixels first, then the nearly extreme."""
    low, high = int(grey.min()), int(grey.max())
    if high - low < 2 * EDGE:
        return
    clean, ridden = TOLERANCES
    yield [grey <= low + clean, grey >= high - clean, _flat(grey)]
    yield [grey <= low + ridden, grey >= high - ridden]


def _flat(grey: np.ndarray) -> np.ndarray:
    """Return where the pixels to the right and below are the same: a bar of any colour."""
    flat = np.zeros(grey.shape, dtype=bool)
    # block by block, so that the differences stay in the processor's cache
    for y in range(0, len(grey) - 1, BLOCK_ROWS):
        block = grey[y : y + BLOCK_ROWS + 1]
        here, right, below = block[:-1, :-1], block[:-1, 1:], block[1:, :-1]
        out = flat[y : y + len(here), :-1]
        np.less_equal(np.maximum(here, right) - np.minimum(here, right), 2, out=out)
        out &= np.maximum(here, below) - np.minimum(here, below) <= 2
    return flat


def _stacks(mask: np.ndarray, grey: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Return (y0, y1, x0, x1) of thin stacks of long runs, to 8 px along x."""
    height, width = mask.shape
    full = np.packbits(mask, axis=1) == 255  # (y, x / 8)
    padded = np.pad(full, ((0, 0), (1, 1)))
    edges = np.flatnonzero(padded[:, 1:] != padded[:, :-1])
    rows, starts = np.divmod(edges[::2], full.shape[1] + 1)
    ends = edges[1::2] - rows * (full.shape[1] + 1)
    size = ends - starts
    middles = (starts + ends) // 2
    first = (rows > 0) & ~full[rows - 1, middles]
    keep = np.flatnonzero(first & (size >= RUN_PX // 8 - 1) & (size < 0.97 * width / 8))
    keep = keep[_ends_sharply(grey, rows[keep], 8 * starts[keep], 8 * ends[keep])]
    found = []
    for y0, middle, n in zip(rows[keep].tolist(), middles[keep].tolist(), size[keep].tolist()):
        column = full[y0 : y0 + min(height // 8, 8 * (n + 2) // ASPECT) + 1, middle]
        depth = int(np.argmin(column))
        run = _reach(full[y0 + depth // 2], middle) if not column[depth] and depth > 1 else None
        if run is not None and run[1] - run[0] >= RUN_PX // 8 - 1:
            found.append((y0, y0 + depth, 8 * run[0], 8 * run[1]))
    return found


def _ends_sharply(
    grey: np.ndarray, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Return which runs have something else within 12 px beyond both ends, or the rim."""
    width = grey.shape[1]
    level = grey[rows, (starts + ends) // 2].astype(np.int16)
    sharp = np.ones(len(rows), dtype=bool)
    reach = np.arange(12)
    for columns in (starts[:, None] - 1 - reach, ends[:, None] + reach):
        beyond = grey[rows[:, None], np.clip(columns, 0, width - 1)].astype(np.int16)
        step = np.abs(beyond - level[:, None]).max(axis=1, initial=0)
        outside = (columns[:, -1] < 0) | (columns[:, -1] >= width)
        sharp &= (step >= EDGE) | outside
    return sharp


def _examine(grey: np.ndarray, y0: int, y1: int, x0: int, x1: int) -> Bar | None:
    """Measure a candidate; None where it is not a drawn bar."""
    width = grey.shape[1]
    top, left = max(0, y0 - MARGIN), max(0, x0 - MARGIN)
    window = grey[top : y1 + MARGIN, left : x1 + MARGIN].astype(np.float32)
    core = window[:, x0 - left + 8 : max(x1 - left - 8, x0 - left + 9)]
    level = float(np.median(core[y0 - top : y1 - top]))
    rows = _reach(np.mean(np.abs(core - level) <= STEP, axis=1) >= 0.8, (y0 + y1) // 2 - top)
    if rows is None or rows[0] == 0 or rows[1] == len(window):
        return None
    inside = np.abs(window - level) <= STEP
    trim = 1 if rows[1] - rows[0] > 3 else 0
    inner = slice(rows[0] + trim, rows[1] - trim)
    columns = _reach(inside[inner].mean(axis=0) >= 0.5, (x0 + x1) // 2 - left)
    if columns is None or columns[1] - columns[0] < max(RUN_PX, ASPECT * (rows[1] - rows[0])):
        return None
    profile = window[inner].mean(axis=0)
    ends = (
        _crossing(profile[::-1], len(profile) - 1 - columns[0], level),
        _crossing(profile, columns[1] - 1, level),
    )
    box = (top + rows[0], left + columns[0], top + rows[1], left + columns[1])
    whole = box[1] > 0 and box[3] < width
    shares = _edges(window, inside, rows, columns, level)
    if (whole and None in ends) or min(shares) < 0.45 or np.mean(shares) < (0.8 if whole else 0.95):
        return None
    length = float(columns[1] - columns[0])
    if ends[0] is not None and ends[1] is not None:
        length = ends[1] - (len(profile) - 1 - ends[0])
    across = np.median(window[:, slice(*columns)], axis=1)
    rise = max(
        _rise(line, last, level)
        for line, last in (
            (across, rows[1] - 1),
            (across[::-1], len(across) - 1 - rows[0]),
            (profile, columns[1] - 1),
            (profile[::-1], len(profile) - 1 - columns[0]),
        )
    )
    if rise > RISE_MAX_PX:
        return None
    tick, (above, below) = _ticks(inside, rows, columns)
    box = (box[0] - above, box[1], box[2] + below, box[3])
    return Bar(box, length, max(U_END_PX, tick / 4), level, float(np.mean(shares)), whole, rise)


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
    ends = inside[:, l : l + 2].all(axis=1) & inside[:, r - 2 : r].all(axis=1)
    reach = _reach(ends, (t + b) // 2)
    if reach is None:
        return 0, (0, 0)
    above, below = t - reach[0], reach[1] - b
    row = t - above if above > below else b + below - 1
    if max(above, below) < 2 or inside[row, l:r].mean() > 0.5:
        return 0, (0, 0)
    return int(np.argmin(inside[row, l:r])), (max(above, 0), max(below, 0))


def _reach(good: np.ndarray, start: int) -> tuple[int, int] | None:
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
    far = np.abs(window - level) >= EDGE
    (t, b), (l, r) = rows, columns  # noqa: E741
    body = inside[t:b, l:r]

    def share(near: np.ndarray, beyond: np.ndarray, axis: int) -> float:
        if beyond.shape[axis] == 0:
            return 1.0
        return float(np.mean(near & beyond.any(axis=axis)))

    return (
        share(body[:2].any(axis=0), far[max(t - 2, 0) : t, l:r], 0),
        share(body[-2:].any(axis=0), far[b : b + 2, l:r], 0),
        share(body[:, :2].any(axis=1), far[t:b, max(l - 2, 0) : l], 1),
        share(body[:, -2:].any(axis=1), far[t:b, r : r + 2], 1),
    )


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
