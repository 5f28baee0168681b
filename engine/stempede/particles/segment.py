"""Segment: regions that may be particles, found by outlines, by a threshold or by a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from stempede.backend import Backend
from stempede.frames import Batch
from stempede.inference import Network, check, find, require_torch
from stempede.particles.learned import (
    KIND,
    LEAST_REFINED,
    Cuts,
    at_full_size,
    full_probability,
    look,
    view_of,
)
from stempede.particles.outlines import SMALLEST_PX, Sharpness, View, best_view, typical_diameter
from stempede.particles.refine import half_height
from stempede.particles.threshold import global_mask, hysteresis_mask, local_mask, otsu
from stempede_kernels.label import renumber
from stempede_kernels.pieces import separate, whole_pieces
from stempede_kernels.smooth import gaussian

METHODS = ("outlines", "global", "local", "hysteresis", "unet")

_WITHOUT = "leave the network out with --set particles.segment.method=outlines"


@dataclass(frozen=True)
class Segment:
    """Find the regions of particles in images whose particles are bright, in units of noise.

    Parameters
    ----------
    method : {"outlines", "global", "local", "hysteresis", "unet"}
        ``outlines`` gives each region its own level, where its outline is sharpest, at a
        scale found frame by frame; ``unet`` asks a network, which wants torch; the others
        threshold the smoothed frame.
    floor, faint_floor, share, window, quantile, local, largest, thickness, doubt, contrast,
    contrast_share : float
        Of ``outlines``; see ``Sharpness``.
    refine : bool
        Draw outlines at half height in the less smoothed image: those of ``outlines``, and
        those of ``unet`` in frames it saw averaged over three pixels or more.
    threshold_scale : float
        Factor, above 0, on the level at which regions end: outlines are drawn at
        ``threshold_scale`` times half the height, thresholds are this many times the level
        that their method finds. Above 1 regions shrink, below 1 they grow.
    smooth_px : float
        Of the thresholds: standard deviation of the Gaussian smoothing.
    window_px : int
        Of ``local``: side of the window whose mean is the threshold.
    band : float
        Of ``hysteresis``: regions reach (1 + band) and extend to (1 - band) of Otsu's level.
    weights : str
        Of ``unet``: ``unet``, which is shipped, or a ``.pt`` file with its card.
    threshold : float
        Of ``unet``: probability from which a pixel belongs to a particle.
    diameter_px : float
        Of ``unet``: typical diameter; 0 has it found frame by frame.
    """

    method: str = "outlines"
    floor: float = 2.5
    faint_floor: float = 1.8
    share: float = 0.5
    window: float = 40.0
    quantile: float = 0.1
    local: float = 0.5
    largest: float = 0.08
    thickness: float = 0.75
    doubt: float = 0.9
    contrast: float = 0.75
    contrast_share: float = 0.3
    refine: bool = True
    threshold_scale: float = 1.0
    smooth_px: float = 2.0
    window_px: int = 129
    band: float = 0.2
    weights: str = "unet"
    threshold: float = 0.75
    diameter_px: float = 0.0
    sharpness: Sharpness = field(init=False, repr=False)

    name: ClassVar[str] = "particles.segment"
    reads: ClassVar[tuple[str, ...]] = ("images", "valid")
    writes: ClassVar[tuple[str, ...]] = ("regions", "frames")

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method is {', '.join(METHODS)}; found '{self.method}'; correct it")
        if not 0 < self.threshold_scale < np.inf:
            raise ValueError(
                f"threshold_scale is above 0, found {self.threshold_scale}; 1 leaves levels alone"
            )
        if not 0 < self.threshold < 1 or not 0 <= self.diameter_px < np.inf:
            raise ValueError(
                f"threshold is between 0 and 1, diameter_px 0 or more; found {self.threshold} and "
                f"{self.diameter_px}; correct them"
            )
        if self.method == "unet":
            object.__setattr__(self, "writes", (*type(self).writes, "probability"))
        sharp = Sharpness(
            floor=self.floor,
            faint_floor=self.faint_floor,
            share=self.share,
            window=self.window,
            quantile=self.quantile,
            local=self.local,
            largest=self.largest,
            thickness=self.thickness,
            doubt=self.doubt,
            contrast=self.contrast,
            contrast_share=self.contrast_share,
        )
        object.__setattr__(self, "sharpness", sharp)

    def check(self) -> None:
        """Hold that the network can be run, where one is asked for.

        Raises
        ------
        ModelError
            If torch, the weights or their card are missing or do not belong together.
        """
        if self.method == "unet":
            require_torch(self.weights, _WITHOUT)
            check(find(self.weights), kind=KIND)

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with ``regions``: int32, 0 background, 1..n per frame.

        ``frames.scale_px`` gets the typical diameter. A network's ``probability`` is a map
        too, float32.
        """
        if self.method == "unet":
            return self._by_network(batch)
        xp = batch.backend.xp
        regions = xp.zeros(batch.images.shape, xp.int32)
        scales = np.full(len(batch), np.nan)
        find = self._by_outline if self.method == "outlines" else self._by_threshold
        for k, image in enumerate(batch.images):
            regions[k], scales[k] = find(image, batch.maps["valid"][k], batch.backend)
        frames = batch.tables["frames"].with_columns({"scale_px": scales})
        return batch.with_(maps={"regions": regions}, tables={"frames": frames})

    def _by_outline(self, image: Any, valid: Any, backend: Backend) -> tuple[Any, float]:
        view = best_view(image, valid, self.sharpness, self.name, backend)
        scale = typical_diameter(view)
        if view.factor == 1 and not self.refine and self.threshold_scale == 1:
            return view.labels, scale
        return self._refined(view, image, valid, backend), scale

    def _refined(self, view: View, image: Any, valid: Any, backend: Backend) -> Any:
        labels = half_height(view, image, valid, backend, 0.5 * self.threshold_scale)
        least_px = SMALLEST_PX * view.factor**2
        return pieces(labels, least_px)

    def _by_network(self, batch: Batch) -> Batch:
        backend, xp = batch.backend, batch.backend.xp
        network = Network.load(self.weights, backend, kind=KIND, without=_WITHOUT)
        # refined outlines are scaled where they are drawn, others by the probability
        level = self.threshold * (1.0 if self.refine else self.threshold_scale)
        cuts = Cuts(threshold=float(np.clip(level, 0.01, 0.99)))
        regions = xp.zeros(batch.images.shape, xp.int32)
        probability = xp.zeros(batch.images.shape, xp.float32)
        scales = np.full(len(batch), np.nan)
        for k, (image, valid) in enumerate(zip(batch.images, batch.maps["valid"])):
            guess = self.diameter_px or self._diameter(image, valid, backend)
            found = look(network, image, valid, guess, cuts)
            if self.refine and found.factor >= LEAST_REFINED:
                regions[k] = self._refined(view_of(found, image, xp), image, valid, backend)
            else:
                regions[k] = at_full_size(found, image, valid, cuts.threshold, backend)
            probability[k] = full_probability(found, image.shape, xp)
            scales[k] = found.diameter_px
        frames = batch.tables["frames"].with_columns({"scale_px": scales})
        maps = {"regions": regions, "probability": probability}
        return batch.with_(maps=maps, tables={"frames": frames})

    def _diameter(self, image: Any, valid: Any, backend: Backend) -> float:
        return typical_diameter(best_view(image, valid, self.sharpness, self.name, backend))

    def _by_threshold(self, image: Any, valid: Any, backend: Backend) -> tuple[Any, float]:
        xp, ndimage = backend.xp, backend.ndimage
        signal = gaussian(image, self.smooth_px, truncate=3)
        if self.method == "global":
            mask = global_mask(signal, self.threshold_scale * otsu(signal.ravel()[::4], xp), xp)
        elif self.method == "local":
            offset = 1.0 / self.smooth_px
            mask = local_mask(signal, self.window_px, offset, self.threshold_scale)
        else:
            level = self.threshold_scale * otsu(signal.ravel()[::4], xp)
            step = self.band * abs(level)
            mask = hysteresis_mask(signal, level - step, level + step, xp, ndimage)
        labels, _ = ndimage.label(mask & valid)
        areas = xp.bincount(labels.ravel())[1:]
        scale = float(2 * xp.sqrt(xp.median(areas) / np.pi)) if areas.size else float("nan")
        return labels.astype(xp.int32), scale


def pieces(regions: Any, least_px: int) -> Any:
    """Return (y, x) int32 regions, one for each piece of those given that lies apart.

    Particles that touched in the view may part where they are drawn. A piece below
    ``least_px`` is dropped, but for the largest of its region.
    """
    # where several regions touch each is left by its largest piece
    parted = separate(regions, least_px)
    return renumber(whole_pieces(parted, fill=False))[0]
