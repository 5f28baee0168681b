"""Sites: the rows of one frame of the columns table, as arrays that fits work on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from stempede.columns.crystal import Crystal
from stempede.tables import Table

_SIGMAS_APART = 6.5
"""Columns of a perovskite stand about this many widths apart; a start where none is given."""


_HIDDEN = 4.5
"""Widths within which a column much brighter hides another: their light is told apart only by
how far a probe's tails are Gaussian."""

_BRIGHTER = 5.0
"""How much brighter it is."""

_SPARSE = 10.0
"""Spacing in widths beyond which columns are single, and look for themselves near by."""


@dataclass(frozen=True)
class Sites:
    """Lattice nodes of a frame and peaks on no lattice.

    Parameters
    ----------
    y, x : (n,) float64 array
        Starts, px.
    crystal : (n,) int64 array
        -1 on no lattice.
    i, j : (n,) float64 array
        NaN on no lattice.
    kind : (n,) int64 array
        Index into the crystal's species, that of the octahedron's centre on no lattice.
    brightness : (n,) float64 array
        Expected relative intensity.
    sigma_px : float
        Width to start from.
    spacing_px : float
        Typical distance of nearest columns.
    """

    y: np.ndarray
    x: np.ndarray
    crystal: np.ndarray
    i: np.ndarray
    j: np.ndarray
    kind: np.ndarray
    brightness: np.ndarray
    sigma_px: float
    spacing_px: float

    def __len__(self) -> int:
        return len(self.y)

    @property
    def on_lattice(self) -> np.ndarray:
        """(n,) bool: rows that have lattice coordinates."""
        return (self.crystal >= 0) & np.isfinite(self.i) & np.isfinite(self.j)

    @property
    def hidden(self) -> np.ndarray:
        """(n,) bool: columns that stand in the light of much brighter ones beside them."""
        found = np.zeros(len(self), bool)
        points = np.stack([self.y, self.x], axis=1)
        close = cKDTree(points).query_pairs(_HIDDEN * self.sigma_px, output_type="ndarray")
        for one, other in (close.T, close[:, ::-1].T):
            found[one[self.brightness[other] > _BRIGHTER * self.brightness[one]]] = True
        return found & self.on_lattice

    def repeated(self) -> np.ndarray:
        """Return (n,) which start within a width of another: off the lattice first, later ones."""
        order = np.lexsort((np.arange(len(self)), ~self.on_lattice))
        rank = np.argsort(order)
        found = np.zeros(len(self), bool)
        points = np.stack([self.y, self.x], axis=1)
        for one, other in cKDTree(points).query_pairs(self.sigma_px):
            found[one if rank[one] > rank[other] else other] = True
        return found

    @classmethod
    def of(cls, rows: Table, crystal: Crystal) -> Sites:
        """Return the sites of one frame's rows."""
        number = {name: k for k, name in enumerate(crystal.species)}
        kind = np.array([number.get(str(s), 0) for s in rows["species"]], dtype=np.int64)
        relative = {s.species: s.brightness for s in reversed(crystal.sites)}
        brightness = np.array([relative[name] for name in crystal.species])[kind]
        y, x = rows["y_px"], rows["x_px"]
        spacing = _spacing(y, x)
        widths = rows["sigma_major_px"][np.isfinite(rows["sigma_major_px"])]
        sigma = float(np.median(widths)) if len(widths) else spacing / _SIGMAS_APART
        sigma = max(sigma, 0.7)
        return cls(
            y,
            x,
            rows["crystal"],
            rows["i"],
            rows["j"],
            kind,
            brightness / brightness.max(initial=1e-12),
            sigma,
            float(np.clip(spacing, 3 * sigma, _SPARSE * sigma)),
        )


def _spacing(y: np.ndarray, x: np.ndarray) -> float:
    """Return the median distance of nearest neighbours; 20 px for a single column."""
    if len(y) < 2:
        return 20.0
    points = np.stack([y, x], axis=1)
    return float(np.median(cKDTree(points).query(points, k=2)[0][:, 1]))
