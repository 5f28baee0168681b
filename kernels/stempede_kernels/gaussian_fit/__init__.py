"""Fits of 2-D Gaussians to windows of frames, with standard errors."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stempede_kernels import interop
from stempede_kernels.dispatch import implementation, on_gpu
from stempede_kernels.gaussian_fit.plan import Answer, Rule
from stempede_kernels.gaussian_fit.sweeps import Input, run

__all__ = ["Fits", "State", "fit_gaussians"]

Model = Literal["circular", "upright", "rotated"]
Noise = Literal["poisson", "gaussian", "poisson-gaussian"]

MODELS = {"circular": 1, "upright": 2, "rotated": 3}
NOISES = ("poisson", "gaussian", "poisson-gaussian")


class State(IntEnum):
    """How a fit ended."""

    NOT_RUN = 0
    CONVERGED = 1
    MAX_ITERATIONS = 2
    SINGULAR = 3
    OUT_OF_WINDOW = 4


@dataclass(frozen=True)
class Fits:
    """Results of n fits, in the order of their starts, in host memory.

    Parameters
    ----------
    parameters : (n, 7) float64 array
        y, x (px), amplitude (electrons per px), sigma major, sigma minor (px), angle of the
        major axis (rad, from x towards y, in [-π/2, π/2)), offset (electrons per px, in the
        middle of the window).
    slopes : (n, 2) float64 array
        Slopes of the background along y and x; 0 without ``plane``.
    errors : (n, 7) float64 array
        Standard errors; NaN where a parameter was held or lies at its bound.
    covariance_yx : (n,) float64 array
    intensity, se_intensity : (n,) float64 arrays
        Volume under the Gaussian, 2π amplitude σ σ', in electrons.
    state : (n,) int8 array
        Values of `State`.
    iterations : (n,) int32 array
        Steps of the last sweep in which the fit ran.
    deviance : (n,) float64 array
        Poisson deviance, or χ² where the variance is given, or the sum of squares.
    ratio : (n,) float64 array
        Twice the gain in log-likelihood over the best constant offset.
    pixels : (n,) int64 array
        Pixels used.
    sweeps : int
    """

    parameters: NDArray[np.float64]
    slopes: NDArray[np.float64]
    errors: NDArray[np.float64]
    covariance_yx: NDArray[np.float64]
    intensity: NDArray[np.float64]
    se_intensity: NDArray[np.float64]
    state: NDArray[np.int8]
    iterations: NDArray[np.int32]
    deviance: NDArray[np.float64]
    ratio: NDArray[np.float64]
    pixels: NDArray[np.int64]
    sweeps: int


def fit_gaussians(
    images: Any,
    frame: Any,
    start: Any,
    *,
    model: Model = "rotated",
    noise: Noise = "poisson",
    window: int = 15,
    free_shape: bool = True,
    free_offset: bool = True,
    group: Any | None = None,
    variance: Any | None = None,
    plane: bool = False,
    neighbours: bool = True,
    sweeps: int = 10,
    tolerance: float = 1e-3,
    max_iterations: int = 50,
) -> Fits:
    """Fit one Gaussian on a constant background in a window around every start.

    Parameters
    ----------
    images : (b, y, x) array of float32
        Electrons per pixel; NumPy, torch or CuPy. Pixels that are not finite are left out.
    frame : (n,) array of int
        Index into `images` of every fit.
    start : (n, 7) array of float
        y, x, amplitude, sigma major, sigma minor, angle, offset, as in ``Fits.parameters``.
    model : {"rotated", "upright", "circular"}
        7, 6 or 5 parameters.
    noise : {"poisson", "gaussian", "poisson-gaussian"}
        Poisson maximum likelihood; least squares; or Poisson with the read noise of
        `variance` added to data and model (README says what that is worth).
    window : int
        Side in px, odd. Parts beyond the frame are left out.
    free_shape : bool
        False holds widths and angle at their start.
    free_offset : bool
        False holds the offset at its start.
    group : (n,) array of int, optional
        Fits of one group share their widths, which are fitted to all of them together.
    variance : float or (b,) array, optional
        Per frame, electrons²: read noise for "poisson-gaussian" (required); noise for
        "gaussian", estimated for each fit from its residuals when missing.
    plane : bool
        Add two slopes to the background.
    neighbours : bool
        Draw the other Gaussians of the frame, as currently fitted, into each window's
        background, and fit again until positions move by less than 0.01 px.
    sweeps : int
        Largest number of rounds for neighbours and groups.
    tolerance : float
        A fit has converged with a step below this in px of position, and relative to
        amplitude and squared widths.
    max_iterations : int
        Steps of one fit in one sweep.

    Returns
    -------
    Fits

    Raises
    ------
    TypeError
        If images or indices have the wrong kind.
    ValueError
        If shapes or values do not fit; the message names the argument. A window that cannot
        be fitted never raises: see ``Fits.state``.
    """
    begin = np.array(start, np.float64, ndmin=2)
    places = _check(images, frame, begin, window)
    if model not in MODELS or noise not in NOISES:
        raise ValueError(
            f"model must be one of {', '.join(MODELS)} and noise one of {', '.join(NOISES)}, "
            f"found {model!r} and {noise!r}"
        )
    shared = None if group is None else np.asarray(group, np.int64)
    if shared is not None and shared.shape != places.shape:
        raise ValueError(f"group must be ({len(places)},), found {shared.shape}")
    kind = MODELS[model]
    alone = free_shape and shared is None
    rule = Rule(
        window=int(window),
        shape=kind if alone else 0,
        pooled=kind if free_shape and shared is not None else 0,
        poisson=noise != "gaussian",
        offset=free_offset,
        plane=plane,
        tolerance=float(tolerance),
        iterations=int(max_iterations),
        dominance=0.0,
    )
    engine = implementation(__name__, images)
    prepared = interop.as_torch(images).float().contiguous() if on_gpu(images) else _host(images)
    given = Input(
        prepared,
        places,
        to_theta(begin, kind),
        _variances(variance, noise, len(images)),
        shared if rule.pooled else None,
    )
    rounds = sweeps if neighbours or rule.pooled else 1
    answer, done = run(engine.fit, given, rule, neighbours, rounds)
    return _as_fits(answer, done)


def _check(images: Any, frame: Any, begin: NDArray[np.float64], window: int) -> NDArray[np.int64]:
    """Compare shapes; return the frame of every fit."""
    if images.ndim != 3:
        raise ValueError(f"images must be (b, y, x), found {images.ndim} axes")
    places = np.asarray(frame)
    if places.dtype.kind not in "iu":
        raise TypeError(f"frame must hold integers, found {places.dtype}")
    if begin.ndim != 2 or begin.shape[1] != 7 or places.shape != (len(begin),):
        raise ValueError(
            f"start must be (n, 7) and frame (n,), found {begin.shape} and {places.shape}"
        )
    if len(places) and not (places.min() >= 0 and places.max() < len(images)):
        raise ValueError(
            f"frame must lie in 0 … {len(images) - 1}, found {places.min()} … {places.max()}"
        )
    if window < 3 or window % 2 != 1:
        raise ValueError(f"window must be odd and at least 3, found {window}")
    return places.astype(np.int64)


def _host(images: Any) -> NDArray[np.float32]:
    return np.ascontiguousarray(interop.as_numpy(images), dtype=np.float32)


def _variances(variance: Any, noise: str, n_frames: int) -> NDArray[np.float64]:
    """Return the variance per frame; 0 for Poisson, NaN where it is to be estimated."""
    if noise == "poisson":
        return np.zeros(n_frames)
    if variance is None:
        if noise == "poisson-gaussian":
            raise ValueError("noise 'poisson-gaussian' needs variance, the read noise squared")
        return np.full(n_frames, np.nan)
    values = np.broadcast_to(np.asarray(variance, np.float64), (n_frames,)).copy()
    if (values < 0).any():
        raise ValueError(f"variance must not be negative, found {values.min()}")
    return values


def to_theta(start: NDArray[np.float64], kind: int) -> NDArray[np.float64]:
    """Turn widths and angle into the precision matrix the fit works with (README)."""
    theta = np.zeros((len(start), 9))
    theta[:, :3], theta[:, 6] = start[:, :3], start[:, 6]
    with np.errstate(divide="ignore", invalid="ignore"):
        wide, narrow, angle = start[:, 3] ** 2, start[:, 4] ** 2, start[:, 5]
        sin, cos = np.sin(angle), np.cos(angle)
        if kind == MODELS["rotated"]:
            theta[:, 3] = sin**2 / wide + cos**2 / narrow
            theta[:, 4] = sin * cos * (1 / wide - 1 / narrow)
            theta[:, 5] = cos**2 / wide + sin**2 / narrow
        elif kind == MODELS["upright"]:
            theta[:, 3] = 1 / (sin**2 * wide + cos**2 * narrow)
            theta[:, 5] = 1 / (cos**2 * wide + sin**2 * narrow)
        else:
            theta[:, 3] = theta[:, 5] = 1 / np.sqrt(wide * narrow)
    return theta


def _as_fits(answer: Answer, sweeps: int) -> Fits:
    """Turn precisions back into widths and an angle."""
    theta, results = answer.theta, answer.results
    parameters = np.empty((len(theta), 7))
    parameters[:, :3], parameters[:, 6] = theta[:, :3], theta[:, 6]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = 0.5 * (theta[:, 3] + theta[:, 5])
        c, s = 0.5 * (theta[:, 3] - theta[:, 5]), -theta[:, 4]
        half = np.hypot(c, s)
        parameters[:, 3], parameters[:, 4] = 1 / np.sqrt(mean - half), 1 / np.sqrt(mean + half)
    angle = 0.5 * np.arctan2(s, c)
    parameters[:, 5] = np.where(angle >= np.pi / 2, angle - np.pi, angle)
    return Fits(
        parameters=parameters,
        slopes=theta[:, 7:9].copy(),
        errors=answer.errors,
        covariance_yx=results[:, 0].copy(),
        intensity=results[:, 1].copy(),
        se_intensity=results[:, 2].copy(),
        state=answer.state,
        iterations=answer.iterations,
        deviance=results[:, 3].copy(),
        ratio=results[:, 4].copy(),
        pixels=np.nan_to_num(results[:, 5]).astype(np.int64),
        sweeps=sweeps,
    )
