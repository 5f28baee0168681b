"""The feature table of one frame against scikit-image's of the same properties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stempede_bench.contract import Contender, DisagreementError
from stempede_bench.inputs import simulated
from stempede_bench.peers import feature_table

SAME = {
    "area": "area_px2",
    "area_filled": "filled_area_px2",
    "area_convex": "convex_area_px2",
    "perimeter": "perimeter_px",
    "perimeter_crofton": "perimeter_crofton_px",
    "axis_major_length": "major_axis_px",
    "feret_diameter_max": "max_feret_px",
    "solidity": "solidity",
    "euler_number": "euler_number",
    "moments_hu-0": "hu1",
}
"""Properties of scikit-image and the fields that hold the same number."""


class Features:
    """All 30 features, minimum rectangle and contrast included, against 20 properties."""

    name = "features"
    unit = "particles"
    goal = 10.0

    def items(self) -> int:
        """Return the particles of the frame."""
        return int(simulated(1)[1].max())

    def contenders(self) -> tuple[Contender, ...]:
        """Return ours and scikit-image's, on the same label map."""
        from stempede_kernels.regions import regions

        images, labels = simulated(1)
        counts = images.astype(np.float32)
        return (
            Contender("stempede_kernels.regions", lambda: regions(labels, counts)),
            Contender(
                "skimage.measure.regionprops_table", lambda: feature_table(labels[0], counts[0])
            ),
        )

    def agree(self, outputs: Mapping[str, Any]) -> dict[str, float]:
        """Compare the properties that both give, particle by particle."""
        ours, theirs = outputs.values()
        worst = {
            field: float(np.max(np.abs(ours[field] - theirs[name]) / np.abs(theirs[name]).clip(1)))
            for name, field in SAME.items()
        }
        if max(worst.values()) > 1e-6:
            raise DisagreementError(f"relative differences {worst}")
        return {"largest relative difference": max(worst.values())}
