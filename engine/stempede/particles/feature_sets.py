"""Feature sets that particles are grouped by, and how they are put on one scale.

Features are shape and size in a meaningful form: directions, the Euler number and contrast say
nothing of shape and are in none of the sets. A feature that was not measured (the shape
parameters of a run without them) is left out, and ``Scaled`` says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stempede.errors import RecipeError
from stempede.particles.contours import CONTOUR
from stempede.particles.terms import PUBLISHED, matrix
from stempede.tables import Table

MOST_CORRELATED = 0.95
"""Of two features with a larger |r| the later one is left out."""

# a feature that most particles lack was not measured
_LEAST_KNOWN = 0.5
# relative spread below which a feature is a constant with rounding errors
_NO_SPREAD = 1e-9
# scaled values are drawn in beyond this: one odd outline must not be a group
_FAR = 4.0

_MEASURED = (
    "log area",
    "log aspect_ratio",
    "circularity",
    "solidity",
    "rectangularity",
    "even convexity",
    "log hu1",
    "log hu2",
    "log hu3",
    "eccentricity",
)

FEATURE_SETS: dict[str, tuple[str, ...]] = {
    "default": (*_MEASURED, *CONTOUR),
    "features": _MEASURED,
    "shape": ("log p", "d", "log l_ratio"),
    "published": PUBLISHED,
}
"""Names of terms by the name of their set.

``default``: size and shape with the outline's harmonics where shapes were fitted; ``features``:
the same without them; ``shape``: superellipse parameters alone; ``published``: the 13 of
Williamson et al.
"""


@dataclass(frozen=True)
class Features:
    """One feature set of all particles.

    Parameters
    ----------
    names : tuple of str
        Features that were measured.
    values : (n, m) float64 array
        NaN where a particle lacks one.
    missing : tuple of str
        Features of the set that this run does not have.
    unit : str
        Of lengths: ``nm`` or ``px``.
    """

    names: tuple[str, ...]
    values: np.ndarray
    missing: tuple[str, ...]
    unit: str


def features(
    particles: Table, rows: np.ndarray, feature_set: str, like: Features | None = None
) -> Features:
    """Return one feature set of some particles.

    Lengths are in nm where half of the particles or more are calibrated (the rest then lack
    them), else in px.

    Parameters
    ----------
    particles : Table
        ``particles``.
    rows : (n,) int64 array
        Which of them.
    feature_set : str
        A name of ``FEATURE_SETS``.
    like : Features, optional
        Of other rows; the same features in the same unit are returned, measured or not.

    Raises
    ------
    RecipeError
        There is no such set.
    """
    if feature_set not in FEATURE_SETS:
        raise RecipeError(
            f"a feature set is one of {', '.join(FEATURE_SETS)}; found '{feature_set}'; correct it"
        )
    if like is not None:
        return replace(like, values=matrix(particles, like.names, like.unit, rows))
    wanted = FEATURE_SETS[feature_set]
    calibrated = np.isfinite(particles["area_nm2"][rows])
    unit = "nm" if len(rows) and calibrated.mean() >= _LEAST_KNOWN else "px"
    values = matrix(particles, wanted, unit, rows)
    known = np.isfinite(values).sum(axis=0) >= max(1.0, _LEAST_KNOWN * len(rows))
    names = tuple(name for name, there in zip(wanted, known, strict=True) if there)
    missing = tuple(name for name in wanted if name not in names)
    return Features(names, values[:, known], missing, unit)


@dataclass(frozen=True)
class Scale:
    """How features are brought to one scale, learned from some particles.

    Parameters
    ----------
    kept : (k,) int64 array
        Columns of the features that are used.
    centre, spread : (k,) float64 array
        Mean and standard deviation of each.
    dropped : tuple of str
        Features that are constant or repeat another.
    """

    kept: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    dropped: tuple[str, ...]

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return (n, k) float64 scaled features; a missing one counts as the mean."""
        scaled = (values[:, self.kept] - self.centre) / self.spread
        scaled = np.nan_to_num(scaled)
        beyond = np.log1p(np.maximum(np.abs(scaled) - _FAR, 0))
        return np.clip(scaled, -_FAR, _FAR) + np.sign(scaled) * beyond


def learn_scale(found: Features) -> Scale:
    """Learn means and spreads, and leave out what is constant or repeats an earlier feature.

    Parameters
    ----------
    found : Features
        Of the particles that are learned from; in order of importance.
    """
    kept: list[int] = []
    dropped: list[str] = []
    centre, spread = np.zeros(len(found.names)), np.ones(len(found.names))
    columns: list[np.ndarray] = []
    for k, name in enumerate(found.names):
        x = found.values[:, k]
        known = np.isfinite(x)
        centre[k], spread[k] = x[known].mean(), x[known].std()
        if not spread[k] > _NO_SPREAD * max(1.0, abs(centre[k])):
            dropped.append(name)
            continue
        z = np.nan_to_num((x - centre[k]) / spread[k])
        if any(abs(float(z @ other)) / len(z) > MOST_CORRELATED for other in columns):
            dropped.append(name)
            continue
        kept.append(k)
        columns.append(z)
    rows = np.array(kept, dtype=np.int64)
    return Scale(rows, centre[rows], spread[rows], tuple(dropped))
