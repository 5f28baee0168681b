"""What a side, CPU or GPU, is given for a run over fits, and what it writes."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# y, x, amplitude, precision yy, yx, xx, offset, slope y, slope x
N_THETA = 9
# covariance of y and x, intensity, its error, deviance, likelihood ratio, pixels
N_RESULTS = 6
# gradient (3) and information (3, 3) of a shared shape
N_POOLED = 12


class Rule(NamedTuple):
    """What is fitted and when it ends.

    Parameters
    ----------
    window : int
        Side in px, odd.
    shape : int
        Free widths: 0 held, 1 circular, 2 upright, 3 rotated.
    pooled : int
        Kind of shape shared by groups, 0 for none; then `shape` is 0.
    poisson : bool
        Poisson likelihood, the frame's variance added on both sides; else least squares.
    offset, plane : bool
        Whether the offset, and the two slopes, are free.
    tolerance : float
        A fit ends with a step whose every part is below; README names the units.
    iterations : int
        Largest number of steps; 0 evaluates only.
    dominance : float
        Pixels where the fit's own Gaussian, at its start, is below this share of its
        neighbours are left out.
    """

    window: int
    shape: int
    pooled: int
    poisson: bool
    offset: bool
    plane: bool
    tolerance: float
    iterations: int
    dominance: float


class Task(NamedTuple):
    """Fits to run, and where each finds its pixels and neighbours.

    Parameters
    ----------
    chosen : (m,) int64 array
        Places, in all other arrays, of the fits to run.
    frame : (n,) int64 array
    middle : (n, 2) float64 array
        Whole pixel in the middle of each window.
    first, beside : (n + 1,) and (p,) int64 arrays
        The neighbours of fit f are ``beside[first[f] : first[f + 1]]``.
    known : (n, 9) float64 array
        Gaussians the neighbours are drawn with; amplitude 0 draws nothing.
    variance : (b,) float64 array
        Per frame: read noise with Poisson; else noise, NaN where it is to be estimated.
    shape_covariance : (n, 3, 3) float64 array
        Covariance of the shared shape, in the order (yy, xx, yx) or (yy, yx, xx) of `pooled`.
    """

    chosen: Any
    frame: Any
    middle: Any
    first: Any
    beside: Any
    known: Any
    variance: Any
    shape_covariance: Any


class Answer(NamedTuple):
    """Arrays over all fits that a run writes into; ``theta`` holds the start before.

    Parameters
    ----------
    theta : (n, 9) float64 array
    errors : (n, 7) float64 array
        Of y, x, amplitude, sigma major, sigma minor, angle, offset; NaN where held.
    results : (n, 6) float64 array
    pooled : (n, 12) float64 array
    state : (n,) int8 array
    iterations : (n,) int32 array
    """

    theta: Any
    errors: Any
    results: Any
    pooled: Any
    state: Any
    iterations: Any


def answer(theta: NDArray[np.float64]) -> Answer:
    """Allocate the results of fits that start at `theta`."""
    n = len(theta)
    return Answer(
        theta.copy(),
        np.full((n, 7), np.nan),
        np.full((n, N_RESULTS), np.nan),
        np.zeros((n, N_POOLED)),
        np.zeros(n, np.int8),
        np.zeros(n, np.int32),
    )
