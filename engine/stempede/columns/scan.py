"""Scan: position noise that the counts do not explain, carried into the columns' errors.

Lines of a scan jitter, and columns of neighbouring lines with them. A fit knows only of its
electrons, so its errors are too small wherever the dose is high. The rest is measured where
the lattice is a ruler: second differences of B columns and of A columns along a and b. They are
blind to lattice vectors, drift and uniform strain. X columns stand aside by the tilt and take
no part, but carry the same jitter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stempede.columns.directions import Grid, role_of
from stempede.columns.network import Network
from stempede.columns.octahedra import crystal_networks
from stempede.frames import Batch

_LEAST = 12
_LEAST_RISE = 0.2
"""Triples whose columns share their scan lines jitter together: they must rise by this share of
their length from one to the next."""

_INDEPENDENT = 0.5
"""Second differences share columns: their squares know half of what as many free ones would."""

_OUTLIER = 5.0
_SHARES = (1.0, 4.0, 1.0)
_TOTAL = sum(_SHARES)


@dataclass(frozen=True)
class Scan:
    """Add what the scan does to the errors of the fitted columns.

    Per frame and axis: the variance that the second differences of the lattice show beyond the
    fits' own, if it is significant. Positions are not moved: a jitter of single lines cannot be
    told from noise column by column. Slow drift stays in positions and lattice vectors.

    Parameters
    ----------
    least_ratio : float
        Twice the log-likelihood ratio above which the excess is taken for real.

    Notes
    -----
    Disorder of the B and A columns from cell to cell is part of the excess too.
    """

    least_ratio: float = 4.0

    name: ClassVar[str] = "columns.scan"
    reads: ClassVar[tuple[str, ...]] = ("columns", "crystals")
    writes: ClassVar[tuple[str, ...]] = ("columns", "crystals")

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with larger errors in ``columns`` and the excess in ``crystals``."""
        columns, crystals = batch.tables["columns"], batch.tables["crystals"]
        fields = {name: columns[name].copy() for name in ("se_y_px", "se_x_px")}
        told = {name: crystals[name].copy() for name in ("scan_y_px", "scan_x_px")}
        # an inferred position's error is not one of a fit
        fitted = (columns["state"] != "INFERRED") & (columns["state"] != "NOT_RUN")
        for record, size in zip(batch.records, batch.pixel_size_nm):
            rows = np.flatnonzero(crystals["frame"] == record.frame)
            networks = crystal_networks(columns, crystals, rows, size)
            excess = scan_variance(networks, self.least_ratio)
            here = fitted & (columns["frame"] == record.frame)
            for k, axis in enumerate("yx"):
                error = fields[f"se_{axis}_px"]
                error[here] = np.hypot(error[here], np.sqrt(excess[k]))
                told[f"scan_{axis}_px"][rows] = np.sqrt(excess[k])
        return batch.with_(
            tables={
                "columns": columns.with_columns(fields),
                "crystals": crystals.with_columns(told),
            }
        )


def scan_variance(networks: Sequence[Network], least_ratio: float = 4.0) -> np.ndarray:
    """Return (2,) variance along y and x, px² of the frame, beyond the columns' own errors.

    Parameters
    ----------
    networks : sequence of Network
        Crystals of one frame.
    least_ratio : float
        Twice the log-likelihood ratio against no excess; below it the excess is zero.
    """
    parts = [_second_differences(network) for network in networks]
    if sum(len(difference) for difference, _ in parts) < _LEAST:
        return np.zeros(2)
    difference = np.concatenate([d for d, _ in parts])
    expected = np.concatenate([e for _, e in parts])
    return np.array([_excess(difference[:, k], expected[:, k], least_ratio) for k in (0, 1)])


def _second_differences(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Return (k, 2) second differences of position and their variances, px of the frame."""
    role = role_of(network.ij2)
    found = np.flatnonzero(network.seen & (role != "X"))
    grid = Grid(network.ij2[found])
    yx = network.nodes.yx[: len(network.ij2)] / network.scale_yx
    variance = np.diagonal(network.nodes.covariance, axis1=1, axis2=2) / network.scale_yx**2
    differences, variances = [], []
    for step in np.array([(2, 0), (0, 2)]):
        before, after = (grid.at(network.ij2[found] + way * step) for way in (-1, 1))
        inside = (before >= 0) & (after >= 0)
        triple = found[np.stack([before, np.arange(len(found)), after])[:, inside]]
        rise = np.abs(yx[triple[2]] - yx[triple[0]])
        triple = triple[:, rise[:, 0] > _LEAST_RISE * np.linalg.norm(rise, axis=1)]
        differences.append(yx[triple[0]] - 2 * yx[triple[1]] + yx[triple[2]])
        variances.append(sum(w * variance[t] for w, t in zip(_SHARES, triple)))
    return np.concatenate(differences), np.concatenate(variances)


def _excess(difference: np.ndarray, expected: np.ndarray, least_ratio: float) -> float:
    """Return the most likely variance of single positions beyond the expected; 0 if none is."""
    known = np.isfinite(difference) & np.isfinite(expected) & (expected > 0)
    square, expected = difference[known] ** 2, expected[known]
    excess = 0.0
    for _ in range(3):
        # a wrong match is no jitter
        kept = square < _OUTLIER**2 * np.maximum(expected + _TOTAL * excess, np.median(square))
        if kept.sum() < _LEAST:
            return 0.0
        excess = _most_likely(square[kept], expected[kept])
    ratio = _log_likelihood(excess, square[kept], expected[kept])
    ratio -= _log_likelihood(0.0, square[kept], expected[kept])
    return excess if 2 * ratio * _INDEPENDENT > least_ratio else 0.0


def _most_likely(square: np.ndarray, expected: np.ndarray) -> float:
    """Return the variance of highest likelihood by Fisher scoring, at least 0."""
    excess = 0.0
    for _ in range(30):
        total = expected + _TOTAL * excess
        score = ((square - total) / total**2).sum()
        move = score / (_TOTAL * (1 / total**2).sum())
        excess, last = max(0.0, excess + float(move)), excess
        if abs(excess - last) < 1e-9:
            break
    return excess


def _log_likelihood(excess: float, square: np.ndarray, expected: np.ndarray) -> float:
    total = expected + _TOTAL * excess
    return float(-(np.log(total) + square / total).sum() / 2)
