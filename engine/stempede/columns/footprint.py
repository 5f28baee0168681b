"""Footprint: which pixels a joint fit reads, and how far each column reaches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.spatial import cKDTree

from stempede_kernels import frame_fit

_ROUND = 0.71
"""Half the diagonal of a pixel: discs are drawn about whole pixels."""


@dataclass(frozen=True)
class Footprint:
    """Pixels within a window of any column that is fitted, and the discs that columns reach.

    Parameters
    ----------
    used : (h, w) bool array
        Pixels read.
    flat : (p,) int64 array
        These as flat indices into the frame, ascending.
    centres : (n, 2) int64 array
        The pixels nearest to the columns when the pixels read were chosen.
    radius : float
        Of the discs around ``centres``, px.
    moves : (n,) bool array
        Columns that are fitted.
    """

    used: np.ndarray
    flat: np.ndarray
    centres: np.ndarray
    radius: float
    moves: np.ndarray

    @property
    def n_pixels(self) -> int:
        """Number of pixels read."""
        return len(self.flat)

    @cached_property
    def pairs(self) -> np.ndarray:
        """(c, 2) int64 numbers of the fitted columns whose discs meet."""
        own = np.flatnonzero(self.moves)
        pairs = cKDTree(self.centres[own]).query_pairs(2 * self.radius, output_type="ndarray")
        pairs = own[np.sort(pairs, axis=1)].reshape(-1, 2)
        return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]

    @cached_property
    def pattern(self) -> tuple[np.ndarray, sp.csr_array]:
        """Where the blocks of columns and of ``pairs`` go in the columns' information.

        The order of the values of (n, 3, 3) own blocks, (c, 3, 3) blocks of pairs and the
        same transposed, and the matrix that they fill.
        """
        n, pairs = len(self.centres), self.pairs
        own = np.arange(n)
        one = np.concatenate([own, pairs[:, 0], pairs[:, 1]])
        other = np.concatenate([own, pairs[:, 1], pairs[:, 0]])
        parameter = np.arange(3)
        rows, columns = np.broadcast_arrays(
            one[:, None, None] + n * parameter[:, None], other[:, None, None] + n * parameter
        )
        where = (rows.ravel(), columns.ravel())
        order = np.lexsort((where[1], where[0]))
        empty = sp.coo_array((np.zeros(len(order)), where), shape=(3 * n, 3 * n)).tocsr()
        return order, empty

    def image(self, values: np.ndarray) -> np.ndarray:
        """Return (h, w) values of the pixels read, 0 at the others."""
        found = np.zeros(self.used.shape)
        found.ravel()[self.flat] = values
        return found

    def images(self, values: np.ndarray) -> np.ndarray:
        """Return (k, h, w) images of (k, p) values."""
        found = np.zeros((len(values), self.used.size))
        found[:, self.flat] = values
        return found.reshape(len(values), *self.used.shape)

    def at_pixels(self, image: np.ndarray) -> np.ndarray:
        """Return the (..., p) values of (..., h, w) images at the pixels read."""
        return image.reshape(*image.shape[:-2], -1)[..., self.flat]


def footprint(
    valid: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    window_px: float,
    reach_px: float,
    moves: np.ndarray,
) -> Footprint:
    """Return the pixels within ``window_px`` of columns, and what columns reach.

    Parameters
    ----------
    valid : (h, w) bool array
        Pixels that may be read.
    y, x : (n,) float64 array
    window_px : float
        Radius around a column within which pixels enter the fit.
    reach_px : float
        Radius within which a column adds to the expected value; at least the window.
    moves : (n,) bool array
        Columns that are fitted: pixels are read around them.
    """
    anchors = np.column_stack([y, x])
    used = frame_fit.mark(valid, anchors, window_px, moves)
    return Footprint(
        used=used,
        flat=np.flatnonzero(used),
        centres=np.rint(anchors).astype(np.int64),
        radius=reach_px + _ROUND,
        moves=moves,
    )


def disc(
    valid: np.ndarray, y: np.ndarray, x: np.ndarray, radius_px: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (n, k) rows and columns of the pixels around each column, and which are there."""
    half = int(np.ceil(radius_px))
    step = np.arange(-half, half + 1)
    dy, dx = (a.ravel() for a in np.meshgrid(step, step, indexing="ij"))
    near = np.hypot(dy, dx) <= radius_px + _ROUND
    yy = np.rint(y).astype(np.int64)[:, None] + dy[near]
    xx = np.rint(x).astype(np.int64)[:, None] + dx[near]
    height, width = valid.shape
    ok = (yy >= 0) & (yy < height) & (xx >= 0) & (xx < width)
    ok &= valid[np.where(ok, yy, 0), np.where(ok, xx, 0)]
    return yy, xx, ok
