"""Feature sets that particles are grouped by, and how they are put on one scale.

Features are shape and size in a meaningful form: directions, the Euler number and contrast say
nothing of shape and are in none of the sets. A feature that was not measured (the shape
parameters of a run without them) is left out, and ``Scaled`` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from stempede.errors import RecipeError
from stempede.tables import Table

MOST_CORRELATED = 0.95
"""Of two features with a larger |r| the later one is left out."""

# a feature that most particles lack was not measured
_LEAST_KNOWN = 0.5
# relative spread below which a feature is a constant with rounding errors
_NO_SPREAD = 1e-9
# scaled values are drawn in beyond this: one odd outline must not be a group
_FAR = 4.0
# most convex outlines have a convexity of exactly 1, the next of one pixel less: a gap that is
# no gap between shapes, and closed by this much
_CONVEXITY_STEP = 0.01
# amplitude, as a share of the radius, below which harmonics hardly count
_UNSEEN = 0.08
# the invariants of a symmetric outline are the noise of its pixels, about this large
_HU_FLOORS = {"hu1": 1e-3, "hu2": 1e-4, "hu3": 1e-4}
_HARMONICS = np.arange(1, 13, dtype=np.float64)
_CONTOUR = ("contour_amplitude", "contour_order", "contour_spread")
_DIRECTIONS = 128
_BLOCK = 1 << 16
# eggs at once: 25 MB
_EGGS = 1 << 10

Columns = Mapping[str, np.ndarray]
Feature = Callable[[Columns], np.ndarray]


def _log(name: str) -> Feature:
    return lambda c: np.log(np.where(c[name] > 0, c[name], np.nan))


def _plain(name: str) -> Feature:
    return lambda c: np.asarray(c[name], dtype=np.float64)


def _log_hu(name: str) -> Feature:
    """Sign and logarithm of an invariant; flat below the noise of the pixels."""
    floor = _HU_FLOORS[name]
    return lambda c: np.sign(c[name]) * (np.log10(np.abs(c[name]) + floor) - np.log10(floor))


def _rectangularity(c: Columns) -> np.ndarray:
    """Return the area over that of the least rectangle around the particle."""
    box = c["min_rect_length_px"] * c["min_rect_width_px"]
    return c["area_px2"] / np.where(box > 0, box, np.nan)


def _convexity(c: Columns) -> np.ndarray:
    """Return the convexity, blurred by its own step with where the centre lies in its pixel."""
    return c["convexity"] + _CONVEXITY_STEP * (np.mod(c["y_px"], 1) + np.mod(c["x_px"], 1) - 1)


def _area_over_perimeter2(c: Columns) -> np.ndarray:
    return c["area_px2"] / np.where(c["perimeter_px"] > 0, c["perimeter_px"], np.nan) ** 2


_MEASURED: dict[str, Feature] = {
    "log area": _log("area"),
    "aspect_ratio": _log("aspect_ratio"),
    "circularity": _plain("circularity"),
    "solidity": _plain("solidity"),
    "rectangularity": _rectangularity,
    "convexity": _convexity,
    "log hu1": _log_hu("hu1"),
    "log hu2": _log_hu("hu2"),
    "log hu3": _log_hu("hu3"),
    "eccentricity": _plain("eccentricity"),
}
_OUTLINE = {name: _plain(name) for name in _CONTOUR}
_SHAPE = {"log p": _log("p"), "d": _plain("d"), "log l_ratio": _log("l_ratio")}
_PUBLISHED = {
    "area": _plain("area"),
    "circularity": _plain("circularity"),
    "eccentricity": _plain("eccentricity"),
    "major_axis": _plain("major_axis"),
    "minor_axis": _plain("minor_axis"),
    "convex_area": _plain("convex_area"),
    "perimeter": _plain("perimeter"),
    "perimeter_crofton": _plain("perimeter_crofton"),
    "aspect_ratio": _plain("aspect_ratio"),
    "area/perimeter²": _area_over_perimeter2,
}

FEATURE_SETS: dict[str, dict[str, Feature]] = {
    "default": {**_MEASURED, **_OUTLINE},
    "features": _MEASURED,
    "shape": _SHAPE,
    "published": {**_PUBLISHED, "p": _plain("p"), "d": _plain("d"), "l_ratio": _plain("l_ratio")},
}
"""Features by name, by the name of their set.

``default``: size and shape with the outline's harmonics where shapes were fitted; ``features``:
the same without them; ``shape``: superellipse parameters alone; ``published``: the 13 of
Williamson et al., Nanoscale 2022 (doi 10.1039/D2NR01712D).
"""

_SIZES = ("area", "convex_area", "major_axis", "minor_axis", "perimeter", "perimeter_crofton")
_RATIOS = (
    *("aspect_ratio", "circularity", "solidity", "convexity", "eccentricity"),
    *("hu1", "hu2", "hu3", "p", "d", "l_ratio"),
    *("y_px", "x_px", "area_px2", "perimeter_px", "min_rect_length_px", "min_rect_width_px"),
)
FIELDS = (
    *_RATIOS,
    *(f"{s}_{u}{'2' if s.endswith('area') else ''}" for s in _SIZES for u in ("px", "nm")),
)
"""Fields of ``particles`` that the sets are made of."""


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
    calibrated = np.isfinite(particles["area_nm2"][rows])
    unit = "nm" if len(rows) and calibrated.mean() >= _LEAST_KNOWN else "px"
    unit = like.unit if like is not None else unit
    wanted = FEATURE_SETS[feature_set]
    columns = {name: particles[name][rows] for name in _RATIOS}
    for size in _SIZES:
        columns[size] = particles[f"{size}_{unit}{'2' if size.endswith('area') else ''}"][rows]
    if any(name in _OUTLINE for name in wanted):
        columns |= contour(columns["p"], columns["d"], columns["l_ratio"])
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {name: make(columns) for name, make in wanted.items()}
    if like is None:
        names = tuple(k for k, v in found.items() if len(v) and _known(v) >= _LEAST_KNOWN)
    else:
        names = like.names
    values = np.zeros((len(rows), len(names)))
    for column, name in enumerate(names):
        values[:, column] = np.where(np.isfinite(found[name]), found[name], np.nan)
    return Features(names, values, tuple(k for k in found if k not in names), unit)


def _known(values: np.ndarray) -> float:
    return float(np.isfinite(values).mean())


def contour(p: np.ndarray, d: np.ndarray, l_ratio: np.ndarray) -> dict[str, np.ndarray]:
    """Return how much, how often and how unevenly a superellipse departs from a circle.

    From the harmonics of the logarithm of its outline about its centroid: their energy, mean
    number and the spread of that number. Unlike ``p d l_ratio`` they are continuous at the
    circle, where all vanish and no d is better than another; what pixels cannot show hardly
    counts.

    Parameters
    ----------
    p, d, l_ratio : (n,) float64 array

    Returns
    -------
    dict of str to (n,) float64 array
        ``contour_amplitude contour_order contour_spread``; NaN where a parameter is.
    """
    energy = np.full((len(p), len(_HARMONICS)), np.nan)
    for start in range(0, len(p) if np.isfinite(p).any() else 0, _BLOCK):
        part = slice(start, start + _BLOCK)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            energy[part] = _energy(p[part], d[part], l_ratio[part])
    total = energy.sum(axis=1)
    share = energy / (total + _UNSEEN**2)[:, None]
    order = share @ _HARMONICS
    spread = np.sqrt((share * (_HARMONICS - order[:, None]) ** 2).sum(axis=1))
    return dict(zip(_CONTOUR, (np.log(np.sqrt(total) + _UNSEEN), order, spread), strict=True))


def _energy(p: np.ndarray, d: np.ndarray, l_ratio: np.ndarray) -> np.ndarray:
    """Return the energy (n, m) of each harmonic of log R of eq. 1, about the centroid."""
    u = np.arange(_DIRECTIONS) * (2 * np.pi / _DIRECTIONS)
    turn = 0.5 * d[:, None] * u
    first = np.log(l_ratio[:, None] * np.abs(np.cos(turn)))
    second = np.log(np.abs(np.sin(turn)))
    # without overflow at large p
    log_r = -np.logaddexp(p[:, None] * first, p[:, None] * second) / p[:, None]
    waves = np.exp(-1j * np.outer(u, _HARMONICS)) * (2 / _DIRECTIONS)
    found: np.ndarray = np.abs(log_r @ waves) ** 2
    eggs = np.flatnonzero(d == 1)
    for some in np.array_split(eggs, len(eggs) // _EGGS + 1):
        found[some] = _energy_of_eggs(np.exp(log_r[some]), u)
    return found


def _energy_of_eggs(radius: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return the same of outlines (n, u) whose centre is not their centroid: those of d = 1.

    A circle about another point would otherwise have a first harmonic, and a shape of its own.
    """
    x, y = radius * np.cos(u), radius * np.sin(u)
    cross = x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y
    middle = (x + np.roll(x, -1, axis=1)) / 3
    x = x - ((cross * middle).sum(axis=1) / cross.sum(axis=1))[:, None]
    direction, log_r = np.unwrap(np.arctan2(y, x), axis=1), np.log(np.hypot(y, x))
    seen = np.diff(direction, axis=1, append=direction[:, :1] + 2 * np.pi)
    log_r = 0.5 * (log_r + np.roll(log_r, -1, axis=1)) * seen / np.pi
    turns = np.exp(-1j * (direction + 0.5 * seen)[:, :, None] * _HARMONICS)
    energy: np.ndarray = np.abs(np.einsum("nu,num->nm", log_r, turns)) ** 2
    return energy


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
