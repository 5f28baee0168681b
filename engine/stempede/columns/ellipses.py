"""Elongation of columns: second moments over the probe that all columns of a frame share.

Astigmatism, mistilt and drift stretch every column alike; a tilt that alternates along the beam
stretches X columns across their bond, one about an in-plane axis stretches Pb+X (METHODS 1.5).
The common part is found from the X columns: across is a different direction for bonds along a
and along b, so that it and the octahedra's own part separate. Only the difference between two
directions is used, never the width itself.

A column whose halves stand δ to either side has lighter tails than the Gaussian that is fitted
to it, and the background hides them: the Gaussian's excess grows faster than δ². X columns are
read as such halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stempede.columns.network import Network
from stempede.tables import Table

_LEAST_COLUMNS = 6
_MAD_TO_SIGMA = 1.4826
_HALVES = 0.18
"""By how much a fitted Gaussian's excess e is above δ²: e / δ² = 1 + 0.18 e / σ².

Holds within 4 % for δ up to σ where the background is 4 to 5 % of the column's height and
windows are seven to eight σ wide.
"""


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
    b_mean, se_b_mean, b_mean_angle_deg : float
        Of the mean B column: components are averaged, not axes, so that noise cancels.
    """

    x: np.ndarray
    se_x: np.ndarray
    b: np.ndarray
    se_b: np.ndarray
    b_angle_deg: np.ndarray
    mean: float = np.nan
    se_mean: float = np.nan
    b_mean: float = np.nan
    se_b_mean: float = np.nan
    b_mean_angle_deg: float = np.nan

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
    probe, se_probe, mean, se_mean = fitted
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
            probe=(probe, se_probe * factor),
            factor=factor,
            mean=(float(mean[k]), float(se_mean[k]) * factor),
        )
        for k, network in enumerate(networks)
    ]


@dataclass(frozen=True)
class _Bonds:
    """X columns of one crystal, each once: shape, direction across the bond, variance, sites."""

    shape: np.ndarray  # (k, 2) traceless moment: (xx - yy) / 2, xy
    total: np.ndarray  # (k,) trace of the moment
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
        across = np.stack([np.cos(2 * angle), np.sin(2 * angle)], axis=1)
        return cls(shape, total, across, variance, place)


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
) -> tuple[np.ndarray, float, np.ndarray, np.ndarray] | None:
    """Return probe (2,) with the error of a component, and each crystal's mean excess with its.

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
    error = np.diagonal(error)
    return found[:2], float(np.sqrt(error[:2].mean())), found[2:], np.sqrt(error[2:])


def _of_sites(
    columns: Table,
    network: Network,
    bonds: _Bonds,
    *,
    excess: np.ndarray,
    probe: tuple[np.ndarray, float],
    factor: float,
    mean: tuple[float, float],
) -> Elongation:
    """Return the elongation of a crystal's sites, given the frame's probe."""
    has = bonds.place >= 0
    place = np.where(has, bonds.place, 0)
    number = np.maximum(has.sum(axis=1), 1)
    x = np.where(has, excess[place], 0).sum(axis=1) / number
    se_x = factor * np.sqrt(np.where(has, bonds.variance[place], 0).sum(axis=1)) / number
    known = np.isfinite(network.tilt_deg)
    round_ = float(np.median(bonds.total - excess)) / 2 if len(excess) else np.nan
    b, se_b, b_angle, b_mean = _brightest(columns, network, probe, factor, known)
    x, se_x = of_halves(x, se_x, round_)
    x, se_x, b, se_b, b_angle = (
        np.where(known, part, np.nan) for part in (x, se_x, b, se_b, b_angle)
    )
    x_mean, se_x_mean = of_halves(np.asarray(mean[0]), np.asarray(mean[1]), round_)
    return Elongation(x, se_x, b, se_b, b_angle, float(x_mean), float(se_x_mean), *b_mean)


def _brightest(
    columns: Table,
    network: Network,
    probe: tuple[np.ndarray, float],
    factor: float,
    known: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[float, float, float]]:
    """Return excess, error and direction of each B column, and of the mean of those known."""
    shape, total = _moments(columns, network, network.sites)
    trace = np.trace(network.nodes.covariance[network.sites], axis1=1, axis2=2) / 2
    variance = 4 * (total / 2) * trace
    off = 2 * (shape - probe[0])
    if np.count_nonzero(known) >= _LEAST_COLUMNS:
        # what the columns of this species scatter, in units of ideal counting
        apart = (off - np.median(off[known], axis=0))[known] / np.sqrt(variance[known])[:, None]
        factor = max(1.0, _MAD_TO_SIGMA * float(np.median(np.abs(apart))))
    variance *= factor**2
    b, angle = _axis(off, variance)
    n = np.count_nonzero(known)
    if not n:
        return b, np.sqrt(variance), angle, (np.nan, np.nan, np.nan)
    whole = np.array([variance[known].sum() / n**2 + 4 * probe[1] ** 2])
    b_mean, angle_mean = _axis(off[known].mean(axis=0)[None], whole)
    mean = float(b_mean[0]), float(np.sqrt(whole[0])), float(angle_mean[0])
    return b, np.sqrt(variance), angle, mean


def _axis(off: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return major minus minor axis, noise's part taken off, and the direction of the major."""
    # the square of the difference of the axes holds the variance of both of its components
    square = (off**2).sum(axis=1) - 2 * variance
    angle = np.degrees(np.arctan2(off[:, 1], off[:, 0])) / 2
    return np.sign(square) * np.sqrt(np.abs(square)), angle


def of_halves(
    excess: np.ndarray, se: np.ndarray, round_px2: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the δ² of halves to which a Gaussian was fitted, and its error.

    Parameters
    ----------
    excess, se : (n,) float64 array
        Of the Gaussian's variances, across minus along; px².
    round_px2 : float
        Variance along, which the halves leave alone.
    """
    share = 1 / (1 + _HALVES * np.maximum(excess, 0) / round_px2)
    return excess * share, se * np.where(excess > 0, share**2, 1.0)


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
