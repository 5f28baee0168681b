"""Superellipses: drawn in batches, and fitted to the outlines of labelled regions."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stempede_kernels import interop
from stempede_kernels.dispatch import implementation, on_gpu
from stempede_kernels.superellipse.batch import fit_regions
from stempede_kernels.superellipse.choose import CIRCLE

__all__ = ["CIRCLE", "Fits", "State", "fit", "overlap", "render"]


class State(IntEnum):
    """How a fit ended."""

    NOT_RUN = 0
    CONVERGED = 1
    MAX_ITERATIONS = 2
    SINGULAR = 3


@dataclass(frozen=True)
class Fits:
    """The shape of each of n regions, in host memory.

    Parameters
    ----------
    shapes : (n, 7) float64 array
        y, x (px in the frame), radius (px), angle (rad), p, d, L in the canonical form: L ≥ 1,
        angle in [0, 2π/d). NaN where there is no fit.
    errors : (n, 6) float64 array
        Standard errors of y, x (px), log radius, angle (rad), log p, log L. NaN where a
        parameter lies at its bound.
    jaccard : (n,) float64 array
        Intersection over union of the drawn shape with the region.
    jaccard_other : (n,) float64 array
        The best of any other d; NaN where none came near.
    jaccard_circle : (n,) float64 array
        That of the circle of the region's area about its centroid.
    distance_px : (n,) float64 array
        Root-mean-square distance of the region's outline from the shape's.
    state : (n,) int8 array
        Values of `State`.
    iterations : (n,) int32 array
    """

    shapes: NDArray[np.float64]
    errors: NDArray[np.float64]
    jaccard: NDArray[np.float64]
    jaccard_other: NDArray[np.float64]
    jaccard_circle: NDArray[np.float64]
    distance_px: NDArray[np.float64]
    state: NDArray[np.int8]
    iterations: NDArray[np.int32]


def render(shapes: Any, size: int) -> Any:
    """Draw superellipses: the share of each pixel that lies inside.

    Parameters
    ----------
    shapes : (n, 7) array of float
        y, x (px), radius (px, factor of equation 1), angle (rad), p, d, L. NumPy, torch or
        CuPy. Pixel centres lie at integers, the first at (0, 0).
    size : int
        Side of the drawings, px.

    Returns
    -------
    (n, size, size) float32 array
        0 … 1, in the library of ``shapes``. Outlines are polygons of 192 to 432 vertices; the
        share is exact for these.

    Raises
    ------
    ValueError
        If a shape has a radius, p or L of 0 or less, or a d that is not 1 … 6.
    """
    engine = implementation(__name__, shapes)
    if on_gpu(shapes):
        drawn = engine.render(interop.as_torch(shapes).double(), size)
        return drawn if "torch" in type(shapes).__module__ else interop.as_cupy(drawn)
    host = np.ascontiguousarray(interop.as_numpy(shapes), np.float64)
    _check_shapes(host)
    return engine.render(host, int(size))


def fit(labels: Any, frame: Any, label: Any, box: Any, *, guess: Any | None = None) -> Fits:
    """Fit the superellipse of equation 1 to the outline of each region.

    Parameters
    ----------
    labels : (b, y, x) int32 array
        NumPy, torch or CuPy.
    frame, label : (n,) arrays of int
        Index into `labels` and value of each region.
    box : (n, 4) array of int
        y0, x0, y1, x1 of each region, ends excluded.
    guess : (n, 6, 2, 2) array of float, optional
        p and L to start from, for d of 1 … 6 and for p below 2 and from 2 on; NaN: not to be
        tried. All are tried where the overlap stays below 0.9, and without a guess; d = 2
        where a circle follows as well.

    Returns
    -------
    Fits

    Raises
    ------
    TypeError, ValueError
        If arrays do not fit each other. A region that cannot be fitted never raises.
    """
    places = [np.asarray(a) for a in (frame, label, box)]
    if any(a.dtype.kind not in "iu" for a in places):
        raise TypeError("frame, label and box must hold integers; convert them first")
    f, own, boxes = (a.astype(np.int64) for a in places)
    if labels.ndim != 3 or boxes.shape != (len(f), 4) or own.shape != f.shape:
        raise ValueError(
            f"labels must be (b, y, x), frame and label (n,), box (n, 4); found "
            f"{tuple(labels.shape)}, {f.shape}, {own.shape}, {boxes.shape}"
        )
    if len(f) and not (f.min() >= 0 and f.max() < len(labels)):
        raise ValueError(f"frame must lie in 0 … {len(labels) - 1}, found {f.min()} … {f.max()}")
    near = None if guess is None else np.asarray(guess, np.float64)
    if near is not None and near.shape != (len(f), 6, 2, 2):
        raise ValueError(f"guess must be ({len(f)}, 6, 2, 2), found {near.shape}")
    engine = implementation(__name__, labels)
    return Fits(**fit_regions(engine, _prepared(labels), f, own, boxes, near))


def overlap(labels: Any, frame: Any, label: Any, box: Any, shapes: Any) -> NDArray[np.float64]:
    """Return the intersection over union of a shape with each region.

    Parameters
    ----------
    labels, frame, label, box
        As for `fit`.
    shapes : (n, 7) array of float
        In frame coordinates.

    Returns
    -------
    (n,) float64 array
        From pixel centres; on a grid coarser than pixels for boxes above 256 px.
    """
    rows = np.asarray(shapes, np.float64)
    _check_shapes(rows)
    engine = implementation(__name__, labels)
    places = [np.asarray(a, np.int64) for a in (frame, label, box)]
    found: NDArray[np.float64] = engine.overlap(
        _prepared(labels), *places, np.arange(len(rows)), rows
    )
    return found


def _prepared(labels: Any) -> Any:
    if on_gpu(labels):
        return interop.as_torch(labels).int().contiguous()
    return np.ascontiguousarray(interop.as_numpy(labels), np.int32)


def _check_shapes(shapes: NDArray[np.float64]) -> None:
    if shapes.ndim != 2 or shapes.shape[1] != 7:
        raise ValueError(f"shapes must be (n, 7), found {shapes.shape}")
    d = shapes[:, 5]
    if not (np.isfinite(shapes).all() and (shapes[:, [2, 4, 6]] > 0).all()):
        raise ValueError("shapes must be finite, with radius, p and L above 0; drop other rows")
    if not ((d >= 1) & (d <= 6) & (d == np.round(d))).all():
        raise ValueError("d must be a whole number from 1 to 6; round it first")
