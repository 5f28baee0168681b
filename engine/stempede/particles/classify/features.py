"""Feature sets of the classifier, and the unit of a run's sizes."""

from __future__ import annotations

import numpy as np

from stempede.particles.terms import PUBLISHED, SHAPE_FIELDS, TEN_COMMON
from stempede.tables import Table

_SHAPE = ("log p", "d", "log l_ratio")
_MEASURED = (
    "log area",
    "log convex_area",
    "log perimeter",
    "log perimeter_crofton",
    "log major_axis",
    "log minor_axis",
    "log max_feret",
    "log min_feret",
    "aspect_ratio",
    "eccentricity",
    "circularity",
    "solidity",
    "convexity",
    "roundness",
    "rectangularity",
    "log hu1",
    "log hu2",
    "log hu3",
)
_SEVEN = tuple(t for t in TEN_COMMON if t not in ("convex_area", "perimeter_crofton", "minor_axis"))
_FOUR = ("area", "circularity", "eccentricity", "aspect_ratio")

SETS: dict[str, tuple[str, ...]] = {
    "all": (*_MEASURED, *_SHAPE),
    "without shape": _MEASURED,
    "published 13": PUBLISHED,
    "ten common": TEN_COMMON,
    "7 + 3": (*_SEVEN, *SHAPE_FIELDS),
    "4 + 3": (*_FOUR, *SHAPE_FIELDS),
    "shape alone": _SHAPE,
}
"""Names of terms by the name of their set. ``all``, ``ten common``, ``7 + 3``, ``4 + 3`` and
``without shape`` are the comparisons of Williamson et al.; which seven and which four they took
is not public, these are the least redundant ones."""


def unit_of(particles: Table) -> str:
    """Return ``nm`` where every accepted particle is calibrated, else ``px``."""
    accepted = np.asarray(particles["accepted"])
    return "nm" if np.isfinite(particles["area_nm2"][accepted]).all() else "px"
