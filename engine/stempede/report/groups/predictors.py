"""Predictors: the features that groups are told apart by, as they are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stempede.report.findings import size_field
from stempede.report.folder import Columns
from stempede.report.sizes import measure_name

_SIZES = (
    "area",
    "major_axis",
    "minor_axis",
    "equivalent_diameter",
    "perimeter",
    "perimeter_crofton",
    "convex_area",
    "min_rect_length",
    "min_rect_width",
)
_PURE = (
    "aspect_ratio",
    "eccentricity",
    "circularity",
    "solidity",
    "convexity",
    "extent",
    "roundness",
    "contrast",
)
# the invariants of a symmetric outline are the noise of its pixels, about this large
_HU_FLOORS = {1: 1e-3, 2: 1e-4, 3: 1e-4}
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
    field : str
        Field of the particles table.
    title : str
        Name and unit, as written on an axis.
    scaled : callable
        From the field's values to those on the axis.
    """

    field: str
    title: str
    scaled: Callable[[np.ndarray], np.ndarray] = np.asarray

    def of(self, particles: Columns) -> np.ndarray:
        """Return the values on the axis, (n,) float64, NaN where there are none."""
        return self.scaled(np.asarray(particles[self.field], float))


def predictors(unit: str) -> tuple[Predictor, ...]:
    """Return every predictor, sizes in a unit (``nm`` or ``px``)."""
    square = f"{unit}²"
    sizes = tuple(
        Predictor(size_field(m, unit), f"{_name(m)}, {square if m.endswith('area') else unit}")
        for m in _SIZES
    )
    moments = tuple(
        Predictor(f"hu{k}", f"Hu moment {k}, signed log", _signed_log(floor))
        for k, floor in _HU_FLOORS.items()
    )
    shape = (
        Predictor("p", "log₁₀ p, exponent", _log10),
        Predictor("d", _TITLES["d"]),
        Predictor("l_ratio", "log₁₀ L, elongation", _log10),
    )
    return sizes + tuple(Predictor(name, _name(name)) for name in _PURE) + moments + shape


def _name(field: str) -> str:
    return _TITLES.get(field) or measure_name(field)


def _log10(values: np.ndarray) -> np.ndarray:
    return np.log10(np.where(values > 0, values, np.nan))


def _signed_log(floor: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the sign times the logarithm above a floor, which the noise of the pixels makes."""

    def scaled(values: np.ndarray) -> np.ndarray:
        far: np.ndarray = np.sign(values) * np.log10(1 + np.abs(values) / floor)
        return far

    return scaled
