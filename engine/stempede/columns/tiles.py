"""Tiles: sites of large crystals averaged in squares, so that a full covariance stays small."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from stempede.columns.forms import Form

MOST_SITES = 500


@dataclass(frozen=True)
class Tiled:
    """Values of sites or of squares of them, with their covariance; ``ij`` in cells."""

    value: np.ndarray
    covariance: np.ndarray
    core: np.ndarray
    shell: np.ndarray
    ij: np.ndarray


def tiled(form: Form, i: np.ndarray, j: np.ndarray, core: np.ndarray, shell: np.ndarray) -> Tiled:
    """Return the known sites, or means over squares that hold one group each if there are many.

    Parameters
    ----------
    form : Form
    i, j : (m,) int array
    core, shell : (m,) bool array
        Groups that no square mixes.
    """
    known = np.flatnonzero(np.isfinite(form.value))
    edge = 1
    while True:
        key = np.stack([(core + 2 * shell)[known], i[known] // edge, j[known] // edge])
        _, first, tile = np.unique(key, axis=1, return_index=True, return_inverse=True)
        if len(first) <= MOST_SITES:
            break
        edge += 1
    size = np.bincount(tile)
    shape = (len(first), len(known))
    rows = sparse.csr_array((1 / size[tile], (tile, np.arange(len(known)))), shape=shape)
    part = form.take(known)
    at = known[first]
    return Tiled(
        rows @ part.value,
        part.covariance(rows),
        core[at],
        shell[at],
        rows @ np.column_stack([i, j])[known],
    )
