"""Elongation of columns: second moments over the probe that all columns of a frame share.

Astigmatism, mistilt and drift stretch every column alike; a tilt that alternates along the beam
stretches X columns across their bond, one about an in-plane axis stretches Pb+X (METHODS 1.5).
The common part is found from the X columns: across is a different direction for bonds along a
and along b, so that it and the octahedra's own part separate. Only the difference between two
directions is used, never the width itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stempede.columns.network import Network
from stempede.tables import Table

_LEAST_COLUMNS = 6
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Elongation:
    """Excess second moments of one crystal, px² of equal size; NaN where widths are shared.

    Parameters
    ----------
    x, se_x : (s,) float64 array
        X columns of each site: across the bond minus along it, mean over those seen.
    b, se_b : (s,) float64 array
        B column: major minus minor axis; noise's part taken off, may be negative.
    b_angle_deg : (s,) float64 array
        Major axis, against +x towards +y, (-90, 90].
    mean, se_mean : float
        Mean of x over the crystal's columns, each counted once, the probe's error included.
    """

    x: np.ndarray
    se_x: np.ndarray
    b: np.ndarray
    se_b: np.ndarray
    b_angle_deg: np.ndarray
    mean: float = np.nan
    se_mean: float = np.nan

    @classmethod
    def unknown(cls, n: int) -> Elongation:
        """Return an elongation of n sites of which nothing is known."""
        return cls(*np.full((5, n), np.nan))


def elongations(columns: Table, networks: Sequence[Network]) -> list[Elongation]:
    """Return the elongation of each crystal of one frame.

    Needs widths of their own: null for all where X columns share theirs, or where the bonds of
    the frame do not run in two directions.
    """
    bonds = [_Bonds.of(columns, network) for network in networks]
    shape = np.concatenate([b.shape for b in bonds]) if bonds else np.empty((0, 2))
    crystal = np.repeat(np.arange(len(bonds)), [len(b.shape) for b in bonds])
    unknown = [Elongation.unknown(len(n)) for n in networks]
    if len(shape) < _LEAST_COLUMNS or not _own_widths(shape):
        return unknown
    across = np.concatenate([b.across for b in bonds])
    variance = np.concatenate([b.variance for b in bonds])
    fitted = _common_probe(shape, across, variance, crystal, len(bonds))
    if fitted is None:
        return unknown
    probe, mean, se_mean = fitted
    excess = 2 * ((shape - probe) * across).sum(axis=1)
    off = (excess - mean[crystal]) / np.sqrt(variance)
    # errors are those of ideal counting; overlap and background make them larger
    factor = max(1.0, _MAD_TO_SIGMA * float(np.median(np.abs(off))))
    return [
        _of_sites(
            columns,
            network,
            bonds[k],
            excess=excess[crystal == k],
            probe=probe,
            factor=factor,
            mean=(float(mean[k]), float(se_mean[k]) * factor),
        )
        for k, network in enumerate(networks)
    ]


@dataclass(frozen=True)
class _Bonds:
    """X columns of one crystal, each once: shape, direction across the bond, variance, sites."""

    shape: np.ndarray  # (k, 2) traceless moment: (xx - yy) / 2, xy
    across: np.ndarray  # (k, 2) cos and sin of twice the direction across
    variance: np.ndarray  # (k,) of twice the moment's component
    place: np.ndarray  # (s, 4) number of each site's bonds within these, -1

    @classmethod
    def of(cls, columns: Table, network: Network) -> _Bonds:
        site, way = np.nonzero(network.bonds)
        x = network.x[site, way]
        ids, first, inverse = np.unique(x, return_index=True, return_inverse=True)
        place = np.full(network.x.shape, -1)
        place[site, way] = inverse
        edge = (
            network.nodes.yx[network.towards[site, way]] - network.nodes.yx[network.sites[site]]
        )[first]
        angle = np.arctan2(edge[:, 0], edge[:, 1]) + np.pi / 2
        shape, total = _moments(columns, network, ids)
        trace = np.trace(network.nodes.covariance[ids], axis1=1, axis2=2) / 2
        # a Gaussian of N electrons: variance s²/N of its position, 2 s⁴/N of its s²
        variance = 4 * (total / 2) * trace
        return cls(shape, np.stack([np.cos(2 * angle), np.sin(2 * angle)], axis=1), variance, place)


def _moments(columns: Table, network: Network, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (k, 2) traceless second moment and (k,) trace, px² of equal size."""
    rows = network.rows[ids]
    major, minor = columns["sigma_major_px"][rows] ** 2, columns["sigma_minor_px"][rows] ** 2
    angle = np.radians(columns["angle_deg"][rows])
    scale_y, scale_x = network.scale_yx
    xx = (major * np.cos(angle) ** 2 + minor * np.sin(angle) ** 2) * scale_x**2
    yy = (major * np.sin(angle) ** 2 + minor * np.cos(angle) ** 2) * scale_y**2
    xy = (major - minor) * np.sin(angle) * np.cos(angle) * scale_x * scale_y
    return np.stack([(xx - yy) / 2, xy], axis=1), xx + yy


def _own_widths(shape: np.ndarray) -> bool:
    """Return whether columns have shapes of their own; shared ones are equal to the last digit."""
    return bool(
        np.isfinite(shape).all() and len(np.unique(shape.round(9), axis=0)) > len(shape) / 2
    )


def _common_probe(
    shape: np.ndarray, across: np.ndarray, variance: np.ndarray, crystal: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return probe (2,), and each crystal's mean excess with its error.

    Least squares of shape = probe + excess/2 along across.
    """
    half = (crystal[:, None] == np.arange(n)) / 2.0
    design = np.vstack(
        [
            np.column_stack([np.broadcast_to(unit, (len(shape), 2)), half * across[:, k, None]])
            for k, unit in enumerate(np.eye(2))
        ]
    )
    empty = ~half.any(axis=0)
    used = np.concatenate([[True, True], ~empty])
    if np.linalg.matrix_rank(design[:, used]) < used.sum():
        return None
    solve = np.linalg.pinv(design[:, used])
    found = np.full(2 + n, np.nan)
    found[used] = solve @ shape.T.ravel()
    error = np.full((2 + n, 2 + n), np.nan)
    # excess is twice a component, and so four times its variance
    error[np.ix_(used, used)] = (solve * np.tile(variance / 4, 2)) @ solve.T
    return found[:2], found[2:], np.sqrt(np.diagonal(error)[2:])


def _of_sites(
    columns: Table,
    network: Network,
    bonds: _Bonds,
    *,
    excess: np.ndarray,
    probe: np.ndarray,
    factor: float,
    mean: tuple[float, float],
) -> Elongation:
    """Return the elongation of a crystal's sites, given the frame's probe."""
    has = bonds.place >= 0
    place = np.where(has, bonds.place, 0)
    number = np.maximum(has.sum(axis=1), 1)
    x = np.where(has, excess[place], 0).sum(axis=1) / number
    se_x = factor * np.sqrt(np.where(has, bonds.variance[place], 0).sum(axis=1)) / number
    shape, total = _moments(columns, network, network.sites)
    trace = np.trace(network.nodes.covariance[network.sites], axis1=1, axis2=2) / 2
    variance = factor**2 * 4 * (total / 2) * trace
    off = shape - probe
    # the square of the difference of the axes holds the variance of both of its components
    square = 4 * (off**2).sum(axis=1) - 2 * variance
    none = np.isnan(network.tilt_deg)
    b_angle = np.degrees(np.arctan2(off[:, 1], off[:, 0])) / 2
    b = np.sign(square) * np.sqrt(np.abs(square))
    x, se_x, b, se_b, b_angle = (
        np.where(none, np.nan, part) for part in (x, se_x, b, np.sqrt(variance), b_angle)
    )
    return Elongation(x, se_x, b, se_b, b_angle, *mean)


def rms(square: np.ndarray, se_square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the signed root of a second moment and its standard error.

    Near zero a root has no slope to carry an error through: the error is half the longer side
    of the two-sigma interval, so that a root stands two errors from zero where its moment does.
    """

    def root(x: np.ndarray) -> np.ndarray:
        return np.asarray(np.sign(x) * np.sqrt(np.abs(x)))

    value = root(square)
    above, below = root(square + 2 * se_square) - value, value - root(square - 2 * se_square)
    return value, np.maximum(above, below) / 2
