"""Footprint: which pixels a joint fit reads, and which columns reach each of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

_CLOSE = 0.85
"""Share of the window beyond which two columns tell nothing of each other."""


@dataclass(frozen=True)
class Overlaps:
    """Pairs of entries of a footprint that share a pixel.

    Parameters
    ----------
    first, second : (k,) int64 array
        Entries; the column of the first has the lower number.
    number : (k,) int64 array
        Which pair of columns these belong to.
    one, other : (c,) int64 array
        Columns of each pair.
    """

    first: np.ndarray
    second: np.ndarray
    number: np.ndarray
    one: np.ndarray
    other: np.ndarray


@dataclass(frozen=True)
class Footprint:
    """Pixels within a window of any column, and the pairs (column, pixel) in reach.

    Parameters
    ----------
    flat : (p,) int64 array
        Pixels read, as flat indices into the frame, ascending.
    y, x : (p,) float64 array
    column, pixel : (e,) int64 array
        Pairs, sorted by column: the column's number and the position of the pixel in ``flat``.
    start : (n + 1,) int64 array
        First pair of each column.
    close : (e,) bool array
        Pairs near enough for columns that share the pixel to be told apart by it.
    """

    flat: np.ndarray
    y: np.ndarray
    x: np.ndarray
    column: np.ndarray
    pixel: np.ndarray
    start: np.ndarray
    close: np.ndarray

    @property
    def n_pixels(self) -> int:
        """Number of pixels read."""
        return len(self.flat)

    @cached_property
    def overlaps(self) -> Overlaps:
        """Pairs of columns that are close to the same pixels."""
        near = np.flatnonzero(self.close)
        order = near[np.argsort(self.pixel[near], kind="stable")]
        pixel = self.pixel[order]
        firsts, seconds = [], []
        for lag in range(1, int(np.bincount(self.pixel[near]).max(initial=0))):
            same = np.flatnonzero(pixel[lag:] == pixel[:-lag])
            firsts.append(order[same])
            seconds.append(order[same + lag])
        first = np.concatenate([np.zeros(0, np.int64), *firsts])
        second = np.concatenate([np.zeros(0, np.int64), *seconds])
        n = len(self.start) - 1
        pairs, number = np.unique(self.column[first] * n + self.column[second], return_inverse=True)
        return Overlaps(first, second, number, pairs // n, pairs % n)

    def sum_at_pixels(self, values: np.ndarray) -> np.ndarray:
        """Return (p,) sums over the columns of (e,) values."""
        return np.bincount(self.pixel, values, minlength=self.n_pixels)

    def sum_over_column(self, values: np.ndarray) -> np.ndarray:
        """Return (n,) sums over the pixels of (e,) values."""
        if not len(values):
            return np.zeros(len(self.start) - 1)
        first = np.minimum(self.start[:-1], len(values) - 1)
        return np.add.reduceat(values, first) * (self.start[1:] > self.start[:-1])


def footprint(
    valid: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    window_px: float,
    reach_px: float,
    reads: np.ndarray,
) -> Footprint:
    """Return the pixels within ``window_px`` of columns, and pairs within ``reach_px``.

    Parameters
    ----------
    valid : (h, w) bool array
        Pixels that may be read.
    y, x : (n,) float64 array
    window_px : float
        Radius around a column within which pixels enter the fit.
    reach_px : float
        Radius within which a column adds to the expected value; at least the window.
    reads : (n,) bool array
        Columns around which pixels are read.
    """
    yy, xx, ok = disc(valid, y, x, reach_px)
    away = np.hypot(yy - y[:, None], xx - x[:, None])
    close = ok & reads[:, None] & (away <= window_px)
    flat = yy * valid.shape[1] + xx
    used = np.zeros(valid.size, bool)
    used[flat[close]] = True
    number = np.cumsum(used) - 1
    kept = ok & used[np.where(ok, flat, 0)]
    column, entry = np.nonzero(kept)
    pixels = np.flatnonzero(used)
    counts = np.bincount(column, minlength=len(y))
    return Footprint(
        flat=pixels,
        y=(pixels // valid.shape[1]).astype(np.float64),
        x=(pixels % valid.shape[1]).astype(np.float64),
        column=column,
        pixel=number[flat[column, entry]],
        start=np.concatenate([[0], np.cumsum(counts)]),
        close=away[column, entry] <= _CLOSE * window_px,
    )


def disc(
    valid: np.ndarray, y: np.ndarray, x: np.ndarray, radius_px: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (n, k) rows and columns of the pixels around each column, and which are there."""
    half = int(np.ceil(radius_px))
    step = np.arange(-half, half + 1)
    dy, dx = (a.ravel() for a in np.meshgrid(step, step, indexing="ij"))
    near = np.hypot(dy, dx) <= radius_px + 0.71
    yy = np.rint(y).astype(np.int64)[:, None] + dy[near]
    xx = np.rint(x).astype(np.int64)[:, None] + dx[near]
    height, width = valid.shape
    ok = (yy >= 0) & (yy < height) & (xx >= 0) & (xx < width)
    ok &= valid[np.where(ok, yy, 0), np.where(ok, xx, 0)]
    return yy, xx, ok
