"""Species: what each column is, by its place in the cell first and its brightness second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.spatial import cKDTree

from stempede.columns.crystal import Crystal, crystal_of
from stempede.frames import Batch
from stempede.tables import Table

_NEIGHBOURS = 12
_FOREIGN = 10.0
"""Intensity of a foreign column, at most, in those of the brightest species."""


@dataclass(frozen=True)
class Species:
    """Name the species of every column and say how sure that is.

    On a lattice the site gives the species. Its probability compares what the intensity says
    for the site's species with the other species and with anything at all; intensities are
    judged against columns around, so that thickness does not matter. Off every lattice
    intensity alone decides, among the frame's species.

    Parameters
    ----------
    crystal : str, mapping or Crystal
        The cell; see ``crystal_of``.
    doubt : float
        Prior probability that a site does not hold its own species.
    """

    crystal: Any = "CsPbI3"
    doubt: float = 0.02

    name: ClassVar[str] = "columns.species"
    reads: ClassVar[tuple[str, ...]] = ("columns", "frames")
    writes: ClassVar[tuple[str, ...]] = ("columns", "frames")

    def __post_init__(self) -> None:
        if not 0 < self.doubt < 1:
            raise ValueError(f"doubt lies between 0 and 1, found {self.doubt}; 0.02 is usual")

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with ``species p_species accepted reject_reason`` filled.

        ``n_columns`` of the frames becomes the number of those accepted.
        """
        cell = crystal_of(self.crystal)
        columns = batch.tables["columns"]
        species = np.array([str(s) for s in columns["species"]], dtype=object)
        probability = np.full(len(columns), np.nan)
        for frame in np.unique(columns["frame"]):
            rows = np.flatnonzero(columns["frame"] == frame)
            part = columns.take(rows)
            species[rows], probability[rows] = name_species(part, cell, self.doubt)
        accepted, reason = verdicts(columns)
        found = columns.with_columns(
            {
                "species": species,
                "p_species": probability,
                "accepted": accepted,
                "reject_reason": reason,
            }
        )
        frames = batch.tables["frames"]
        kept = columns["frame"][accepted]
        counts = [int((kept == frame).sum()) for frame in frames["frame"].tolist()]
        return batch.with_(
            tables={"columns": found, "frames": frames.with_columns({"n_columns": counts})}
        )


def name_species(rows: Table, cell: Crystal, doubt: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the species of one frame's columns and their probabilities.

    Parameters
    ----------
    rows : Table
        Fitted columns of a frame.
    cell : Crystal
    doubt : float

    Returns
    -------
    species : (n,) object array of str
    probability : (n,) float64 array
        NaN where nothing was measured.
    """
    names = np.array(cell.species, dtype=object)
    number = {name: k for k, name in enumerate(names)}
    kind = np.array([number.get(str(s), -1) for s in rows["species"]], dtype=np.int64)
    seen = measured(rows)
    sited = (rows["crystal"] >= 0) & np.isfinite(rows["i"]) & (kind >= 0)
    brightness = _brightness(rows["intensity"], kind, seen & sited, cell)
    thickness = local_thickness(rows, kind, seen & sited, brightness)
    log = _log_likelihoods(rows, thickness, brightness, kind, seen & sited)
    prior = np.full((len(rows), len(names) + 1), doubt / len(names))
    prior[np.flatnonzero(sited), kind[sited]] = 1 - doubt
    prior[~sited, :-1] = (1 - doubt) / len(names)
    log += np.log(prior)
    posterior = np.exp(log - log.max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    named = np.where(sited, kind, posterior[:, :-1].argmax(axis=1))
    probability = posterior[np.arange(len(rows)), named]
    # nothing was measured at an inferred site: only its place speaks
    probability[~seen & sited] = 1 - doubt
    probability[~seen & ~sited] = np.nan
    return names[named], probability


def measured(rows: Table) -> np.ndarray:
    """Return which columns have an intensity of their own."""
    state = np.array([str(s) for s in rows["state"]])
    fitted = np.isin(state, ("CONVERGED", "MAX_ITERATIONS"))
    return fitted & np.isfinite(rows["intensity"]) & (rows["se_intensity"] > 0)


def verdicts(columns: Table) -> tuple[np.ndarray, np.ndarray]:
    """Return which columns are accepted, and why the others are not.

    A reason that the fit gave stands.
    """
    state = np.array([str(s) for s in columns["state"]])
    reason = np.array([str(r) for r in columns["reject_reason"]], dtype=object)
    lattice = (columns["crystal"] >= 0) & np.isfinite(columns["i"])
    known = (
        (~np.isfinite(columns["y_px"]), "no position"),
        (~lattice, "off lattice"),
        (state == "NOT_RUN", "nothing to fit"),
        (np.isin(state, ("SINGULAR", "OUT_OF_WINDOW")), "fit failed"),
    )
    for which, why in known:
        reason[which & (reason == "")] = why
    return reason == "", reason


def _brightness(
    intensity: np.ndarray, kind: np.ndarray, known: np.ndarray, cell: Crystal
) -> np.ndarray:
    """Return the typical intensity of each species; the cell's where too few were seen."""
    nominal = {s.species: s.brightness for s in reversed(cell.sites)}
    relative = np.array([nominal[name] for name in cell.species])
    found = np.full(len(relative), np.nan)
    for k in range(len(relative)):
        own = intensity[known & (kind == k)]
        if len(own) >= 4:
            found[k] = np.median(own)
    if not np.isfinite(found).any():
        # too few of any species for a median of its own: the cell's ratios, one scale
        some = known & (kind >= 0) & (intensity > 0)
        lit = intensity[intensity > 0]
        if some.any():
            scale = float(np.median(intensity[some] / relative[kind[some]]))
        else:
            scale = float(np.median(lit)) / relative.max() if len(lit) else 1.0
        return relative * max(scale, 1e-9)
    scale = np.nanmedian(found / relative)
    return np.maximum(np.where(np.isfinite(found), found, relative * scale), 1e-9)


def local_thickness(
    rows: Table, kind: np.ndarray, known: np.ndarray, brightness: np.ndarray
) -> np.ndarray:
    """Return (n,) intensities around each column against those typical of their species.

    The column itself does not count. Where fewer than 3 neighbours were seen it is 1.
    """
    thickness = np.ones(len(rows))
    use = np.flatnonzero(known)
    if len(use) < 4:
        return thickness
    points = np.stack([rows["y_px"], rows["x_px"]], axis=1)
    finite = np.isfinite(points).all(axis=1)
    k = min(_NEIGHBOURS + 1, len(use))
    distance, near = cKDTree(points[use]).query(points[finite], k=k)
    ratio = rows["intensity"][use] / brightness[kind[use]]
    weight = brightness[kind[use]]
    itself = use[near] == np.flatnonzero(finite)[:, None]
    scale = np.median(distance[:, 1]) if k > 1 else 1.0
    value = weight[near] * np.exp(-0.5 * (distance / (2 * scale)) ** 2) * ~itself
    thickness[finite] = (value * ratio[near]).sum(axis=1) / np.maximum(value.sum(axis=1), 1e-12)
    return np.maximum(thickness, 0.05)


def _log_likelihoods(
    rows: Table,
    thickness: np.ndarray,
    brightness: np.ndarray,
    kind: np.ndarray,
    known: np.ndarray,
) -> np.ndarray:
    """Return (n, s + 1) log-likelihoods of intensities; the last for anything at all."""
    intensity = np.nan_to_num(rows["intensity"])
    variance = np.nan_to_num(rows["se_intensity"], nan=1.0) ** 2
    expected = thickness[:, None] * brightness
    log = np.empty((len(rows), len(brightness) + 1))
    for k in range(len(brightness)):
        own = known & (kind == k)
        spread = _spread(intensity[own], variance[own], expected[own, k]) if own.any() else 0.2
        total = variance + (spread * expected[:, k]) ** 2
        log[:, k] = -0.5 * ((intensity - expected[:, k]) ** 2 / total + np.log(2 * np.pi * total))
    log[:, -1] = -np.log(_FOREIGN * brightness.max())
    return log


def _spread(intensity: np.ndarray, variance: np.ndarray, expected: np.ndarray) -> float:
    """Return the relative spread of intensities beyond their errors, robustly."""
    off = (intensity - expected) / expected
    total = (1.4826 * np.median(np.abs(off - np.median(off)))) ** 2
    return float(np.sqrt(max(total - np.median(variance / expected**2), 0.05**2)))
