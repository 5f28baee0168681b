"""Accept: which regions count as whole particles, and why the others do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stempede.errors import RecipeError
from stempede.frames import Batch
from stempede.particles.usable import Usable, labels_at, usable_area
from stempede.particles.weights import miles_lantuejoul
from stempede_kernels.distance import distance
from stempede_kernels.label import label
from stempede_kernels.smooth import gaussian

AGGLOMERATED = "too agglomerated"
"""Reject reason of regions that hold several particles which could not be told apart."""

REASONS = (
    "",
    "edge",
    "scale bar or excluded area",
    "too small",
    "too faint",
    AGGLOMERATED,
    "outlier",
)
"""Reject reasons; the first that holds is written."""

_EDGE, _BARRED, _SMALL, _FAINT, _CLUMP, _OUTLIER = range(1, len(REASONS))

# levels, as shares of the greatest depth, at which a clump falls into cores
_CORE_LEVELS = (0.55, 0.7, 0.85)
# a core holds at least this share of the pixels that the largest core holds
_LEAST_CORE = 0.2
_OUTLIER_SIGMA = 5.0
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Accept:
    """Judge every region against the others of its own frame; none is dropped.

    Being concave is never a reason: stars and urchins stay. A region is an agglomerate
    when it is larger than the frame's typical particle *and* its depth (distance to
    the rim) has several separate cores.

    Parameters
    ----------
    smallest_px : float
        Least equivalent diameter.
    smallest_share : float
        Least equivalent diameter as a share of the frame's typical one.
    least_contrast : float
        Least contrast in units of the background's noise; 0: not asked.
    clump_ratio : float
        Equivalent diameter over the typical one from which a region may be an agglomerate.
    outlier_ratio : float
        Equivalent diameter over the typical one from which a region may be an outlier; it
        must then also lie five robust standard deviations (of log size) above it.
    """

    smallest_px: float = 3.0
    smallest_share: float = 0.2
    least_contrast: float = 0.0
    clump_ratio: float = 1.3
    outlier_ratio: float = 4.0

    name: ClassVar[str] = "particles.accept"
    reads: ClassVar[tuple[str, ...]] = ("labels", "valid", "particles", "frames")
    writes: ClassVar[tuple[str, ...]] = ("particles", "frames")

    def __post_init__(self) -> None:
        if self.clump_ratio < 1 or self.outlier_ratio < 1:
            raise RecipeError(
                f"clump_ratio and outlier_ratio are 1 or more; found {self.clump_ratio:g} and "
                f"{self.outlier_ratio:g}; raise them"
            )

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with ``accepted reject_reason weight`` of each particle set."""
        particles = batch.tables["particles"]
        columns = _host_columns(batch)
        code = np.zeros(len(particles), dtype=np.int64)
        weight = np.ones(len(particles))
        smallest = np.full(len(batch), np.nan)
        for k, record in enumerate(batch.records):
            rows = np.flatnonzero(columns["frame"] == record.frame)
            here = {name: values[rows] for name, values in columns.items()}
            area = usable_area(batch.maps["valid"][k], batch.backend)
            smallest[k] = self._least_size(here["equivalent_diameter_px"])
            code[rows] = self._judge(here, smallest[k], area, batch, k)
            weight[rows] = _weights(here, area)
        counted = np.array(REASONS, dtype=np.dtypes.StringDType())
        accepted = code == 0
        verdict = {"accepted": accepted, "reject_reason": counted[code], "weight": weight}
        per_frame = {
            "n_particles": _per_frame(columns["frame"], batch),
            "n_accepted": _per_frame(columns["frame"][accepted], batch),
            "smallest_px": smallest,
        }
        return batch.with_(
            tables={
                "particles": particles.with_columns(verdict),
                "frames": batch.tables["frames"].with_columns(per_frame),
            }
        )

    def _least_size(self, diameter: np.ndarray) -> float:
        """Least diameter of a frame; half of the summed diameters decides what is typical."""
        if not len(diameter):
            return self.smallest_px
        rising = np.sort(diameter)
        typical = rising[np.searchsorted(np.cumsum(rising), 0.5 * rising.sum())]
        return max(self.smallest_px, self.smallest_share * float(typical))

    def _judge(
        self, here: dict[str, np.ndarray], smallest: float, area: Usable, batch: Batch, k: int
    ) -> np.ndarray:
        """Return the code of the first reason that holds for each particle of frame k."""
        diameter = here["equivalent_diameter_px"]
        code = np.zeros(len(diameter), dtype=np.int64)
        small, faint = diameter < smallest, here["contrast"] < self.least_contrast
        edge = here["touches_edge"].astype(bool)
        typical, limit = self._scale(diameter[~small & ~edge])
        clump = np.zeros(len(diameter), dtype=bool)
        labels = batch.maps["labels"][k]
        # few: those well above the typical size that nothing else rejects
        for i in np.flatnonzero((diameter > self.clump_ratio * typical) & ~edge).tolist():
            y0, x0, y1, x1 = (int(here[f"bbox_{c}_px"][i]) for c in ("y0", "x0", "y1", "x1"))
            mask = labels[y0:y1, x0:x1] == int(here["label"][i])
            clump[i] = int(batch.backend.through_host(self.name, _core_count, mask)[0]) > 1
        barred = np.isin(here["label"], labels_at(labels, area, batch.backend))
        asked_faint = faint if self.least_contrast > 0 else np.zeros_like(faint)
        verdicts = (
            (_OUTLIER, diameter > limit),
            (_CLUMP, clump),
            (_FAINT, asked_faint),
            (_SMALL, small),
            (_BARRED, barred),
            (_EDGE, edge),
        )
        for value, holds in verdicts:
            code[holds] = value
        return code

    def _scale(self, diameter: np.ndarray) -> tuple[float, float]:
        """Return the typical diameter and the one above which a region is an outlier."""
        if not len(diameter):
            return np.inf, np.inf
        log_d = np.log(diameter)
        middle = float(np.median(log_d))
        sigma = _MAD_TO_SIGMA * float(np.median(np.abs(log_d - middle)))
        reach = max(np.log(self.outlier_ratio), _OUTLIER_SIGMA * sigma)
        return float(np.exp(middle)), float(np.exp(middle + reach))


def _host_columns(batch: Batch) -> dict[str, np.ndarray]:
    """Columns that are judged, on the host: a few numbers per particle."""
    particles = batch.tables["particles"]
    names = (
        "frame",
        "label",
        "bbox_y0_px",
        "bbox_x0_px",
        "bbox_y1_px",
        "bbox_x1_px",
        "touches_edge",
        "equivalent_diameter_px",
        "contrast",
    )
    columns = {name: particles[name] for name in names}
    # features are on the host already; a stage of the user's own may keep its on the device
    return {
        name: batch.backend.download(c, Accept.name) if hasattr(c, "get") else c
        for name, c in columns.items()
    }


def _weights(here: dict[str, np.ndarray], area: Usable) -> np.ndarray:
    """Miles-Lantuejoul weights of one frame's particles within its usable area."""
    y0, x0, y1, x1 = area.window
    shifted = [(b[0] - y0, b[1] - x0, b[2] - y0, b[3] - x0) for b in area.boxes]
    return miles_lantuejoul(
        y1 - y0,
        x1 - x0,
        here["bbox_y1_px"] - here["bbox_y0_px"],
        here["bbox_x1_px"] - here["bbox_x0_px"],
        shifted,
    )


def _core_count(mask: np.ndarray) -> np.ndarray:
    """Return, as an array of one, the most cores into which a region falls as it is eroded."""
    depth = distance(np.pad(mask, 1))
    # pixel steps of the rim make false summits; half a pixel of blur takes them away
    depth = gaussian(depth, 0.05 * float(depth.max()) + 0.5)
    most = 1
    for level in _CORE_LEVELS:
        cores, n = label(depth > level * depth.max(), connectivity=2)
        sizes = np.bincount(cores.ravel(), minlength=int(n) + 1)[1:]
        most = max(most, int((sizes >= _LEAST_CORE * sizes.max()).sum()))
    return np.array([most])


def _per_frame(frame: np.ndarray, batch: Batch) -> Any:
    """Count rows per frame of the batch, in its order."""
    return np.array([(frame == record.frame).sum() for record in batch.records], dtype=np.int64)
