"""Single kernels against the library everyone uses, on the label maps of simulated frames."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed as skimage_watershed

from stempede_bench.contract import Contender, DisagreementError
from stempede_bench.inputs import simulated


class _OnMasks:
    unit = "megapixels"

    @cached_property
    def mask(self) -> np.ndarray:
        """(1, y, x) bool: where particles are."""
        return simulated(1)[1] > 0

    def items(self) -> int:
        """Return megapixels per call."""
        return round(self.mask.size / 1e6)


class Distance(_OnMasks):
    """Exact Euclidean distance transform against SciPy."""

    name = "distance"
    goal = 4.0

    def contenders(self) -> tuple[Contender, ...]:
        """Return ours and scipy's."""
        from stempede_kernels.distance import distance

        mask = self.mask
        return (
            Contender("stempede_kernels.distance", lambda: distance(mask)[0]),
            Contender(
                "scipy.ndimage.distance_transform_edt",
                lambda: ndimage.distance_transform_edt(mask[0]),
            ),
        )

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
        depth = ndimage.distance_transform_edt(mask[0])[None]
        height = -np.asarray(depth, np.float32)
        markers = np.asarray(ndimage.label(depth > 0.7 * depth.max() / 2)[0], np.int32)
        return (
            Contender("stempede_kernels.watershed", lambda: watershed(height, markers, mask)[0]),
            Contender(
                "skimage.segmentation.watershed",
                lambda: skimage_watershed(height[0], markers[0], mask=mask[0]),
            ),
        )

    def agree(self, outputs: Mapping[str, Any]) -> dict[str, float]:
        """Count the pixels that went to another basin."""
        ours, theirs = outputs.values()
        share = float((ours != theirs).mean())
        if share > 1e-3:
            raise DisagreementError(f"{share:.2%} of the pixels differ")
        return {"share of pixels that differ": share}
