"""Response: the width of a frame's columns, and how much each pixel looks like one of them.

All work is on counts that behave like Poisson ones: electrons as they are, with the read
noise's variance added to image and model, or arbitrary units scaled until their variance is
that of a large constant count. One likelihood then serves every noise model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stempede.backend import Backend

GAUSSIAN_COUNT = 100.0
"""Mean count at which a frame of Gaussian noise is treated as a Poisson one."""
_CELLS_ACROSS = 30
"""Widths of a column in two cells."""
WIDE = 2.5
"""Width of the local background over that of a column."""


@dataclass(frozen=True)
class Response:
    """A frame's columns, seen through a filter of their own width.

    Parameters
    ----------
    counts : (y, x) float32 array
        Poisson-like counts, on the device; zero outside ``valid``.
    intensity : (y, x) float32 array
        Counts of a column centred at the pixel: exact for an isolated one.
    background : (y, x) float32 array
        Counts per pixel around the pixel, at least ``floor``.
    smooth : (y, x) float32 array
        Counts per pixel, smoothed by a column's width: its slopes place a column, which those
        of ``intensity`` do not, as the background they take off leans towards neighbours.
    sigma_px : float
    shift : float
        Counts per pixel added for the detector's noise.
    scale : float
        Counts per unit of the frame.
    """

    counts: Any
    intensity: Any
    background: Any
    smooth: Any
    sigma_px: float
    shift: float
    scale: float

    @property
    def area_px2(self) -> float:
        """Pixels that the matched filter averages over."""
        return 4 * np.pi * self.sigma_px**2


def poisson_like(
    frame: Any, backend: Backend, *, model: str, read_noise: float
) -> tuple[Any, float, float]:
    """Return (counts, scale, shift): a frame whose noise is about that of Poisson counts.

    Parameters
    ----------
    frame : (y, x) float32 array
    backend : Backend
    model : {"poisson", "poisson-gaussian", "gaussian"}
    read_noise : float
        rms in electrons, for ``poisson-gaussian``.
    """
    xp = backend.xp
    if model == "gaussian":
        low, noise = (float(v) for v in (xp.percentile(frame, 2), white_noise(frame, xp)))
        scale = GAUSSIAN_COUNT**0.5 / noise if noise > 0 else 0.0
        return xp.maximum((frame - low) * scale + GAUSSIAN_COUNT, 0), scale, GAUSSIAN_COUNT
    shift = read_noise**2 if model == "poisson-gaussian" and read_noise > 0 else 0.0
    return xp.maximum(frame + shift, 0), 1.0, shift


def white_noise(frame: Any, xp: Any) -> Any:
    """Return the standard deviation of pixel-to-pixel noise (Immerkaer's mask, median form).

    Where most pixels hold one and the same value, as scaled single counts do, the median says
    nothing and the mask's rms stands in.
    """
    rows = frame[:-2] - 2 * frame[1:-1] + frame[2:]
    mask = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    return xp.maximum(xp.median(xp.abs(mask)) / 0.6745, 0.9 * xp.sqrt(xp.mean(mask**2))) / 6


def column_width(counts: Any, backend: Backend) -> float:
    """Return the columns' Gaussian width in px from the autocorrelation; NaN where there is none.

    White noise touches lag zero alone, so that the width holds at any dose. The first lags are
    fitted by a Gaussian of twice the columns' variance on a constant. Where that is so wide that
    hardly two cells would fit into the frame, it is the support that is seen: what is wider
    is then taken off, and the rest looked at.

    Parameters
    ----------
    counts : (y, x) float32 array
    backend : Backend
    """
    sigma = _first_width(counts, backend)
    widest = min(counts.shape) / _CELLS_ACROSS
    if sigma > widest:
        blur = backend.ndimage.gaussian_filter
        sigma = _first_width(counts - blur(counts, widest, mode="nearest"), backend)
    return sigma if sigma <= widest else np.nan


def _first_width(counts: Any, backend: Backend) -> float:
    """Return the width of the autocorrelation's first fall; NaN where it is all noise."""
    xp = backend.xp
    reach = int(min(counts.shape) // 4)
    spectrum = xp.fft.rfft2(counts - counts.mean())
    lags = xp.fft.irfft2(xp.abs(spectrum) ** 2, s=counts.shape)
    lags = xp.roll(lags, (reach, reach), axis=(0, 1))[: 2 * reach + 1, : 2 * reach + 1]
    lags = backend.download(lags, "columns.peaks")
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    ring = np.rint(np.hypot(y, x)).astype(int)
    n = np.bincount(ring.ravel())[: reach + 1]
    profile = np.bincount(ring.ravel(), lags.ravel())[: reach + 1] / n
    return _width_of(profile, n, noise=float(np.std(lags[ring > reach // 2])))


def _width_of(profile: np.ndarray, n: np.ndarray, noise: float) -> float:
    """Fit B + C exp(-r² / 4σ²) up to the first minimum of a radial profile, lag 0 left out."""
    smooth = profile.copy()
    smooth[2:-1] = (profile[1:-2] + 2 * profile[2:-1] + profile[3:]) / 4
    rising = np.flatnonzero((np.diff(smooth)[1:] > 0) & (np.diff(smooth)[:-1] <= 0))
    stop = int(rising[rising >= 1][0]) + 1 if np.any(rising >= 1) else len(profile) // 2
    if stop < 3:
        return np.nan
    r = np.arange(1, stop + 1)
    value, weight = profile[r], np.sqrt(n[r])
    best, sigma = np.inf, np.nan
    for trial in np.geomspace(0.6, max(0.7, stop / 2), 90):
        design = np.stack([np.ones(len(r)), np.exp(-(r**2) / (4 * trial**2))], 1)
        (base, height), *_ = np.linalg.lstsq(design * weight[:, None], value * weight, rcond=None)
        misfit = float(np.sum((weight * (design @ [base, height] - value)) ** 2))
        if misfit < best and height * np.sqrt(n[1]) > 3 * noise:
            best, sigma = misfit, float(trial)
    return sigma


def respond(
    counts: Any, valid: Any, backend: Backend, *, sigma_px: float, scale: float, shift: float
) -> Response:
    """Return the matched filter's view of a frame.

    Parameters
    ----------
    counts : (y, x) float32 array
        From ``poisson_like``.
    valid : (y, x) bool array
    backend : Backend
    sigma_px : float
    scale, shift : float
        From ``poisson_like``.
    """
    xp, blur = backend.xp, backend.ndimage.gaussian_filter
    if not bool(valid.all()):
        counts = xp.where(valid, counts, xp.median(counts))
    counts = counts.astype(xp.float32)
    narrow = blur(counts, sigma_px, mode="nearest")
    wide = blur(counts, WIDE * sigma_px, mode="nearest")
    # a column of N counts lifts both blurs: N/(4πσ²) and N/(2π(1 + w²)σ²)
    share = 2 / (1 + WIDE**2)
    intensity = (narrow - wide) * (4 * np.pi * sigma_px**2 / (1 - share))
    floor = 0.25 * float(counts.mean()) * 0.1 + 1e-6
    background = xp.maximum(wide - share * xp.maximum(narrow - wide, 0) / (1 - share), floor)
    background = xp.maximum(background, shift)
    return Response(counts, intensity, background, narrow, sigma_px, shift, scale)


def root_ratio(intensity: np.ndarray, background: np.ndarray, area_px2: float) -> np.ndarray:
    """Return the signed root of the likelihood ratio of counts over a known background.

    Parameters
    ----------
    intensity : (n,) array
        Excess counts within the filter.
    background : (n,) array
        Counts per pixel without them.
    area_px2 : float
        Area of the filter.
    """
    mean = np.maximum(background * area_px2, 1e-9)
    found = np.maximum(mean + intensity, 1e-9)
    ratio = 2 * (found * np.log(found / mean) - (found - mean))
    return np.sign(intensity) * np.sqrt(np.maximum(ratio, 0))
