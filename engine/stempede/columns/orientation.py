"""Orientation: the sign of a dot's staggered tilt, from columns that the value does not hold.

Parity has an arbitrary origin. Taking the sign of a value from the value itself folds noise
into signal (METHODS 1.3): here it comes from the core's other sites, with the part of their
error that is shared with the value removed.
"""

from __future__ import annotations

import numpy as np

from stempede.columns.forms import Form

LEAST_SITES = 4
"""Sites that orient a dot."""

LEAST_Z = 3.0
"""Core over its standard error below which a dot is not oriented."""


def oriented(form: Form, parts: list[np.ndarray], core: np.ndarray) -> tuple[float, float]:
    """Return a weighted sum of sites with the sign of a core that does not share its errors.

    Parameters
    ----------
    form : Form
        Staggered tilt.
    parts : list of (m,) float64 array
        Weights that add to the value; each part is oriented by the core outside of it.
    core : (m,) bool array

    Returns
    -------
    value, se : float
        NaN where the core is not known to three standard errors for every part.
    """
    known = np.isfinite(form.value)
    total = np.zeros(len(form))
    for part in parts:
        rest = core & known & (part == 0)
        if rest.sum() < LEAST_SITES:
            return np.nan, np.nan
        sign = _sign(form, part, rest / rest.sum())
        if sign == 0:
            return np.nan, np.nan
        total += sign * part
    value = float(total[known] @ form.value[known])
    return value, float(np.sqrt(form.covariance(total)[0, 0]))


def _sign(form: Form, part: np.ndarray, rest: np.ndarray) -> float:
    """Return the sign of the rest, uncorrelated with the part; 0 below three standard errors."""
    rows = np.array([part, rest])
    value = rows @ np.nan_to_num(form.value)
    c = form.covariance(rows)
    shared = c[0, 1] / c[0, 0] if c[0, 0] > 0 else 0.0
    core = value[1] - shared * value[0]
    se = np.sqrt(max(0.0, c[1, 1] - shared * c[0, 1]))
    return float(np.sign(core)) if abs(core) >= LEAST_Z * se else 0.0


def layer_parts(where: np.ndarray, core: np.ndarray, half: np.ndarray) -> list[np.ndarray]:
    """Return the weights of a layer's mean: whole, or in halves where it is most of the core.

    Parameters
    ----------
    where, core : (m,) bool array
        Known sites of the layer; of the core.
    half : (m,) bool array
        One side of the crystal.
    """
    n = where.sum()
    if (core & ~where).sum() >= max(LEAST_SITES, (core & where).sum()):
        return [where / n]
    return [part / n for part in (where & half, where & ~half) if part.any()]


def contrast_parts(core: np.ndarray, shell: np.ndarray, half: np.ndarray) -> list[np.ndarray]:
    """Return the weights of core less shell in both halves of a crystal; empty if one has none."""
    parts = []
    for side in (half, ~half):
        inner, outer = core & side, shell & side
        if not inner.any() or not outer.any():
            return []
        parts.append(0.5 * (inner / inner.sum() - outer / outer.sum()))
    return parts
