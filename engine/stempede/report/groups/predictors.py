"""Predictors: the features that groups are told apart by, as they are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stempede.particles.terms import HU_FLOORS, TERMS
from stempede.report.findings import size_field
from stempede.report.folder import Columns
from stempede.report.sizes import measure_name

_SIZES = (
    "area",
    "major_axis",
    "minor_axis",
    "perimeter",
    "perimeter_crofton",
    "convex_area",
)
_PURE = (
    "aspect_ratio",
    "eccentricity",
    "circularity",
    "solidity",
    "convexity",
    "roundness",
    "contrast",
)
_TITLES = {
    "contrast": "contrast / noise",
    "convex_area": "convex area",
    "perimeter_crofton": "perimeter (Crofton)",
    "d": "d, symmetry",
}


@dataclass(frozen=True)
class Predictor:
    """One feature as it is drawn.

    Parameters
    ----------
    name : str
        What its figure's file is called after.
    title : str
        Name and unit, as written on an axis.
    fields : tuple of str
        Fields of the particles table that it is made of.
    computed : callable
        From the fields' values to those on the axis.
    """

    name: str
    title: str
    fields: tuple[str, ...]
    computed: Callable[..., np.ndarray] = np.asarray

    def of(self, particles: Columns) -> np.ndarray:
        """Return the values on the axis, (n,) float64, NaN where there are none."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.computed(*(np.asarray(particles[f], float) for f in self.fields))


def predictors(unit: str) -> tuple[Predictor, ...]:
    """Return every predictor, sizes in a unit (``nm`` or ``px``)."""

    def sized(measure: str) -> Predictor:
        field = size_field(measure, unit)
        return Predictor(
            field, f"{_name(measure)}, {unit}{'²' * measure.endswith('area')}", (field,)
        )

    return (
        *(sized(m) for m in _SIZES),
        *(Predictor(name, _name(name), (name,)) for name in _PURE),
        _term("rectangularity", "rectangularity", "rectangularity"),
        _term("area_per_perimeter2", "area / perimeter²", "area/perimeter²"),
        *(_term(k, f"Hu moment {k[2:]}, signed log", f"log {k}") for k in HU_FLOORS),
        Predictor("p", "log10 p, exponent", ("p",), _log10),
        Predictor("d", _TITLES["d"], ("d",)),
        Predictor("l_ratio", "log10 L, elongation", ("l_ratio",), _log10),
    )


def _name(field: str) -> str:
    return _TITLES.get(field) or measure_name(field)


def _term(name: str, title: str, term: str) -> Predictor:
    """Return a term that has no size as it is drawn."""
    return Predictor(name, title, TERMS[term].fields, TERMS[term].compute)


def _log10(values: np.ndarray) -> np.ndarray:
    return np.log10(np.where(values > 0, values, np.nan))
