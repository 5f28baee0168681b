"""Find burned-in scale bars: thin stacks of long level runs, measured where they end sharply.

Dead lines reach the rim, clipped vacuum is thick, crystals end softly: none of them passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from stempede.frames import Box
from stempede.preprocess.bar import ASPECT, EDGE, RUN_PX, STEP, Bar, measure_bar, run_around

BLOCK_ROWS = 64
TOLERANCES = (20, 48)
"""Grey levels from the extreme that still belong to the bar: clean, then JPEG-ridden thin ones."""


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
            found = [measure_bar(grey, *stack) for stack in _stacks(mask, grey)]
            bars += [bar for bar in found if bar is not None]
        bars = _joined(bars)
        bars.sort(key=lambda b: (-round(b.score, 2), -b.length_px))
        apart = [b for k, b in enumerate(bars) if not any(_overlap(b.box, c.box) for c in bars[:k])]
        if apart:
            return apart
    return []


def _joined(bars: list[Bar]) -> list[Bar]:
    """Join the two halves of a bar whose label stands in its middle: |-- 50 nm --|."""
    rest = sorted(bars, key=lambda b: b.box[1])
    joined: list[Bar] = []
    while rest:
        left = rest.pop(0)
        for right in [r for r in rest if _are_halves(left, r)][:1]:
            rest.remove(right)
            box = (
                min(left.box[0], right.box[0]),
                left.box[1],
                max(left.box[2], right.box[2]),
                right.box[3],
            )
            # each half is measured from its own first column
            outer = left.length_px - (left.box[3] - left.box[1])
            length = box[3] - box[1] + outer + right.length_px - (right.box[3] - right.box[1])
            left = replace(
                left,
                box=box,
                length_px=length,
                u_px=max(left.u_px, right.u_px),
                score=min(left.score, right.score),
                whole=left.whole and right.whole,
                rise_px=max(left.rise_px, right.rise_px),
            )
        joined.append(left)
    return joined


def _are_halves(left: Bar, right: Bar) -> bool:
    """Whether two bars lie on the same rows, of one level and length, a label's width apart."""
    gap = right.box[1] - left.box[3]
    longer, shorter = max(left.length_px, right.length_px), min(left.length_px, right.length_px)
    return (
        abs(left.box[0] - right.box[0]) <= 1
        and abs(left.box[2] - right.box[2]) <= 1
        and abs(left.level - right.level) <= STEP / 2
        and longer - shorter <= max(4, 0.15 * longer)
        and 0 < gap <= 4 * longer
    )


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
        run = run_around(full[y0 + depth // 2], middle) if not column[depth] and depth > 1 else None
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


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
