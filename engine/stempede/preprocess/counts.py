"""Counts: images in electrons, so that fits know their noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from stempede.frames import Batch, FrameRecord

NOISE = ("auto", "poisson", "poisson-gaussian", "gaussian")

_CURVATURE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
"""Unit gain for white noise, blind to planes and to anything that bends along one axis only."""

_BINS = 24
_LEAST_PX = 64
"""Pixels in a bin of the variance-mean relation."""

_EMPTY = 0.1
"""Electrons in the darkest places over those in the brightest, up to which those are vacuum."""

_WHITE = -2 / 3
"""Correlation of neighbouring residuals where the noise of neighbouring pixels has none."""


@dataclass(frozen=True)
class Scale:
    """How a frame's counts become electrons, and how their noise is distributed.

    Parameters
    ----------
    gain : float
        Counts per electron.
    offset : float
        Counts at no electron.
    read_noise : float
        rms, in electrons.
    source : str
        ``metadata | counts | vacuum | noise | none``.
    noise : str
        ``poisson | poisson-gaussian | gaussian``.
    """

    gain: float = 1.0
    offset: float = 0.0
    read_noise: float = 0.0
    source: str = "none"
    noise: str = "gaussian"


@dataclass(frozen=True)
class Counts:
    """Turn counts into electrons with the detector's gain and offset.

    The detector's numbers come from the metadata (``gain_per_electron offset
    read_noise_electrons``), else from the relation of variance and mean over the frame:
    the slope is the gain, and where the variance vanishes there are no electrons (read
    noise is then a constant number of electrons more, which the fits' offset takes up).
    ``counts_source`` says ``vacuum`` only where some of the frame is that dark; in a frame full
    of lattice it says ``noise``, and the offset holds as well as the line does.
    A frame without either has no electron scale: its noise is taken as Gaussian and
    ``counts_source`` says ``none``.

    Parameters
    ----------
    noise : {"auto", "poisson", "poisson-gaussian", "gaussian"}
        Noise model of the fits; ``auto`` follows from what is known of the detector.

    References
    ----------
    Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for single-image
    raw-data", IEEE Trans. Image Process. 17 (2008).
    """

    noise: Literal["auto", "poisson", "poisson-gaussian", "gaussian"] = "auto"

    name: ClassVar[str] = "preprocess.counts"
    reads: ClassVar[tuple[str, ...]] = ("images", "valid")
    writes: ClassVar[tuple[str, ...]] = ("electrons", "frames")

    def __post_init__(self) -> None:
        if self.noise not in NOISE:
            raise ValueError(
                f"noise is one of {', '.join(NOISE)}; found '{self.noise}'; correct it"
            )

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with the map ``electrons`` (b, y, x) float32.

        ``frames`` gets ``gain_per_electron detector_offset read_noise_electrons
        counts_source noise_model``. Where scans were summed (map ``exposure``), offset and
        read variance count once for each.
        """
        xp = batch.backend.xp
        exposure = batch.maps.get("exposure")
        electrons, scales = xp.empty_like(batch.images), []
        for k, record in enumerate(batch.records):
            n = 1 if exposure is None else exposure[k]
            scans = 1.0 if exposure is None else max(1.0, float(exposure[k].max()))
            scale = known_scale(record, scans) or measured_scale(
                batch.images[k], batch.maps["valid"][k], batch.backend
            )
            # a measured offset is that of all scans together
            offset = scale.offset if scale.source == "metadata" else scale.offset / scans
            electrons[k] = (batch.images[k] - np.float32(offset) * n) / np.float32(scale.gain)
            scales.append(self._as_asked(scale))
        frames = batch.tables["frames"].with_columns(
            {
                "gain_per_electron": [s.gain if s.source != "none" else np.nan for s in scales],
                "detector_offset": [s.offset if s.source != "none" else np.nan for s in scales],
                "read_noise_electrons": [s.read_noise for s in scales],
                "counts_source": [s.source for s in scales],
                "noise_model": [s.noise for s in scales],
            }
        )
        return batch.with_(maps={"electrons": electrons}, tables={"frames": frames})

    def _as_asked(self, scale: Scale) -> Scale:
        if self.noise == "auto":
            return scale
        return Scale(scale.gain, scale.offset, scale.read_noise, scale.source, self.noise)


def known_scale(record: FrameRecord, scans: float = 1.0) -> Scale | None:
    """Return the scale that file or metadata give for a sum of scans; None without a gain."""
    gain = record.instrument.get("gain_per_electron")
    if not gain:
        return None
    read = float(record.instrument.get("read_noise_electrons") or 0.0)
    offset = float(record.instrument.get("offset") or 0.0)
    model = "poisson-gaussian" if read > 0 else "poisson"
    return Scale(float(gain), offset, read * float(np.sqrt(scans)), "metadata", model)


def measured_scale(image: Any, valid: Any, backend: Any) -> Scale:
    """Return the scale found in a frame's own noise, or one without electrons.

    Parameters
    ----------
    image : (y, x) float32 array
        Counts.
    valid : (y, x) bool array
    backend : Backend

    Returns
    -------
    Scale
        ``counts`` where the pixels already are electrons; ``vacuum`` where gain and offset
        were measured and the darkest places stand at the offset; ``noise`` where nothing in the
        frame is that dark, so that the offset is where a line ends beyond what was seen;
        ``none`` where noise is not white (a filtered or resampled image), does
        not grow with the signal, or the frame is too flat to tell.
    """
    xp, ndimage = backend.xp, backend.ndimage
    residual = ndimage.convolve(image, xp.asarray(_CURVATURE), mode="nearest")
    # the mean of those pixels whose variances the residual adds up, with the same weights
    mean = ndimage.convolve(image, xp.asarray(_CURVATURE**2), mode="nearest")
    # sorted into bins by other pixels: sorted by its own, a noisy mean would flatten the slope
    ring = xp.ones((7, 7), np.float32)
    ring[2:5, 2:5] = 0
    around = ndimage.convolve(image, ring / ring.sum(), mode="nearest")
    inside = valid.copy()
    inside[:4], inside[-4:], inside[:, :4], inside[:, -4:] = False, False, False, False
    if int(inside.sum()) < 4 * _LEAST_PX or not _white(residual, inside, xp):
        return Scale()
    means, variances, weights = _relation(around[inside], mean[inside], residual[inside], xp)
    if len(means) < 3:
        return Scale()
    slope, start, se = _line(means, variances, weights)
    if not slope > 5 * se:
        return Scale()
    whole = bool((image[inside] == xp.round(image[inside])).all()) and float(image.min()) >= 0
    if whole and abs(slope - 1) < max(0.1, 4 * se):
        return Scale(source="counts", noise="poisson")
    dark = means[0] - start < _EMPTY * (means[-1] - start)
    return Scale(slope, start, 0.0, "vacuum" if dark else "noise", "poisson")


def _white(residual: Any, inside: Any, xp: Any) -> bool:
    """Whether neighbouring residuals correlate as they do where the noise is white."""
    found = []
    for axis in (0, 1):
        a = residual[:-1] if axis == 0 else residual[:, :-1]
        b = residual[1:] if axis == 0 else residual[:, 1:]
        both = inside[:-1] & inside[1:] if axis == 0 else inside[:, :-1] & inside[:, 1:]
        power = float((a[both].astype(xp.float64) ** 2).mean())
        product = float((a[both] * b[both]).astype(xp.float64).mean())
        found.append(product / power if power > 0 else 0.0)
    return all(abs(f - _WHITE) < 0.08 for f in found)


def _relation(
    around: Any, mean: Any, residual: Any, xp: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, variance and number of pixels in bins of the surroundings' mean."""
    low, high = float(around.min()), float(around.max())
    if not high > low:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    which = xp.minimum(((around - low) * (_BINS / (high - low))).astype(xp.int64), _BINS - 1)
    square = residual.astype(xp.float64) ** 2
    n = xp.bincount(which, minlength=_BINS)
    sums = [
        xp.bincount(which, weights=w.astype(xp.float64), minlength=_BINS) for w in (mean, square)
    ]
    enough = n >= _LEAST_PX
    if hasattr(n, "get"):
        n, enough, sums = n.get(), enough.get(), [s.get() for s in sums]
    return sums[0][enough] / n[enough], sums[1][enough] / n[enough], n[enough]


def _line(means: np.ndarray, variances: np.ndarray, n: np.ndarray) -> tuple[float, float, float]:
    """Return slope, zero and the slope's standard error of variance on mean."""
    level = np.maximum(variances, 1e-12 * variances.max() + 1e-30)
    slope = start = 0.0
    se = np.inf
    for _ in range(4):
        # the variance of a variance estimate is about 2 v^2 / n
        w = n / (2 * level**2)
        centre = (w * means).sum() / w.sum()
        spread = (w * (means - centre) ** 2).sum()
        if not spread > 0:
            break
        height = (w * variances).sum() / w.sum()
        slope = float((w * (means - centre) * (variances - height)).sum() / spread)
        se = float(spread**-0.5)
        start = float(centre - height / slope) if slope > 0 else 0.0
        fitted = height + slope * (means - centre)
        level = np.maximum(fitted, 0.1 * level)
    return slope, start, se
