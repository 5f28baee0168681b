"""Terms: what groups, classifiers and figures make of the fields of ``particles``.

One vocabulary for all of them: a term has one name and one meaning wherever it is met. Terms
with a size have a unit, nm or px: what is learnt in one cannot be used in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from stempede.particles.contours import CONTOUR, contour
from stempede.tables import Table

SHAPE_FIELDS = ("p", "d", "l_ratio")
"""Fields that the fit of a superellipse gives."""

HU_FLOORS = {"hu1": 1e-3, "hu2": 1e-4, "hu3": 1e-4}
"""Invariants of a symmetric outline are the noise of its pixels, about this large."""

# most convex outlines have a convexity of exactly 1, the next of one pixel less: a gap that is
# no gap between shapes, and closed by this much
_CONVEXITY_STEP = 0.01


@dataclass(frozen=True)
class Term:
    """One feature.

    Parameters
    ----------
    fields : tuple of str
        Of ``particles``; ``{px}`` stands for the unit of length, ``{px2}`` for that of area.
    compute : callable
        Takes the (n,) columns of those fields, returns (n,) float64, or several by name.
    part : str
        Of several, the one that is meant.
    """

    fields: tuple[str, ...]
    compute: Callable[..., Any]
    part: str = ""

    @property
    def sized(self) -> bool:
        """Whether its value depends on the unit of length."""
        return any("{" in f for f in self.fields)

    def named(self, unit: str) -> tuple[str, ...]:
        """Return its fields in a unit, ``px`` or ``nm``."""
        return tuple(f.format(px=unit, px2=f"{unit}2") for f in self.fields)


def _plain(values: np.ndarray) -> np.ndarray:
    """Return the values as they are."""
    return np.asarray(values, dtype=np.float64)


def _log(values: np.ndarray) -> np.ndarray:
    """Return the natural logarithm, NaN where there is none."""
    return np.log(np.where(values > 0, values, np.nan))


def _signed_log(values: np.ndarray, floor: float) -> np.ndarray:
    """Return the sign times log10 of the size above a floor; flat well below it."""
    found: np.ndarray = np.sign(values) * np.log10(1.0 + np.abs(values) / floor)
    return found


def _rectangularity(area: np.ndarray, length: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Return the area over that of the least rectangle around the particle."""
    return _ratio(area, length * width)


def _area_over_perimeter2(area: np.ndarray, perimeter: np.ndarray) -> np.ndarray:
    """Return the area over the square of the perimeter."""
    return _ratio(area, perimeter**2)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    found: np.ndarray = above / np.where(below > 0, below, np.nan)
    return found


def _even_convexity(convexity: np.ndarray, y_px: np.ndarray, x_px: np.ndarray) -> np.ndarray:
    """Return the convexity, blurred by its own step with where the centre lies in its pixel."""
    within: np.ndarray = np.mod(y_px, 1) + np.mod(x_px, 1) - 1
    return convexity + _CONVEXITY_STEP * within


_LENGTHS = (
    "perimeter",
    "perimeter_crofton",
    "equivalent_diameter",
    "major_axis",
    "minor_axis",
    "max_feret",
    "min_feret",
)
_SIZES = {
    **{name: f"{name}_{{px2}}" for name in ("area", "convex_area")},
    **{name: f"{name}_{{px}}" for name in _LENGTHS},
}
_RATIOS = (
    "aspect_ratio",
    "eccentricity",
    "circularity",
    "solidity",
    "convexity",
    "roundness",
    *SHAPE_FIELDS,
)

TERMS: dict[str, Term] = {
    **{name: Term((field,), _plain) for name, field in _SIZES.items()},
    **{f"log {name}": Term((field,), _log) for name, field in _SIZES.items()},
    **{name: Term((name,), _plain) for name in _RATIOS},
    **{f"log {name}": Term((name,), _log) for name in ("aspect_ratio", "p", "l_ratio")},
    **{f"log {k}": Term((k,), partial(_signed_log, floor=low)) for k, low in HU_FLOORS.items()},
    "even convexity": Term(("convexity", "y_px", "x_px"), _even_convexity),
    "rectangularity": Term(
        ("area_px2", "min_rect_length_px", "min_rect_width_px"), _rectangularity
    ),
    "area/perimeter²": Term(("area_px2", "perimeter_px"), _area_over_perimeter2),
    **{name: Term(SHAPE_FIELDS, contour, name) for name in CONTOUR},
}
"""Every term by its name."""

TEN_COMMON = (
    "area",
    "circularity",
    "eccentricity",
    "major_axis",
    "minor_axis",
    "convex_area",
    "perimeter",
    "perimeter_crofton",
    "aspect_ratio",
    "area/perimeter²",
)
PUBLISHED = (*TEN_COMMON, *SHAPE_FIELDS)
"""The 13 features of Williamson et al., Nanoscale 2022 (doi 10.1039/D2NR01712D)."""


def fields_of(terms: Iterable[str], unit: str) -> tuple[str, ...]:
    """Return the fields of ``particles`` that terms need, each once."""
    return tuple(dict.fromkeys(f for t in terms for f in TERMS[t].named(unit)))


def has_size(terms: Iterable[str]) -> bool:
    """Whether any of the terms depends on the unit of length."""
    return any(TERMS[t].sized for t in terms)


def has_shape(terms: Iterable[str]) -> bool:
    """Whether p, d or L is among the fields of the terms."""
    return any(f in SHAPE_FIELDS for t in terms for f in TERMS[t].fields)


def matrix(
    particles: Table, terms: Iterable[str], unit: str, rows: np.ndarray | slice = slice(None)
) -> np.ndarray:
    """Return (n, terms) float64 features; what is not finite is NaN.

    Parameters
    ----------
    particles : Table
        ``particles`` of a run.
    terms : iterable of str
        Names in ``TERMS``.
    unit : {"px", "nm"}
    rows : (n,) int64 array or slice
        Which particles; all by default.
    """
    wanted = [TERMS[t] for t in terms]
    made: dict[tuple[Any, ...], Any] = {}
    values = np.empty((len(particles["accepted"][rows]), len(wanted)))
    for column, term in enumerate(wanted):
        key = (term.compute, term.fields)
        if key not in made:
            with np.errstate(divide="ignore", invalid="ignore"):
                made[key] = term.compute(*(particles[f][rows] for f in term.named(unit)))
        values[:, column] = made[key][term.part] if term.part else made[key]
    values[~np.isfinite(values)] = np.nan
    return values
