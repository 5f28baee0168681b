"""How well a scan fits a template at each shift, in the statistics of its counts.

The measure is a quasi-likelihood: with a variance that is a straight line of the mean,
``V(t) = gain t + constant``, the log-likelihood of a count n where t is expected is
``n phi(t) - chi(t)``, ``phi = integral dt / V``, ``chi = integral t dt / V`` (Wedderburn,
Biometrika 61, 439, 1974). It is the Poisson likelihood for electron counts, least squares for
a detector without shot noise, and needs no offset to be known. Both integrals run from the
level around the specimen, so that what lies outside a template says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.fft import next_fast_len

from stempede.backend import Backend

STAGE = "preprocess.align"
BLOCK_PX = 16
WIDER = 4.0
SHARE_WIDER = 0.1
"""A template has this share of a wider smoothing, against gaps where it has no count yet."""

LEAST_EXPOSURE = 0.25
"""A template is known where its smoothed scans add up to more than this."""

Shift = tuple[int, int]


@dataclass(frozen=True)
class Noise:
    """Variance of a pixel, ``gain * mean + constant``, never below ``least``."""

    gain: float
    constant: float
    least: float

    @classmethod
    def of(cls, images: Any, masks: Any, backend: Backend) -> tuple[Noise, float]:
        """Estimate it from second differences along rows, in dark and in bright blocks.

        Parameters
        ----------
        images : (k, y, x) float32 array
        masks : (1 or k, y, x) float32 array
            1 where a pixel is valid; blocks with others are left out.
        backend : Backend

        Returns
        -------
        noise : Noise
            Of images less the dark level.
        dark : float
            Mean of the darkest tenth of the blocks.
        """
        means: list[Any] = []
        spreads: list[Any] = []
        for k in range(0, len(images), max(1, len(images) // 8)):
            image, mask = images[k], masks[k if len(masks) > 1 else 0]
            whole = _blocks(mask[:, 1:-1]) > 0.999
            step = (image[:, 2:] - 2 * image[:, 1:-1] + image[:, :-2]) ** 2 / 6
            means.append(_blocks(image[:, 1:-1])[whole])
            spreads.append(_blocks(step)[whole])
        xp = backend.xp
        mean = backend.download(xp.concatenate(means), STAGE).astype(np.float64)
        spread = backend.download(xp.concatenate(spreads), STAGE).astype(np.float64)
        if not len(mean):
            return cls(0.0, 1.0, 1e-12), 0.0
        order = np.argsort(mean)
        tenth = max(1, len(order) // 10)
        low, high = order[:tenth], order[-tenth:]
        dark, top, bottom = mean[low].mean(), spread[high].mean(), spread[low].mean()
        lift = mean[high].mean() - dark
        gain = max(0.0, (top - bottom) / lift) if lift > 0 else 0.0
        least = max(0.5 * float(bottom), 1e-3 * float(top), 1e-12)
        return cls(float(gain), float(bottom), least), float(dark)

    def binned(self, by: int) -> Noise:
        """Return the noise of sums over ``by * by`` pixels."""
        return Noise(self.gain, self.constant * by**2, self.least * by**2)

    def variance(self, expected: Any, xp: Any) -> Any:
        """Return the variance of a pixel from its expected value."""
        return xp.maximum(xp.float32(self.gain) * expected + xp.float32(self.constant), self.least)


@dataclass(frozen=True)
class Scores:
    """What a template says of each count (``phi``) and of each pixel (``chi``).

    Parameters
    ----------
    phi, chi, expected, variance : (y, x) float32 arrays
    exposure : (y, x) float32 array
        Scans that the template was made of, 0 where it is not known.
    total, rim : float
        Gain that a scan just as expected would have over the whole, and per pixel at the rim.
    """

    phi: Any
    chi: Any
    expected: Any
    variance: Any
    exposure: Any
    total: float
    rim: float


def _blocks(values: Any) -> Any:
    """Return means over square blocks; what is left over at the far sides is cut off."""
    rows, cols = (n // BLOCK_PX for n in values.shape)
    cut = values[: rows * BLOCK_PX, : cols * BLOCK_PX]
    return cut.reshape(rows, BLOCK_PX, cols, BLOCK_PX).mean((1, 3))


def scores(expected: Any, exposure: Any, noise: Noise, xp: Any) -> Scores:
    """Return the scores of a template; zero where nothing was seen.

    Parameters
    ----------
    expected : (y, x) float32 array
    exposure : (y, x) float32 array
        Scans that the template was made of, per pixel.
    noise : Noise
    xp : module
    """
    seen = exposure > LEAST_EXPOSURE
    # few scans reach the outermost pixels: what is left of their noise would look like gain
    rim = _rim(exposure > 0.5 * exposure.max(), xp)
    level = float(xp.where(rim, expected, 0).sum()) / max(1.0, float(rim.sum()))
    t = xp.where(seen, expected, xp.float32(level))
    base = float(max(noise.gain * level + noise.constant, noise.least))
    reach = float(xp.abs(t - level).max()) or 1.0
    # a straight line is the limit of the logarithm: no division by a gain of nothing
    gain = max(noise.gain, 1e-3 * base / reach)
    lift = xp.maximum(xp.float32(gain / base) * (t - level), noise.least / base - 1)
    phi = xp.log1p(lift) / gain
    chi = lift * (base / gain**2) + (level - base / gain) * phi
    phi, chi = phi.astype(xp.float32), chi.astype(xp.float32)
    own = t * phi - chi
    per_pixel = float(xp.where(rim, own, 0).sum()) / max(1.0, float(rim.sum()))
    variance = noise.variance(t, xp)
    return Scores(
        phi, chi, t, variance, xp.where(seen, exposure, xp.float32(0)), float(own.sum()), per_pixel
    )


class Canvas:
    """Scans laid over each other by whole pixels, with room for drift around the first.

    Parameters
    ----------
    shape : (int, int)
        Of a scan.
    room : (int, int)
        Largest shift along y and x that fits.
    backend : Backend
    """

    def __init__(self, shape: tuple[int, int], room: Shift, backend: Backend) -> None:
        self.shape, self.room, self.backend = shape, room, backend
        size = (shape[0] + 2 * room[0], shape[1] + 2 * room[1])
        self.counts = backend.xp.zeros(size, np.float32)
        self.exposure = backend.xp.zeros(size, np.float32)

    def window(self, shift: Shift) -> tuple[slice, slice]:
        """Return where a scan lies whose specimen stands shifted by so much."""
        y, x = self.room[0] - shift[0], self.room[1] - shift[1]
        return slice(y, y + self.shape[0]), slice(x, x + self.shape[1])

    def add(self, image: Any, mask: Any, shift: Shift, sign: float = 1.0) -> None:
        """Add (or take away) a scan."""
        where = self.window(shift)
        self.counts[where] += sign * image
        self.exposure[where] += sign * mask

    def plus(self, other: Canvas) -> Canvas:
        """Return the sum of two canvases of one size."""
        found = Canvas(self.shape, self.room, self.backend)
        found.counts = self.counts + other.counts
        found.exposure = self.exposure + other.exposure
        return found

    def expected(self) -> Any:
        """Return the mean per scan, 0 where there is none."""
        xp = self.backend.xp
        mean = self.counts / xp.maximum(self.exposure, LEAST_EXPOSURE)
        return xp.where(self.exposure > LEAST_EXPOSURE, mean, xp.float32(0))


def _rim(seen: Any, xp: Any) -> Any:
    """Return where something was seen, within a twentieth of its far sides."""
    rows, cols = xp.flatnonzero(seen.any(1)), xp.flatnonzero(seen.any(0))
    if not len(rows):
        return seen
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1
    dy, dx = max(1, (y1 - y0) // 20), max(1, (x1 - x0) // 20)
    rim = seen.copy()
    rim[y0 + dy : y1 - dy, x0 + dx : x1 - dx] = False
    return rim


class Surfaces:
    """Log-likelihood of a scan at every whole shift that a canvas has room for.

    Parameters
    ----------
    canvas : Canvas
        Its shape and room are used, not its counts.
    """

    def __init__(self, canvas: Canvas) -> None:
        self._room, self._xp = canvas.room, canvas.backend.xp
        self._size = tuple(int(next_fast_len(n, True)) for n in canvas.counts.shape)

    def _transform(self, values: Any) -> Any:
        return self._xp.fft.rfft2(values.astype(self._xp.float32), s=self._size)

    def __call__(self, image: Any, mask: Any, template: Scores) -> Any:
        """Return the (2 ry + 1, 2 rx + 1) gain over no specimen; its centre is no shift.

        Where a scan reaches beyond the template it is given the gain that scans have at the
        template's rim: else a lattice that fills the frame would seem to fit better the more
        of it lies over the template.

        Parameters
        ----------
        image, mask : (y, x) float32 arrays
            Scan and its valid pixels.
        template : Scores
        """
        valid = self._transform(mask).conj()
        found = self._transform(template.phi) * self._transform(image).conj()
        found -= self._transform(template.chi) * valid
        surface = self._cut(found)
        if template.rim > 0 and template.total > 0:
            share = max(0.0, float(surface.max())) / template.total
            beyond = self._cut(self._transform(template.exposure == 0) * valid)
            surface = surface + self._xp.float32(min(1.0, share) * template.rim) * beyond
        return surface

    def _cut(self, spectrum: Any) -> Any:
        ry, rx = self._room
        surface = self._xp.fft.irfft2(spectrum, s=self._size)
        return surface[: 2 * ry + 1, : 2 * rx + 1][::-1, ::-1]


def smoothed(image: Any, sigma_px: float, backend: Backend) -> Any:
    """Return a scan smoothed as a template wants it: mostly narrowly, a little widely."""
    narrow = backend.ndimage.gaussian_filter(image, sigma_px, mode="constant", truncate=3.0)
    wide = backend.ndimage.gaussian_filter(image, WIDER * sigma_px, mode="constant", truncate=3.0)
    return (1 - SHARE_WIDER) * narrow + SHARE_WIDER * wide


def gain_at(image: Any, mask: Any, template: Scores, window: Sequence[slice]) -> float:
    """Return the log-likelihood of a scan laid over one window of a template."""
    where = tuple(window)
    return float((image * template.phi[where] - mask * template.chi[where]).sum())


def differences(
    image: Any,
    mask: Any,
    template: Scores,
    halves: tuple[Scores, Scores],
    windows: Sequence[tuple[slice, slice]],
    *,
    rises: np.ndarray,
    backend: Backend,
) -> np.ndarray:
    """Return how much better a scan fits each window of a template than the first.

    Two windows are compared where both are known. A template is itself a sum of noisy scans:
    of two places that the specimen's lattice makes alike, its noise seems to favour one. What
    two halves of the template, made of different scans, say alike is no noise; the difference
    counts by that share.

    Parameters
    ----------
    image, mask : (y, x) float32 arrays
    template : Scores
    halves : (Scores, Scores)
        Of half of the template's scans each; twice the same where there is one scan.
    windows : sequence of (slice, slice)
    rises : (n,) array
        How much better it fits a fraction of a pixel from each.
    backend : Backend

    Returns
    -------
    (n,) float64 array
        Log-likelihood ratios; the first is 0.
    """
    first = windows[0]
    found = np.zeros(len(windows))
    known = (template.exposure > LEAST_EXPOSURE) & (halves[0].exposure > LEAST_EXPOSURE)
    known &= halves[1].exposure > LEAST_EXPOSURE
    expected = mask * backend.xp.maximum(template.variance[first], 0)
    for n, here in enumerate(windows[1:], start=1):
        common = known[first] & known[here]
        phi, one, other = (
            backend.xp.where(common, s.phi[here] - s.phi[first], 0) for s in (template, *halves)
        )
        chi = backend.xp.where(common, template.chi[here] - template.chi[first], 0)
        better = float((image * phi - mask * chi).sum()) + rises[n] - rises[0]
        spread = float((expected * phi**2).sum())
        alike = float((expected * one * other).sum())
        found[n] = better * min(1.0, max(0.0, alike / spread)) if spread > 0 else 0.0
    return found
