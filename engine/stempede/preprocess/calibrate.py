"""Calibrate: the pixel size of a reference image, from its lattice or its scale bar.

A lattice of known spacing gives spots in the power spectrum. With u = 1/p_y^2, v = 1/p_x^2
and a spot of order (h, k) at (g_y, g_x) cycles per pixel, the spacing d of both shortest
vectors and the angle gamma between them ask for

    g_y^2 u + g_x^2 v = (h^2 + k^2 + 2 h k cos gamma) / d^2,

which is linear in u and v: all orders go into one least-squares fit, and its residuals into
the uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stempede.errors import InputError
from stempede.preprocess.annotations import find_annotations, to_grey
from stempede.preprocess.spots import Lattice, find_lattice

SAME_LENGTH = 1.12
"""Largest ratio of the two shortest vectors that are taken for one spacing."""
KNOWN_ANGLES_DEG = (60.0, 90.0, 120.0)
ANGLE_SLACK_DEG = 6.0
SENSITIVITY_MIN = 0.1
"""Least share of y against x in the equations that still separates the two pixel sizes."""


@dataclass(frozen=True)
class CalibrationResult:
    """Pixel size measured on a reference.

    Parameters
    ----------
    pixel_size_y_nm, pixel_size_x_nm : float
        nm per pixel; equal where only one direction could be measured.
    rel_u : float
        Relative standard uncertainty of the measurement; that of the given length is not in it.
    angle_deg : float
        Direction of the first spacing in array coordinates, (-90, 90]; 0 for a scale bar.
    how : str
        What was measured, in words.
    """

    pixel_size_y_nm: float
    pixel_size_x_nm: float
    rel_u: float
    angle_deg: float
    how: str


def calibrate(
    image: np.ndarray, *, lattice_nm: float | None = None, scale_bar_nm: float | None = None
) -> CalibrationResult:
    """Measure the pixel size of a reference image.

    Parameters
    ----------
    image : (y, x) array
        Any real dtype.
    lattice_nm : float, optional
        Spacing of the widest planes seen: the cell of a cubic crystal along [001], 0.3905
        for SrTiO3; two directions of this spacing give both pixel sizes.
    scale_bar_nm : float, optional
        Length of the burned-in scale bar. Exactly one of the two is given.

    Raises
    ------
    InputError
        Not exactly one length, or what it belongs to is not found.
    """
    given = [v for v in (lattice_nm, scale_bar_nm) if v is not None]
    if len(given) != 1 or not 0 < given[0] < np.inf:
        raise InputError(
            f"one positive length wanted, --lattice-nm or --scale-bar-nm; "
            f"found {lattice_nm} and {scale_bar_nm}"
        )
    if scale_bar_nm is not None:
        return _from_bar(image, scale_bar_nm)
    lattice = find_lattice(np.asarray(image, dtype=np.float32))
    if lattice is None:
        raise InputError(
            "no lattice found in the power spectrum of the reference; use an image with at least "
            "six periods across it, or --scale-bar-nm"
        )
    return _from_lattice(lattice, given[0])


def _from_bar(image: np.ndarray, scale_bar_nm: float) -> CalibrationResult:
    bar = find_annotations(to_grey(np.asarray(image, np.float32)), bar_expected=True).bar
    if bar is None:
        raise InputError("no scale bar found in the reference; use --lattice-nm with a crystal")
    size = scale_bar_nm / bar.length_px
    how = f"scale bar of {scale_bar_nm:g} nm, {bar.length_px:.1f} px"
    return CalibrationResult(size, size, bar.u_px / bar.length_px, 0.0, how)


def _from_lattice(lattice: Lattice, spacing_nm: float) -> CalibrationResult:
    """Solve for both pixel sizes, or for one where the spots do not tell them apart."""
    lengths = np.hypot(*lattice.basis.T)
    known = _known_angle(lattice)
    h, k = lattice.orders.T
    if known is None:
        # only the widest spacing is the one that was given
        use, target = k == 0, h**2.0
    else:
        use = np.ones(len(h), dtype=bool)
        target = h**2.0 + k**2.0 + 2 * h * k * np.cos(np.radians(known))
    squares = lattice.spots[use] ** 2
    u_squares = _u_squares(lattice, use)
    solution, rel = _solve(squares, target[use] / spacing_nm**2, u_squares)
    size_y, size_x = (1 / np.sqrt(solution)).tolist()
    first = lattice.basis[0] * np.sqrt(solution)
    angle = float(np.degrees(np.arctan2(first[0], first[1])))
    angle = angle - 180 if angle > 90 else angle + 180 if angle <= -90 else angle
    how = f"lattice of {spacing_nm:g} nm, {np.count_nonzero(use)} spots, {1 / lengths[0]:.3f} px"
    how += " one way" if known is None else f" and {1 / lengths[1]:.3f} px at {known:g} deg"
    return CalibrationResult(size_y, size_x, rel, angle, how)


def _known_angle(lattice: Lattice) -> float | None:
    """Return the angle of two vectors of one length, where crystals have it; None otherwise."""
    if len(lattice.basis) < 2:
        return None
    lengths = np.hypot(*lattice.basis.T)
    if max(lengths) > SAME_LENGTH * min(lengths):
        return None
    angle = np.degrees(np.arccos(lattice.basis[0] @ lattice.basis[1] / lengths.prod()))
    near = [a for a in KNOWN_ANGLES_DEG if abs(a - angle) <= ANGLE_SLACK_DEG]
    return near[0] if near else None


def _u_squares(lattice: Lattice, use: np.ndarray) -> np.ndarray:
    """Return the standard uncertainty of |g|^2 of each spot, from that of its position."""
    spots = lattice.spots[use]
    return 2 * lattice.u_bins[use] * np.hypot(*(spots * lattice.bin_size).T)


def _solve(
    squares: np.ndarray, target: np.ndarray, u_squares: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return (u, v) and the relative uncertainty of the pixel size, by weighted least squares."""
    weights = 1 / u_squares
    share = squares / squares.sum(axis=1, keepdims=True)
    design = squares * weights[:, None]
    apart = np.ptp(share[:, 0]) >= SENSITIVITY_MIN
    if not apart:
        design = design.sum(axis=1, keepdims=True)
    found, *_ = np.linalg.lstsq(design, target * weights, rcond=None)
    residual = (design @ found - target * weights) / found.mean()
    freedom = len(target) - len(found)
    spread = np.sqrt(residual @ residual / freedom) if freedom > 0 else 0.0
    covariance = np.linalg.inv(design.T @ design)
    # residuals below the spot's own uncertainty are luck, with so few spots
    rel = 0.5 * max(1.0, spread) * np.sqrt(np.diag(covariance)).max()
    return np.broadcast_to(found, 2).copy(), float(rel)
