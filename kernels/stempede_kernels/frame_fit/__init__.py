"""Sums over a frame that fit all its columns, and the surface they stand on, together.

All functions take and return float64 arrays of the host. A column is a row of ``gaussians``,
[y, x, pyy, pyx, pxx]: its place in px and the inverse of its covariance in px⁻². Its profile has
unit integral; its logarithmic slopes by y and x are ``pyy dy + pyx dx`` and ``pyx dy + pxx dx``.
Each result is the same whatever the number of threads. The equations are in the README.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stempede_kernels.dispatch import implementation

__all__ = [
    "corner_products",
    "corner_sums",
    "draw",
    "entries",
    "gather",
    "mark",
    "place_gains",
    "products",
    "row_sums",
    "squares",
    "surface",
    "under_columns",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def draw(
    gaussians: Floats, centres: Ints, radius: float, forms: Floats, shape: tuple[int, int]
) -> Floats:
    """Add up profiles times forms of their slopes.

    Parameters
    ----------
    gaussians : (n, 5) float64 array
    centres : (n, 2) int64 array
        Middle pixels of the discs that columns reach.
    radius : float
        Of the discs, px.
    forms : (n, k, 6) float64 array
        Factors of 1, by_y, by_x, by_y², by_y by_x, by_x² in each of k images.
    shape : (int, int)

    Returns
    -------
    (k, h, w) float64 array

    Raises
    ------
    ValueError
        If a shape does not fit, or a covariance is not positive.
    """
    gaussians, centres = _columns(gaussians, centres)
    forms = _floats(forms, "forms", (len(gaussians), None, 6))
    return _side().draw(gaussians, centres, float(radius), forms, tuple(shape))  # type: ignore[no-any-return]


def gather(
    images: Floats, gaussians: Floats, centres: Ints, radius: float, active: Bools
) -> Floats:
    """Sum images times profile and slopes over the disc of each active column.

    Parameters
    ----------
    images : (k, h, w) float64 array
        0 where a pixel is not to count.
    gaussians, centres, radius
        See ``draw``.
    active : (n,) bool array
        The sums of the others are 0.

    Returns
    -------
    (n, k, 3) float64 array
        Sums of image v by_y, image v by_x, image v for profile v.
    """
    gaussians, centres = _columns(gaussians, centres)
    images = _floats(images, "images", (None, None, None))
    return _side().gather(images, gaussians, centres, float(radius), _flags(active, gaussians))  # type: ignore[no-any-return]


def row_sums(
    image: Floats, gaussians: Floats, centres: Ints, radius: float, active: Bools
) -> Floats:
    """Sum one image as ``gather`` does, each row of a disc by itself.

    Returns
    -------
    (n, 2 floor(radius) + 1, 3) float64 array
        Row k is row ``centre - floor(radius) + k`` of the frame; 0 outside it.
    """
    gaussians, centres = _columns(gaussians, centres)
    image = _floats(image, "image", (None, None))
    return _side().row_sums(image, gaussians, centres, float(radius), _flags(active, gaussians))  # type: ignore[no-any-return]


def under_columns(
    image: Floats,
    gaussians: Floats,
    centres: Ints,
    radius: float,
    active: Bools,
    *,
    spacing: float,
) -> tuple[Ints, Floats]:
    """Sum one image as ``gather`` does, times the weight of each node of a surface.

    Parameters
    ----------
    image, gaussians, centres, radius, active
        See ``gather``.
    spacing : float
        Distance of nodes, px; see ``surface``.

    Returns
    -------
    first : (n, 2) int64 array
        The first node, down and across, that each column may reach.
    sums : (n, r, c, 3) float64 array
        From this node on; 0 where a column does not reach one.
    """
    gaussians, centres = _columns(gaussians, centres)
    image, active = _floats(image, "image", (None, None)), _flags(active, gaussians)
    return _side().under_columns(  # type: ignore[no-any-return]
        image, gaussians, centres, float(radius), active, float(spacing)
    )


def squares(
    weight: Floats, gaussians: Floats, centres: Ints, radius: float, active: Bools
) -> Floats:
    """Sum weight times squared profile times slopes: what a column knows of itself.

    Parameters
    ----------
    weight : (h, w) float64 array
        Fisher information of the pixels, 0 where one is not read.
    gaussians, centres, radius, active
        See ``gather``.

    Returns
    -------
    (n, 3, 3) float64 array
        Sums of weight v² s sᵀ, s = (by_y, by_x, 1).
    """
    gaussians, centres = _columns(gaussians, centres)
    weight = _floats(weight, "weight", (None, None))
    return _side().squares(weight, gaussians, centres, float(radius), _flags(active, gaussians))  # type: ignore[no-any-return]


def products(
    weight: Floats, gaussians: Floats, anchors: Floats, radius: float, pairs: Ints
) -> Floats:
    """Sum weight times both profiles of pairs of columns, over pixels near both.

    Parameters
    ----------
    weight : (h, w) float64 array
    gaussians : (n, 5) float64 array
    anchors : (n, 2) float64 array
        Middles of the discs, not bound to pixels.
    radius : float
        Of the discs, px.
    pairs : (c, 2) int64 array

    Returns
    -------
    (c, 3, 3) float64 array
        Sums of weight v_a v_b s_a s_bᵀ, s = (by_y, by_x, 1).
    """
    gaussians = _floats(gaussians, "gaussians", (None, 5))
    anchors = _floats(anchors, "anchors", (len(gaussians), 2))
    weight = _floats(weight, "weight", (None, None))
    pairs = np.ascontiguousarray(pairs, np.int64).reshape(-1, 2)
    if len(pairs) and (pairs.min() < 0 or pairs.max() >= len(gaussians)):
        raise ValueError(f"pairs must name columns 0 to {len(gaussians) - 1}; correct them")
    return _side().products(weight, gaussians, anchors, float(radius), pairs)  # type: ignore[no-any-return]


def entries(
    used: Bools, gaussians: Floats, centres: Ints, radius: float
) -> tuple[Ints, Ints, Floats]:
    """List the pixels in each column's disc with the profile there.

    Parameters
    ----------
    used : (h, w) bool array
        Pixels that are listed.
    gaussians, centres, radius
        See ``draw``.

    Returns
    -------
    start : (n + 1,) int64 array
        First entry of each column.
    pixel : (e,) int64 array
        Flat indices into the frame.
    profile : (e,) float64 array
    """
    gaussians, centres = _columns(gaussians, centres)
    return _side().entries(np.ascontiguousarray(used, np.bool_), gaussians, centres, float(radius))  # type: ignore[no-any-return]


def mark(valid: Bools, anchors: Floats, radius: float, active: Bools) -> Bools:
    """Return (h, w) which valid pixels lie within a radius of the active columns' anchors."""
    anchors = _floats(anchors, "anchors", (None, 2))
    valid = np.ascontiguousarray(valid, np.bool_)
    return _side().mark(valid, anchors, float(radius), _flags(active, anchors))  # type: ignore[no-any-return]


def place_gains(
    pixels: Ints,
    observed: Floats,
    without: Floats,
    places: Floats,
    light: Floats,
    sigma: Floats,
    *,
    noise: tuple[bool, float, float],
) -> Floats:
    """Try round columns at many places, and say how much likelier they make the pixels.

    Parameters
    ----------
    pixels : (k, p, 2) int64 array
        (y, x) of the pixels around each column.
    observed : (k, p) float64 array
        NaN where a pixel is not to count.
    without : (k, p) float64 array
        Expected without the column.
    places : (k, g, 2) float64 array
        (y, x) tried.
    light : (k, s) float64 array
        Intensities tried.
    sigma : (k,) float64 array
        Widths, px.
    noise : (bool, float, float)
        Whether pixels are numbers of electrons (a pixel below 0.02 holds none); else the
        variance of a pixel is the second plus the third times its expected value.

    Returns
    -------
    (k, s, g) float64 array
        Log-likelihood with the column less that without.
    """
    observed = _floats(observed, "observed", (None, None))
    k, p = observed.shape
    pixels = np.ascontiguousarray(pixels, np.int64).reshape(k, p, 2)
    without = _floats(without, "without", (k, p))
    places = _floats(places, "places", (k, None, 2))
    light, sigma = _floats(light, "light", (k, None)), _floats(sigma, "sigma", (k,))
    counted, constant, slope = noise
    rule = np.array([float(counted), constant, slope])
    return _side().place_gains(pixels, observed, without, places, light, sigma, rule)  # type: ignore[no-any-return]


def surface(levels: Floats, spacing: float, shape: tuple[int, int]) -> Floats:
    """Draw a surface that is bilinear between nodes.

    Parameters
    ----------
    levels : (r + 1, c + 1) float64 array
        Values at (k spacing, l spacing); r, c = floor(h / spacing) + 1, floor(w / spacing) + 1.
    spacing : float
        Distance of nodes, px.
    shape : (int, int)

    Returns
    -------
    (h, w) float64 array
    """
    down, across = (int(size / spacing) + 2 for size in shape)
    levels = _floats(levels, "levels", (down, across))
    return _side().surface(levels, float(spacing), tuple(shape))  # type: ignore[no-any-return]


def corner_sums(images: Floats, spacing: float) -> Floats:
    """Return (k, r, c, 2, 2) sums of (k, h, w) images times the weights of each cell's corners."""
    images = _floats(images, "images", (None, None, None))
    return _side().corner_sums(images, float(spacing))  # type: ignore[no-any-return]


def corner_products(weight: Floats, spacing: float) -> Floats:
    """Return (r, c, 4, 4) sums of a (h, w) weight times products of corners' weights.

    Corners are in the order top left, top right, bottom left, bottom right.
    """
    weight = _floats(weight, "weight", (None, None))
    return _side().corner_products(weight, float(spacing))  # type: ignore[no-any-return]


def _side() -> Any:
    return implementation(__name__, np.empty(0))


def _columns(gaussians: ArrayLike, centres: ArrayLike) -> tuple[Floats, Ints]:
    checked = _floats(gaussians, "gaussians", (None, 5))
    middle = np.ascontiguousarray(centres, np.int64)
    if middle.shape != (len(checked), 2):
        raise ValueError(
            f"centres must be ({len(checked)}, 2), found {middle.shape}; give one per column"
        )
    precision = checked[:, 2:]
    if not (
        np.isfinite(checked).all()
        and (precision[:, [0, 2]] > 0).all()
        and (precision[:, 0] * precision[:, 2] > precision[:, 1] ** 2).all()
    ):
        raise ValueError("gaussians must be finite with positive covariances; drop the others")
    return checked, middle


def _floats(array: ArrayLike, name: str, shape: tuple[int | None, ...]) -> Floats:
    found = np.ascontiguousarray(array, np.float64)
    if found.ndim != len(shape) or any(
        wanted not in (None, size) for wanted, size in zip(shape, found.shape, strict=True)
    ):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} must be ({wanted}), found {found.shape}; reshape it")
    return found


def _flags(active: ArrayLike, columns: Floats) -> Bools:
    flags = np.ascontiguousarray(active, np.bool_)
    if flags.shape != (len(columns),):
        raise ValueError(
            f"active must be ({len(columns)},), found {flags.shape}; give one per column"
        )
    return flags
