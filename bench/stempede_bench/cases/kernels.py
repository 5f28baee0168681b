"""Single kernels against the library everyone uses, on the label maps of simulated frames."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed as skimage_watershed

from stempede_bench.contract import Case, Contender, DisagreementError, Work
from stempede_bench.inputs import simulated


class _OnMasks(Case):
    unit = "kilopixels"
    varies = ("side", "count", "batch")

    @cached_property
    def mask(self) -> np.ndarray:
        """(b, y, x) bool: where particles are."""
        return simulated(self.scene)[1] > 0

    def items(self) -> int:
        """Return thousands of pixels per call."""
        return round(self.mask.size / 1e3)


class Distance(_OnMasks):
    """Exact Euclidean distance transform against SciPy."""

    name = "distance"
    goal = 4.0

    def contenders(self) -> tuple[Contender, ...]:
        """Return ours and scipy's."""
        from stempede_kernels.distance import distance

        mask = self.mask
        return (
            Contender("stempede_kernels.distance", lambda: distance(mask)),
            Contender(
                "scipy.ndimage.distance_transform_edt",
                lambda: np.stack([ndimage.distance_transform_edt(frame) for frame in mask]),
            ),
        )

    def work(self) -> Work:
        """The mask is read, the distance written; two passes along the axes by the method."""
        return Work(bytes=(1 + 4 + 4 + 4) * self.mask.size)

    def agree(self, outputs: Mapping[str, Any]) -> dict[str, float]:
        """Compare the distances, which are exact on both sides."""
        ours, theirs = outputs.values()
        worst = float(np.abs(ours - theirs).max())
        if worst > 1e-4:
            raise DisagreementError(f"distances differ by {worst} px")
        return {"largest difference px": worst}


class Watershed(_OnMasks):
    """Marker-controlled watershed against scikit-image."""

    name = "watershed"
    goal = 3.0

    def contenders(self) -> tuple[Contender, ...]:
        """Return ours and scikit-image's, on the same markers."""
        from stempede_kernels.watershed import watershed

        mask = self.mask
        depth = np.stack([ndimage.distance_transform_edt(frame) for frame in mask])
        height = -np.asarray(depth, np.float32)
        cores = depth > 0.7 * depth.max() / 2
        markers = np.stack([np.asarray(ndimage.label(frame)[0], np.int32) for frame in cores])

        def frame_by_frame() -> np.ndarray:
            frames = zip(height, markers, mask, strict=True)
            return np.stack([skimage_watershed(h, m, mask=inside) for h, m, inside in frames])

        return (
            Contender("stempede_kernels.watershed", lambda: watershed(height, markers, mask)),
            Contender("skimage.segmentation.watershed", frame_by_frame),
        )

    def work(self) -> Work:
        """Heights, markers and mask are read, labels written."""
        return Work(bytes=(4 + 4 + 1 + 4) * self.mask.size)

    def agree(self, outputs: Mapping[str, Any]) -> dict[str, float]:
        """Count the pixels that went to another basin."""
        ours, theirs = outputs.values()
        share = float((ours != theirs).mean())
        if share > 1e-3:
            raise DisagreementError(f"{share:.2%} of the pixels differ")
        return {"share of pixels that differ": share}
