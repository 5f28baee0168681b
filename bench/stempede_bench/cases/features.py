"""The feature table of one frame against scikit-image's of the same properties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stempede_bench.contract import Case, Contender, DisagreementError, Work
from stempede_bench.inputs import particles, simulated
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


class Features(Case):
    """All 30 features, minimum rectangle and contrast included, against 20 properties."""

    name = "features"
    unit = "particles"
    goal = 15.0
    varies = ("side", "count", "batch")

    def items(self) -> int:
        """Return the particles of the frames."""
        return particles(self.scene)

    def work(self) -> Work:
        """Labels and counts are read once."""
        return Work(bytes=8 * simulated(self.scene)[1].size)

    def contenders(self) -> tuple[Contender, ...]:
        """Return ours and scikit-image's, on the same label map."""
        from stempede_kernels.regions import regions

        images, labels = simulated(self.scene)
        counts = images.astype(np.float32)

        def table() -> dict[str, np.ndarray]:
            tables = [feature_table(*frame) for frame in zip(labels, counts, strict=True)]
            return {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}

        return (
            Contender("stempede_kernels.regions", lambda: regions(labels, counts)),
            Contender("skimage.measure.regionprops_table", table),
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
