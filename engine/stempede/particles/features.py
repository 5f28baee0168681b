"""Features: one row of size, shape, direction and contrast per region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stempede.frames import Batch
from stempede.tables import PARTICLES, SIZES, Table
from stempede_kernels.regions import regions

AREAS = ("area", *(name for name in SIZES if name.endswith("_area")))
LENGTHS = tuple(name for name in SIZES if not name.endswith("_area"))


@dataclass(frozen=True)
class Features:
    """Measure every labelled region: the ``particles`` table.

    Each size stands twice, in px and in nm (null without calibration). Shape parameters, group
    and acceptance are left to later stages. The README of ``stempede_kernels.regions`` defines
    each feature.

    Parameters
    ----------
    ring_gap_px, ring_width_px : int
        The local background, which contrast is measured against, is the mean of the pixels
        that belong to no region at more than the gap and at most gap + width from this one.

    Notes
    -----
    Contrast has the sign of ``batch.images``: positive where the route has turned particles
    bright. It does not depend on the unit of the images, since their noise is estimated here.
    """

    ring_gap_px: int = 2
    ring_width_px: int = 4

    name: ClassVar[str] = "particles.features"
    reads: ClassVar[tuple[str, ...]] = ("images", "labels", "valid")
    writes: ClassVar[tuple[str, ...]] = ("particles",)

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with ``particles``, in order of frame and first pixel."""
        if not len(batch):
            return batch.with_(tables={"particles": Table.empty(PARTICLES)})
        ledger = batch.backend.ledger
        found = regions(
            batch.maps["labels"],
            batch.images,
            valid=batch.maps["valid"],
            ring_gap_px=self.ring_gap_px,
            ring_width_px=self.ring_width_px,
            on_transfer=lambda way, nbytes: ledger.count(way, self.name, nbytes),
        )
        order = np.lexsort((found["first_px"], found["frame_index"]))
        found = {name: column[order] for name, column in found.items()}
        index = found["frame_index"]
        columns = {
            **found,
            **in_nm(found, batch.pixel_size_nm[index]),
            "frame": batch.frames[index],
            "particle": np.arange(len(index)) - np.searchsorted(index, index),
        }
        known = {name: columns[name] for name in PARTICLES.names if name in columns}
        return batch.with_(tables={"particles": Table(PARTICLES, known)})


def in_nm(found: dict[str, np.ndarray], pixel_size_nm: np.ndarray) -> dict[str, np.ndarray]:
    """Return the sizes in nm and nm²; NaN where the pixel size is.

    Parameters
    ----------
    found : mapping of str to (n,) array
        Columns of ``regions``, in px and degrees.
    pixel_size_nm : (n, 2) float64 array
        Along y and x, of each region's frame.

    Notes
    -----
    Where the pixel sizes along y and x differ, areas, equivalent diameter and edge length scale
    with their geometric mean and both moment axes are found anew, which is exact. Feret
    diameters and the sides of the rectangle are those of the lines found in px, scaled along
    their own direction: a rectangle becomes a parallelogram, and the error is at most the
    relative difference of the pixel sizes. Both perimeters scale with the geometric mean, at
    most half that difference off. Angles and ratios stay those of the pixel grid.
    """
    y, x = pixel_size_nm.T
    mean = np.sqrt(y * x)
    sizes = {f"{name}_nm2": found[f"{name}_px2"] * (y * x) for name in AREAS}
    sizes |= {f"{name}_nm": found[f"{name}_px"] * mean for name in LENGTHS}
    oblong = np.flatnonzero(np.isfinite(mean) & (y != x))
    if not len(oblong):
        return sizes
    part = {name: column[oblong] for name, column in found.items()}
    for name, column in _stretched(part, y[oblong], x[oblong]).items():
        sizes[name][oblong] = column
    return sizes


def _stretched(found: dict[str, np.ndarray], y: np.ndarray, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return the lengths that depend on direction, for pixels y by x nm."""
    feret, narrow = found["max_feret_angle_deg"], found["min_feret_angle_deg"]
    side = found["min_rect_angle_deg"]
    major, minor = _stretched_axes(found, y, x)
    return {
        "major_axis_nm": major,
        "minor_axis_nm": minor,
        "max_feret_nm": found["max_feret_px"] * _stretch(feret, y, x),
        # two parallel lines stay parallel: their distance is an area over a length
        "min_feret_nm": found["min_feret_px"] * (y * x) / _stretch(narrow + 90, y, x),
        "min_rect_length_nm": found["min_rect_length_px"] * _stretch(side, y, x),
        "min_rect_width_nm": found["min_rect_width_px"] * _stretch(side + 90, y, x),
    }


def _stretch(angle_deg: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return nm per px along directions."""
    angle = np.radians(angle_deg)
    return np.hypot(y * np.sin(angle), x * np.cos(angle))


def _stretched_axes(
    found: dict[str, np.ndarray], y: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return both moment axes after scaling the covariance that they stand for."""
    angle = np.radians(np.nan_to_num(found["orientation_deg"]))
    major, minor = found["major_axis_px"] ** 2, found["minor_axis_px"] ** 2
    mean, half = (major + minor) / 2, (major - minor) / 2
    xx = (mean + half * np.cos(2 * angle)) * x**2
    yy = (mean - half * np.cos(2 * angle)) * y**2
    yx = half * np.sin(2 * angle) * y * x
    mean, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, yx)
    return np.sqrt(mean + half), np.sqrt(np.maximum(mean - half, 0))
