"""Classical denoisers: a Gaussian of the width that loses least, and non-local means."""

from __future__ import annotations

from typing import Any

import numpy as np

from stempede.backend import Backend
from stempede.preprocess.denoise_noise import FrameNoise, white_variance

NARROWEST_PX, WIDEST_PX = 0.3, 12.0
_TRIALS = 60
_PATCH_PX, _REACH_PX = 5, 9
"""Side of the patches that are compared, and how far they are looked for, in summed pixels."""
_SLACK = 0.8
"""Decay of the weights in standard deviations of the noise."""


def blur_width(image: Any, noise: FrameNoise, backend: Backend) -> float:
    """Return the Gaussian width in px at which blurring loses least, by an unbiased estimate.

    With H the Gaussian's spectrum and h0 its middle, the mean squared error is, but for a
    constant, sum |F|² (H² - 2H) + 2 h0 variance: it needs the frame's power spectrum alone, no
    truth, and no distance of columns. Fine columns and many electrons ask for little blur, few
    electrons for more, up to the columns' own width; a frame of noise for all there is.

    Parameters
    ----------
    image : (y, x) float32 array
    noise : FrameNoise
    backend : Backend

    References
    ----------
    Stein, "Estimation of the mean of a multivariate normal distribution", Ann. Statist. 9
    (1981); for Poisson noise: Luisier et al., "Image denoising in mixed Poisson-Gaussian
    noise", IEEE Trans. Image Process. 20 (2011).
    """
    xp = backend.xp
    height, width = image.shape
    power = abs(xp.fft.rfft2((image - image.mean()).astype(xp.float64))) ** 2 / image.size
    fy, fx = xp.fft.fftfreq(height)[:, None], xp.fft.rfftfreq(width)
    # a half spectrum holds every mode twice but those on its rims
    twice = xp.where((fx == 0) | (2 * fx == 1), 1.0, 2.0)
    square = (fy**2 + fx**2).ravel()
    ring = xp.minimum((square**0.5 * 512).astype(xp.int64), 511)
    counted = xp.broadcast_to(twice, power.shape).ravel()
    modes = xp.bincount(ring, weights=counted, minlength=512)
    sums = xp.bincount(ring, weights=(power * twice).ravel(), minlength=512)
    middle = xp.bincount(ring, weights=square * counted, minlength=512) / xp.maximum(modes, 1)
    host = (np.asarray(backend.download(a, "preprocess.denoise")) for a in (modes, sums, middle))
    modes, sums, middle = host
    trials = np.geomspace(NARROWEST_PX, WIDEST_PX, _TRIALS)
    passed = np.exp(-2 * np.pi**2 * trials[:, None] ** 2 * middle)
    kept = (passed * modes).sum(1) / image.size
    risk = (sums * (passed**2 - 2 * passed)).sum(1) / image.size + 2 * kept * noise.variance
    return float(trials[int(np.argmin(risk))])


def blurred(image: Any, width_px: float, backend: Backend) -> Any:
    """Return the image, (y, x) float32, blurred by a Gaussian of that standard deviation."""
    return backend.ndimage.gaussian_filter(image, width_px, mode="nearest")


def non_local(image: Any, noise: FrameNoise, width_px: float, backend: Backend) -> Any:
    """Return the image as a mean of places that look alike, (y, x) float32.

    Frames of few electrons are summed over blocks of about the width that blurring would
    take, so that patches can be told from their noise; roots are compared, not counts.

    Parameters
    ----------
    image : (y, x) float32 array
    noise : FrameNoise
    width_px : float
        From ``blur_width``.
    backend : Backend
    """
    factor = max(1, int(width_px))
    own = noise.summed(factor)
    values = own.stabilised(summed(image, factor, backend.xp))
    sd = white_variance(values, backend.xp) ** 0.5
    alike = backend.through_host("preprocess.denoise", _means, values, sd=sd)
    return spread(own.restored(alike), factor, image.shape, backend)


def _means(values: np.ndarray, *, sd: float) -> np.ndarray:
    from skimage.restoration import denoise_nl_means

    found = denoise_nl_means(
        np.ascontiguousarray(values, np.float32),
        patch_size=_PATCH_PX,
        patch_distance=_REACH_PX,
        h=_SLACK * sd,
        sigma=sd,
        fast_mode=True,
    )
    return np.asarray(found, np.float32)


def summed(image: Any, factor: int, xp: Any) -> Any:
    """Return sums over blocks of factor × factor pixels; the last ones repeat the rim."""
    if factor == 1:
        return image
    height, width = image.shape
    filled = xp.pad(image, ((0, -height % factor), (0, -width % factor)), mode="edge")
    rows, columns = filled.shape[0] // factor, filled.shape[1] // factor
    return filled.reshape(rows, factor, columns, factor).sum(axis=(1, 3))


def spread(sums: Any, factor: int, shape: tuple[int, ...], backend: Backend) -> Any:
    """Return means per pixel of sums over blocks, smooth between the blocks' middles."""
    sums = sums.astype(np.float32)
    if factor == 1:
        return sums
    fine = backend.ndimage.zoom(sums, factor, order=3, mode="nearest", grid_mode=True)
    return fine[: shape[0], : shape[1]] / np.float32(factor**2)
