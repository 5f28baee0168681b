"""Octahedron: bonds, angles and centring of the sites of a network, with their errors."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from stempede.columns.forms import Form
from stempede.columns.network import Network

_AROUND = np.roll(np.eye(4), 1, axis=1) - np.eye(4)
"""Takes the directions of four bonds to the four angles between neighbouring ones."""


def octahedra_forms(network: Network, sense: np.ndarray | None = None) -> dict[str, Form]:
    """Return what is measured of each octahedron that averages are taken of.

    Parameters
    ----------
    network : Network
    sense : (s,) float64 array, optional
        Sign of the tilt that each site's domain and parity give it; the crystal's staggered
        mean where not given. It unfolds the Pb-X-Pb angle.

    Returns
    -------
    dict of str to Form
        ``tilt_deg staggered_tilt_deg turn_deg pb_x_pb_deg offcentre_y_px offcentre_x_px`` and
        ``bond_mean_px`` (px of equal size), one place per site.
    """
    if sense is None:
        mean = network.staggered.mean()[0]
        sense = network.parity * (-1.0 if mean < 0 else 1.0)
    return {
        "tilt_deg": network.tilt,
        "staggered_tilt_deg": network.staggered,
        "turn_deg": turn(network),
        "pb_x_pb_deg": bridge(network, sense),
        **_centring(network),
        "bond_mean_px": _bond_mean(network),
    }


def turn(network: Network) -> Form:
    """Return half the tilt of each site plus half that of its neighbours, degrees.

    A staggered tilt cancels, and so does its gradient wherever a site stands between two
    neighbours: only such pairs count where there is one. Null for sites without a neighbour.
    """
    tilt = network.tilt
    near = network.neighbours
    known = (near >= 0) & np.isfinite(tilt.value)[np.maximum(near, 0)]
    pairs = known & known[:, [2, 3, 0, 1]]
    counted = np.where(pairs.any(axis=1, keepdims=True), pairs, known)
    number = counted.sum(axis=1)
    share = np.where(counted, 0.5 / np.maximum(number, 1)[:, None], 0)
    sites = np.arange(len(network))
    weights = sparse.csr_array(
        (
            np.concatenate([np.full(len(sites), 0.5), share[counted]]),
            (
                np.concatenate([sites, np.nonzero(counted)[0]]),
                np.concatenate([sites, near[counted]]),
            ),
        ),
        shape=(len(sites), len(sites)),
    )
    known_value = np.nan_to_num(tilt.value)
    value = np.where((number > 0) & np.isfinite(tilt.value), weights @ known_value, np.nan)
    return Form(value, weights @ tilt.gradient, tilt.noise)


def bridge(network: Network, sense: np.ndarray) -> Form:
    """Return the projected Pb-X-Pb angle, degrees, mean over the bridges of each site.

    The bend at X is signed and counted along the sense of the site's domain, so that noise
    takes the angle over 180 as often as under it and averages stay true; the unsigned angle of
    an untilted crystal would read 180 less its noise.
    """
    joined = (network.x >= 0) & (network.b >= 0) & network.seen[network.sites][:, None]
    number = joined.sum(axis=1)
    weight = np.where(joined, 1 / np.maximum(number, 1)[:, None], 0)
    weight[number == 0] = np.nan

    def angle(points: np.ndarray) -> dict[str, np.ndarray]:
        into = points[:, 1:5] - points[:, :1]
        out = points[:, 5:9] - points[:, 1:5]
        across = into[..., 1] * out[..., 0] - into[..., 0] * out[..., 1]
        bend = np.degrees(np.arctan2(across, (into * out).sum(axis=-1)))
        return {"bridge": 180 + sense * (weight * bend).sum(axis=1)}

    return network.form(angle, network.index)["bridge"]


def _centring(network: Network) -> dict[str, Form]:
    """Return the B column against the mean of its four X, px; null unless all were seen."""
    whole = (network.n_x == 4) & network.seen[network.sites]
    known = np.where(whole, 1.0, np.nan)
    scale_y, scale_x = network.scale_yx

    def offset(points: np.ndarray) -> dict[str, np.ndarray]:
        y, x = (points[:, 0] - points[:, 1:5].mean(axis=1)).T
        return {"offcentre_y_px": known * y / scale_y, "offcentre_x_px": known * x / scale_x}

    return network.form(offset, network.index[:, :5])


def _bond_mean(network: Network) -> Form:
    """Return the mean Pb-X distance over the bonds, px of equal size, free of noise's stretch."""
    weight = _bond_weight(network)

    def mean(points: np.ndarray) -> dict[str, np.ndarray]:
        length = np.linalg.norm(points[:, 1:5] - points[:, :1], axis=-1)
        return {"bond": (weight * length).sum(axis=1)}

    return network.form(mean, network.index[:, :5], unbiased=True)["bond"]


def _bond_weight(network: Network) -> np.ndarray:
    """Return (s, 4) weights of the bonds in their mean, NaN where there is no tilt."""
    number = network.bonds.sum(axis=1)
    weight = np.where(network.bonds, 1 / np.maximum(number, 1)[:, None], 0)
    weight[np.isnan(network.tilt_deg)] = np.nan
    return weight


def distortions(network: Network) -> dict[str, np.ndarray]:
    """Return bond distortion and angle variance of each site, noise's part taken off.

    ``bond_distortion`` is the mean of ((d - mean)/mean)², ``angle_variance_deg2`` the sum of
    (X-Pb-X - 90)² over the m angles between bonds at neighbouring sides, over m - 1. Errors of
    the columns raise both; their expectation is subtracted, so that values scatter around the
    truth and may be negative. Standard errors are those of a quadratic form of Gaussian errors.
    """
    points = network.nodes.yx[network.index[:, :5]]
    noise = network.nodes.own_covariance[network.index[:, :5]]
    bond = points[:, 1:] - points[:, :1]
    length = np.where(network.bonds, np.linalg.norm(bond, axis=-1), 1.0)
    along = bond / length[..., None]
    across = np.stack([along[..., 1], -along[..., 0]], axis=-1)
    w = np.nan_to_num(_bond_weight(network))
    mean = np.maximum((w * length).sum(axis=1), 1e-9)
    centre = np.where(network.bonds, 1.0, 0.0)[..., None] * (np.eye(4) - w[:, None, :])
    number = np.maximum(network.bonds.sum(axis=1), 1)
    stretch = np.einsum("ski,skj->sij", centre, centre) / (number * mean**2)[:, None, None]
    delta, se_delta = _quadratic(length, stretch, _spread(along, noise))
    angle = np.degrees(np.arctan2(bond[..., 0], bond[..., 1]))
    corner = network.bonds & np.roll(network.bonds, -1, axis=1)
    off = (np.roll(angle, -1, axis=1) - angle - 90 + 180) % 360 - 180
    m = corner.sum(axis=1)
    turn = np.where(corner[..., None], _AROUND, 0)
    lever = np.degrees(1 / length)[..., None]
    variance, se_variance = _quadratic(
        off,
        np.where(corner, 1.0, 0.0)[..., None] * np.eye(4) / np.maximum(m - 1, 1)[:, None, None],
        turn @ _spread(across * lever, noise) @ turn.transpose(0, 2, 1),
    )
    none = np.isnan(network.tilt_deg)
    return {
        "bond_distortion": np.where(none, np.nan, delta),
        "se_bond_distortion": np.where(none, np.nan, se_delta),
        "angle_variance_deg2": np.where(none | (m < 2), np.nan, variance),
        "se_angle_variance_deg2": np.where(none | (m < 2), np.nan, se_variance),
    }


def _spread(direction: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return (s, 4, 4) covariance of the bonds' components along (s, 4, 2) directions."""
    shared = np.einsum("ski,sij,slj->skl", direction, noise[:, 0], direction)
    own = np.einsum("ski,skij,skj->sk", direction, noise[:, 1:], direction)
    return shared + own[..., None] * np.eye(4)


def _quadratic(
    vector: np.ndarray, form: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return v' M v less its expectation from noise alone, and its standard error."""
    product = form @ noise
    raw = np.einsum("si,sij,sj->s", vector, form, vector)
    alone = 2 * np.einsum("sij,sji->s", product, product)
    shifted = 4 * np.einsum("si,sij,sjk,sk->s", vector, product, form, vector)
    # the plug-in of the second term carries twice the first by itself
    variance = np.maximum(shifted - alone, alone)
    return raw - np.trace(product, axis1=1, axis2=2), np.sqrt(variance)
