"""Halides: how much of the lighter halide each X column of a mixed crystal holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.spatial import cKDTree

from stempede.columns.alloy import Alloy, anchored
from stempede.columns.crystal import Crystal, crystal_of
from stempede.columns.map_correlation import correlate
from stempede.columns.species import measured
from stempede.frames import Batch
from stempede.tables import Table

_NEAR = 0.8
"""Cells within which B and A columns tell the thickness at an X column."""

_X_OF_SITE = 0.62
"""Cells within which the X columns of an octahedron stand."""


@dataclass(frozen=True)
class Halides:
    """Find the fraction of bromine in each X column of mixed iodide-bromide crystals.

    An X column is compared with the B and A columns next to it, whose intensities give the
    local thickness. Fractions are not cut at 0 and 1, so that their means stay true; each has
    its standard error.

    Parameters
    ----------
    crystal : str, mapping or Crystal
        The cell of the pure heavier halide; see ``crystal_of``.
    reference : float, optional
        Intensity of a pure X column over that of the B column beside it, measured on a crystal
        of the heavier halide alone. Without it the level is set by the spread of the fractions
        themselves, as in a dilute random alloy: differences and correlations hold, the mean
        is then a lower bound.
    ratio : float
        Brightness of the lighter halide over the heavier one's; Z^1.7 gives 0.494 for Br and I.
    """

    crystal: Any = "CsPbI3"
    reference: float | None = None
    ratio: float = 0.494

    name: ClassVar[str] = "columns.halides"
    reads: ClassVar[tuple[str, ...]] = ("columns", "octahedra", "crystals")
    writes: ClassVar[tuple[str, ...]] = ("columns", "octahedra", "crystals")

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise ValueError(f"ratio lies between 0 and 1, found {self.ratio}; 0.494 is Br over I")
        if self.reference is not None and not self.reference > 0:
            raise ValueError(f"reference is above 0, found {self.reference}; leave it out instead")

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with ``br_fraction`` of columns, octahedra and crystals."""
        cell = crystal_of(self.crystal)
        tables = {name: batch.tables[name] for name in self.reads}
        columns, octahedra, crystals = (tables[name] for name in self.reads)
        fraction = np.full((len(columns), 2), np.nan)
        site = np.full((len(octahedra), 2), np.nan)
        whole = {name: np.full(len(crystals), np.nan) for name in _WHOLE}
        for row in range(len(crystals)):
            key = (crystals["frame"][row], crystals["crystal"][row])
            own = np.flatnonzero(
                (columns["frame"] == key[0]) & (columns["crystal"] == key[1]) & columns["accepted"]
            )
            sites = np.flatnonzero(
                (octahedra["frame"] == key[0]) & (octahedra["crystal"] == key[1])
            )
            found = fractions(columns.take(own), cell, self.reference, self.ratio)
            fraction[own] = np.column_stack([found.fraction, found.error])
            site[sites] = _of_sites(octahedra.take(sites), columns.take(own), found)
            for name, value in _of_crystal(octahedra.take(sites), site[sites], found).items():
                whole[name][row] = value
        pair = {"br_fraction": 0, "se_br_fraction": 1}
        return batch.with_(
            tables={
                "columns": columns.with_columns({n: fraction[:, k] for n, k in pair.items()}),
                "octahedra": octahedra.with_columns({n: site[:, k] for n, k in pair.items()}),
                "crystals": crystals.with_columns(whole),
            }
        )


_WHOLE = ("br_fraction", "se_br_fraction", "br_tilt_correlation", "p_br_tilt")


def fractions(rows: Table, cell: Crystal, reference: float | None, ratio: float) -> Alloy:
    """Return the fraction of the lighter halide in the X columns of one crystal.

    Parameters
    ----------
    rows : Table
        Accepted columns of one crystal.
    cell : Crystal
    reference : float, optional
        See ``Halides``.
    ratio : float

    Returns
    -------
    Alloy
        NaN for columns that are no X column, or that have fewer than two neighbours.
    """
    species = np.array([str(s) for s in rows["species"]])
    role = {s.species: s.role for s in reversed(cell.sites)}
    kind = np.array([role.get(s, "") for s in species], dtype=object)
    known = measured(rows) & np.isfinite(rows["i"])
    nominal = {s.species: s.brightness for s in reversed(cell.sites)}
    share = nominal[cell.named("X")] / nominal[cell.named("B")]
    alloy = Alloy.none(len(rows))
    x = np.flatnonzero(known & (kind == "X"))
    base = np.flatnonzero(known & ((kind == "B") | (kind == "A")))
    if len(x) < 4 or len(base) < 4:
        return alloy
    ij = np.column_stack([rows["i"], rows["j"]])
    near = cKDTree(ij[base]).query_ball_point(ij[x], _NEAR)
    is_b = kind[base] == "B"
    # A columns are put on the scale of B columns by the crystal's own ratio
    scale = np.ones(len(base))
    if is_b.any() and (~is_b).any():
        scale[~is_b] = np.median(rows["intensity"][base][is_b]) / np.median(
            rows["intensity"][base][~is_b]
        )
    value = rows["intensity"][base] * scale
    error = rows["se_intensity"][base] * scale
    inner = np.zeros(len(base))
    for _ in range(4):
        # the B column holds X too: its loss of brightness is put back
        lit = value / (1 - is_b * share * (1 - ratio) * np.clip(inner, 0, 1))
        thickness, spread = _means(lit, error, near)
        relative = rows["intensity"][x] / thickness
        noise = np.hypot(rows["se_intensity"][x] / thickness, relative * spread / thickness)
        found = anchored(relative, noise, reference, ratio)
        inner = _around(ij[base], ij[x], found.fraction)
    alloy.fraction[x], alloy.error[x] = found.fraction, found.error
    return alloy


def _means(value: np.ndarray, error: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean of the neighbours of each X column, and its error."""
    mean, spread = np.full(len(near), np.nan), np.full(len(near), np.nan)
    for k, members in enumerate(near):
        if len(members) >= 2:
            weight = 1 / np.maximum(error[members], 1e-9) ** 2
            mean[k] = (weight * value[members]).sum() / weight.sum()
            spread[k] = weight.sum() ** -0.5
    return mean, spread


def _around(places: np.ndarray, x: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Return the mean fraction of the X columns around each place; the overall mean without."""
    good = np.isfinite(fraction)
    overall = float(fraction[good].mean()) if good.any() else 0.0
    near = cKDTree(x[good]).query_ball_point(places, 1.2) if good.any() else [[]] * len(places)
    part = fraction[good]
    return np.array([part[members].mean() if members else overall for members in near])


def _of_sites(octahedra: Table, columns: Table, found: Alloy) -> np.ndarray:
    """Return (s, 2) means over the X columns of each octahedron, with their errors."""
    mean = np.full((len(octahedra), 2), np.nan)
    good = np.flatnonzero(np.isfinite(found.fraction))
    if not len(good) or not len(octahedra):
        return mean
    ij = np.column_stack([columns["i"], columns["j"]])[good]
    sites = np.column_stack([octahedra["i"], octahedra["j"]])
    for k, members in enumerate(cKDTree(ij).query_ball_point(sites, _X_OF_SITE)):
        if members:
            own = good[members]
            mean[k] = found.fraction[own].mean(), np.hypot.reduce(found.error[own]) / len(own)
    return mean


def _of_crystal(octahedra: Table, site: np.ndarray, found: Alloy) -> dict[str, float]:
    good = np.isfinite(found.fraction)
    none = dict.fromkeys(_WHOLE, np.nan)
    if good.sum() < 4:
        return none
    values = found.fraction[good]
    error = np.hypot(values.std(ddof=1) / np.sqrt(good.sum()), found.level_error)
    mean = {"br_fraction": float(values.mean()), "se_br_fraction": float(error)}
    tilt = octahedra["staggered_tilt_deg"].copy()
    for domain in np.unique(octahedra["domain"]):
        own = octahedra["domain"] == domain
        if np.isfinite(tilt[own]).any():
            tilt[own] *= np.sign(np.nanmean(tilt[own])) or 1.0
    ij = np.column_stack([octahedra["i"], octahedra["j"]])
    strength, chance = correlate(ij, (site[:, 0], site[:, 1]), (tilt, octahedra["se_tilt_deg"]))
    return none | mean | {"br_tilt_correlation": strength, "p_br_tilt": chance}
