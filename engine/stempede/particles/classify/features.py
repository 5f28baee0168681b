"""What a classifier looks at: features of particles in comparable form, and named sets of them.

A set is a list of terms; a term is computed from fields of ``particles``. Terms with a size
have a unit, nm or px: a model learnt in one cannot be used in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from stempede.tables import Table

SHAPE_FIELDS = ("p", "d", "l_ratio")


@dataclass(frozen=True)
class Term:
    """One feature.

    Parameters
    ----------
    fields : tuple of str
        Of ``particles``; ``{px}`` stands for the unit of length, ``{px2}`` for that of area.
    compute : callable
        Takes the (n,) columns of those fields, returns (n,) float64.
    """

    fields: tuple[str, ...]
    compute: Callable[..., np.ndarray]

    @property
    def sized(self) -> bool:
        """Whether its value depends on the unit of length."""
        return any("{" in f for f in self.fields) and self.compute not in _WITHOUT_UNIT

    def named(self, unit: str) -> tuple[str, ...]:
        """Return its fields in a unit, ``px`` or ``nm``."""
        return tuple(f.format(px=unit, px2=f"{unit}2") for f in self.fields)


def _plain(values: np.ndarray) -> np.ndarray:
    return values


def _log(values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(values)


def _signed_log(values: np.ndarray) -> np.ndarray:
    """Hu moments span decades and change sign: the sign times log10 above 1e-12."""
    return np.sign(values) * np.log10(1.0 + np.abs(values) / 1e-12)


def _per_square(area: np.ndarray, perimeter: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return area / perimeter**2


def _own_extent(area: np.ndarray, length: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Area over the least rectangle around it: the extent, whichever way the particle lies."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return area / (length * width)


_WITHOUT_UNIT = (_per_square, _own_extent)
_LENGTHS = (
    "perimeter",
    "perimeter_crofton",
    "equivalent_diameter",
    "major_axis",
    "minor_axis",
    "max_feret",
    "min_feret",
)
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
    "area": Term(("area_{px2}",), _plain),
    "convex_area": Term(("convex_area_{px2}",), _plain),
    "log_area": Term(("area_{px2}",), _log),
    "log_convex_area": Term(("convex_area_{px2}",), _log),
    "area_per_perimeter2": Term(("area_{px2}", "perimeter_{px}"), _per_square),
    "own_extent": Term(("area_{px2}", "min_rect_length_{px}", "min_rect_width_{px}"), _own_extent),
    **{name: Term((f"{name}_{{px}}",), _plain) for name in _LENGTHS},
    **{f"log_{name}": Term((f"{name}_{{px}}",), _log) for name in _LENGTHS},
    **{name: Term((name,), _plain) for name in _RATIOS},
    **{f"log_hu{k}": Term((f"hu{k}",), _signed_log) for k in (1, 2, 3)},
    "log_p": Term(("p",), _log),
    "log_l_ratio": Term(("l_ratio",), _log),
}

_SHAPE = ("log_p", "d", "log_l_ratio")
_MEASURED = (
    "log_area",
    "log_convex_area",
    "log_perimeter",
    "log_perimeter_crofton",
    "log_major_axis",
    "log_minor_axis",
    "log_max_feret",
    "log_min_feret",
    "aspect_ratio",
    "eccentricity",
    "circularity",
    "solidity",
    "convexity",
    "roundness",
    "own_extent",
    "log_hu1",
    "log_hu2",
    "log_hu3",
)
_TEN = (
    "area",
    "circularity",
    "eccentricity",
    "major_axis",
    "minor_axis",
    "convex_area",
    "perimeter",
    "perimeter_crofton",
    "aspect_ratio",
    "area_per_perimeter2",
)
_SEVEN = tuple(t for t in _TEN if t not in ("convex_area", "perimeter_crofton", "minor_axis"))
_FOUR = ("area", "circularity", "eccentricity", "aspect_ratio")

SETS: dict[str, tuple[str, ...]] = {
    "all": (*_MEASURED, *_SHAPE),
    "without shape": _MEASURED,
    "published 13": (*_TEN, *SHAPE_FIELDS),
    "ten common": _TEN,
    "7 + 3": (*_SEVEN, *SHAPE_FIELDS),
    "4 + 3": (*_FOUR, *SHAPE_FIELDS),
    "shape alone": _SHAPE,
}
"""Feature sets by name. ``all``, ``ten common``, ``7 + 3``, ``4 + 3`` and ``without shape``
are the comparisons of Williamson et al.; which seven and which four they took is not public,
these are the least redundant ones."""


def fields_of(terms: Iterable[str], unit: str) -> tuple[str, ...]:
    """Return the fields of ``particles`` that terms need, each once."""
    return tuple(dict.fromkeys(f for t in terms for f in TERMS[t].named(unit)))


def has_size(terms: Iterable[str]) -> bool:
    """Whether any of the terms depends on the unit of length."""
    return any(TERMS[t].sized for t in terms)


def has_shape(terms: Iterable[str]) -> bool:
    """Whether p, d or L is among the fields of the terms."""
    return any(f in SHAPE_FIELDS for t in terms for f in TERMS[t].fields)


def matrix(particles: Table, terms: Iterable[str], unit: str) -> np.ndarray:
    """Return (n, terms) float64 features; what is not finite is NaN.

    Parameters
    ----------
    particles : Table
        ``particles`` of a run.
    terms : iterable of str
        Names in ``TERMS``.
    unit : {"px", "nm"}
    """
    columns = [
        TERMS[t].compute(*(np.asarray(particles[f]) for f in TERMS[t].named(unit))) for t in terms
    ]
    values = np.stack(columns, axis=1).astype(np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def unit_of(particles: Table) -> str:
    """Return ``nm`` where every accepted particle is calibrated, else ``px``."""
    accepted = np.asarray(particles["accepted"])
    return "nm" if np.isfinite(particles["area_nm2"][accepted]).all() else "px"
