"""Segment: regions that may be particles, from an automatic threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stempede.backend import Backend
from stempede.frames import Batch
from stempede.particles.threshold import global_mask, hysteresis_mask, local_mask, otsu

METHODS = ("global", "local", "hysteresis")


@dataclass(frozen=True)
class Segment:
    """Find the regions of particles in images whose particles are bright, in units of noise.

    Parameters
    ----------
    method : {"global", "local", "hysteresis"}
    smooth_px : float
        Standard deviation of the Gaussian the image is smoothed with.
    """

    method: str = "hysteresis"
    smooth_px: float = 2.0

    name: ClassVar[str] = "particles.segment"
    reads: ClassVar[tuple[str, ...]] = ("images", "valid")
    writes: ClassVar[tuple[str, ...]] = ("regions", "frames")

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method is {', '.join(METHODS)}; found '{self.method}'; correct it")

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with ``regions``: int32, 0 background, 1..n per frame."""
        xp = batch.backend.xp
        regions = xp.zeros(batch.images.shape, xp.int32)
        scales = []
        for k, image in enumerate(batch.images):
            regions[k], scale = self._frame(image, batch.maps["valid"][k], batch.backend)
            scales.append(scale)
        frames = batch.tables["frames"].with_columns({"scale_px": np.array(scales)})
        return batch.with_(maps={"regions": regions}, tables={"frames": frames})

    def _frame(self, image: Any, valid: Any, backend: Backend) -> tuple[Any, float]:
        xp, ndimage = backend.xp, backend.ndimage
        signal = ndimage.gaussian_filter(image, self.smooth_px, truncate=3)
        if self.method == "global":
            mask = global_mask(signal, None, xp)
        elif self.method == "local":
            mask = local_mask(signal, 2 * (min(image.shape) // 16) + 1, 0.0, xp, ndimage)
        else:
            level = otsu(signal.ravel()[::4], xp)
            mask = hysteresis_mask(signal, 0.8 * level, 1.2 * level, xp, ndimage)
        labels, n = ndimage.label(mask & valid)
        areas = xp.bincount(labels.ravel(), minlength=n + 1)[1:]
        scale = float(xp.sqrt(xp.median(areas) * 4 / np.pi)) if n else float("nan")
        return labels.astype(xp.int32), scale
