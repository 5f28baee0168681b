"""Circles in a gradient: votes for their centres, and the edges that lie on them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.dispatch import implementation

__all__ = ["apart", "edges_on", "vote"]


def vote(
    edges: NDArray[np.float64],
    shape: tuple[int, int],
    radii: NDArray[np.float64],
    *,
    cell: int,
    rim: int,
    near: float,
    least: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Let every edge vote for the centre that each radius gives it.

    Parameters
    ----------
    edges : (n, 4) float64 array
        y, x and the unit vector, down and right, towards the inside.
    shape : (int, int)
        Of the frame, in px.
    radii : (m,) float64 array
        In px; none above ``cell * rim - 1``.
    cell : int
        Votes are counted in cells of so many px a side.
    rim : int
        Cells added around the frame.
    near : float
        Votes are summed over a square that reaches this share of the radius.
    least : float
        Votes over half the circle's px from which a centre counts.

    Returns
    -------
    votes : (rows, columns) float32 array
        Most votes of any radius over half its circle, ``least`` where there are no more.
    radius : (rows, columns) float32 array
        The radius, in px, that has them, the first of equal ones; 0 where there are no more
        than ``least``.

    Raises
    ------
    TypeError
        If the arrays are on a GPU, or not float64.
    ValueError
        If edges are not (n, 4) or lie outside of the frame, or the rim is too narrow.
    """
    if edges.dtype != np.float64 or radii.dtype != np.float64:
        raise TypeError(f"edges and radii must be float64, found {edges.dtype}, {radii.dtype}")
    if edges.ndim != 2 or edges.shape[1] != 4 or radii.max(initial=0.0) > cell * rim - 1:
        raise ValueError(
            f"edges must be (n, 4) and radii at most {cell * rim - 1}, found {edges.shape} and "
            f"{radii.max(initial=0.0):g}"
        )
    at = edges[:, :2]
    if np.any(at < 0) or np.any(at > np.subtract(shape, 1)):
        raise ValueError(f"edges must lie in the frame of {shape}")
    height, width = (-(-n // cell) + 2 * rim for n in shape)
    run: Any = implementation(__name__, edges).vote
    votes, radius = run(
        np.ascontiguousarray(edges), height, width, radii, cell, rim, near, float(least)
    )
    return votes, radius


def edges_on(
    circles: NDArray[np.float64],
    at: NDArray[np.float64],
    slopes: tuple[NDArray[np.float32], NDArray[np.float32]],
    *,
    directions: int,
    floor: float,
    facing: float,
) -> NDArray[np.int8]:
    """Find the edges on circles that face their centres.

    Parameters
    ----------
    circles : (n, 3) float64 array
        Centre y and x, radius, px.
    at : (m,) float64 array
        Shares of the radius at which edges are looked for, less than 128.
    slopes : two (y, x) float32 arrays
        Rise down and to the right. Places outside of the frame are those of its rim.
    directions : int
        In which edges are looked for, counted from x towards y.
    floor : float
        Least rise towards the centre.
    facing : float
        Least cosine between the slope and the way to the centre.

    Returns
    -------
    (n, directions) int8 array
        Which of ``at`` has the steepest such rise, the first of equal ones; -1 where none.

    Raises
    ------
    TypeError
        If the arrays are on a GPU, or slopes are not float32.
    ValueError
        If shapes do not fit.
    """
    down, right = slopes
    if down.dtype != np.float32 or right.dtype != np.float32:
        raise TypeError(f"slopes must be float32, found {down.dtype} and {right.dtype}")
    if circles.ndim != 2 or circles.shape[1] != 3 or at.ndim != 1 or len(at) > 127:
        raise ValueError(f"circles must be (n, 3) and at (m,), found {circles.shape}, {at.shape}")
    if down.ndim != 2 or down.shape != right.shape or 0 in down.shape:
        raise ValueError(f"slopes must be (y, x) of one shape, found {down.shape}, {right.shape}")
    run: Any = implementation(__name__, down).edges_on
    found: NDArray[np.int8] = run(
        np.ascontiguousarray(circles, np.float64),
        np.ascontiguousarray(at, np.float64),
        np.ascontiguousarray(down),
        np.ascontiguousarray(right),
        2 * np.pi * np.arange(directions) / directions,
        float(floor),
        float(facing),
    )
    return found


def apart(circles: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """Keep circles, the first of them first, whose centres are not too close to one kept.

    Parameters
    ----------
    circles : (n, 3) float64 array
        Centre y and x, radius.
    share : float
        Of the larger radius of two, by which their centres lie apart at least.

    Returns
    -------
    (n,) bool array

    Raises
    ------
    TypeError
        If the circles are on a GPU.
    ValueError
        If they are not (n, 3).
    """
    if circles.ndim != 2 or circles.shape[1] != 3:
        raise ValueError(f"circles must be (n, 3), found {circles.shape}")
    run: Any = implementation(__name__, circles).apart
    kept: NDArray[np.bool_] = run(np.ascontiguousarray(circles, np.float64), float(share))
    return kept
