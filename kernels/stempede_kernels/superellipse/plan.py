"""What the sides of the superellipse kernel share: order of parameters, bounds, arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ORDERS = (1, 2, 3, 4, 5, 6)
"""Symmetries d that are tried."""

# parameters of a fit: y, x (px from the middle of the box), log radius, angle (rad), log p, log L
N_FREE = 6
LOW = np.array([-np.inf, -np.inf, np.log(0.25), -np.inf, np.log(0.2), -np.log(20.0)])
HIGH = np.array([np.inf, np.inf, np.inf, np.inf, np.log(30.0), np.log(20.0)])

# how a fit ended; `State` names them
CONVERGED, UNFINISHED, SINGULAR = 1, 2, 3

# harmonics of the log radius that starts are made from
N_HARMONICS = 12
# lines along which outlines are read are this many to the longer side of a box, or more
LINES = 48
# sectors of the outline whose residuals count as independent of each other
N_SECTORS = 24
# a step that lowers the misfit by less than this share ends a fit
TOLERANCE = 1e-4
MAX_ITERATIONS = 40
# squared cosines and sines below this count as this: R' has no bound at a cusp
LEAST_SQUARE = 1e-8
# fits need this many outline points
FEWEST_POINTS = 12
# overlaps are counted on every pixel of boxes below twice this, on a grid above
OVERLAP_SIDE = 128
# a shape that reaches further than this many sides of the region's box overlaps nothing
FARTHEST = 3.0

# edges of the drawn polygon per half lobe, by d (index 0 is not used)
EDGES = (0, 96, 64, 48, 40, 36, 32)


@dataclass(frozen=True)
class Outlines:
    """Points of the outlines of n regions, region after region.

    Parameters
    ----------
    begin : (n + 1,) int64 array
        Points of region k are ``begin[k]`` to ``begin[k + 1]``, that one excluded.
    points : (m, 3) float32 array
        y and x in px from the middle of the region's box, and arc length in px.
    middle : (n, 2) float64 array
        Middle of each box in the frame, px.
    harmonics : (n, 2, N_HARMONICS + 1) float64 array
        Real and imaginary part of the Fourier coefficients 0, 1, … of the log distance from
        the centroid by direction.
    centroid : (n, 2) float64 array
        Mean of the pixels, px from the middle.
    """

    begin: Ints
    points: Any
    middle: Floats
    harmonics: Floats
    centroid: Floats


@dataclass(frozen=True)
class Trials:
    """Fits of one start each.

    Parameters
    ----------
    theta : (m, N_FREE) float64 array
    cost : (m,) float64 array
        Mean squared distance of outline and shape, px².
    state : (m,) int8 array
    iterations : (m,) int32 array
    """

    theta: Floats
    cost: Floats
    state: NDArray[np.int8]
    iterations: NDArray[np.int32]
