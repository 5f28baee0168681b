"""Rings: how many cells a site stands from the surface of its crystal.

Layer 0 are the sites that lack one of their eight neighbours, layer n those n steps further in;
a step may go across a corner. A column that is missing in the inside is no surface. Where the
frame's border cuts a crystal, what lies beyond is not known: a site nearer to the border than
to any surface has no layer.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from stempede.tables import MISSING

SITE_MARGIN = 0.3
CELL_MARGIN = 0.8
"""Cells from a border within which a column, or one of a cell's corners, cannot be seen."""


def layers_of(i: np.ndarray, j: np.ndarray, unknown: np.ndarray | None = None) -> np.ndarray:
    """Return the layer of each site.

    Parameters
    ----------
    i, j : (n,) array
        Lattice coordinates, one step apart; B sites, or the centres of cells.
    unknown : (m, 2) array, optional
        Coordinates (i, j) of which nothing is known since they lie outside the frame.

    Returns
    -------
    (n,) int64 array
        0 is outermost; ``MISSING`` where it cannot be told.
    """
    if not len(i):
        return np.zeros(0, dtype=np.int64)
    low = np.floor([i.min(), j.min()]).astype(int)
    fraction = np.array([i[0], j[0]]) - np.floor([i[0], j[0]])
    u = np.rint(i - fraction[0]).astype(int) - low[0] + 1
    v = np.rint(j - fraction[1]).astype(int) - low[1] + 1
    there = np.zeros((u.max() + 2, v.max() + 2), dtype=bool)
    there[u, v] = True
    dark = np.zeros_like(there)
    if unknown is not None and len(unknown):
        at = np.rint(np.asarray(unknown) - fraction).astype(int) - low + 1
        inside = ((at >= 0) & (at < there.shape)).all(axis=1)
        dark[tuple(at[inside].T)] = True
        dark &= ~there
    filled = ndimage.binary_fill_holes(there | dark)
    surface = _distance(filled)
    border = _distance(~dark) if dark.any() else np.full(there.shape, np.iinfo(np.int64).max)
    layer = np.where(surface <= border, surface - 1, MISSING)
    return layer[u, v].astype(np.int64)


def _distance(inside: np.ndarray) -> np.ndarray:
    """Chessboard distance to the nearest place that is not inside; far where there is none."""
    if inside.all():
        return np.full(inside.shape, np.iinfo(np.int64).max)
    return ndimage.distance_transform_cdt(inside, metric="chessboard").astype(np.int64)


def outside_frame(
    i: np.ndarray,
    j: np.ndarray,
    yx: np.ndarray,
    shape: tuple[int, int],
    *,
    margin_cells: float = SITE_MARGIN,
) -> np.ndarray:
    """Return the lattice places around a crystal that the frame does not show.

    Parameters
    ----------
    i, j : (n,) array
        Coordinates of the sites.
    yx : (n, 2) float64 array
        Their positions, px.
    shape : (h, w)
        Of the frame.
    margin_cells : float
        A site nearer than this to the border could not have been seen; for cells, given by
        their centres, ``CELL_MARGIN``.

    Returns
    -------
    (m, 2) float64 array
        (i, j) with a part of one step around the crystal's bounding rectangle; empty where the
        sites do not span a lattice.
    """
    design = np.column_stack([np.ones(len(i)), i, j])
    if len(i) < 3 or np.linalg.matrix_rank(design) < 3:
        return np.empty((0, 2))
    solved = np.linalg.lstsq(design, yx, rcond=None)[0]
    around = np.stack(
        np.meshgrid(
            np.arange(i.min() - 1, i.max() + 2), np.arange(j.min() - 1, j.max() + 2), indexing="ij"
        ),
        axis=-1,
    ).reshape(-1, 2)
    place = np.column_stack([np.ones(len(around)), around]) @ solved
    margin = margin_cells * np.sqrt(np.hypot(*solved[1]) * np.hypot(*solved[2]))
    seen = (place >= margin) & (place <= np.array(shape) - 1 - margin)
    return around[~seen.all(axis=1)]
