"""A small route for tests, written as a user writes stages: one file beside the recipe."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stempede.frames import Batch
from stempede.tables import PARTICLES, Field, Schema, Table, declare

SIZES = declare(
    Schema(
        "sizes",
        (
            Field("n", "int64"),
            Field("mean_area_px2", "float64", "px^2"),
        ),
    )
)


@dataclass(frozen=True)
class Level:
    """Finds a session-wide level: the mean of the frames' medians."""

    name: ClassVar[str] = "tiny.level"

    def __call__(self, batches: Sequence[Batch]) -> dict[str, Any]:
        medians = [float(np.median(image)) for batch in batches for image in batch.images]
        return {"level": float(np.mean(medians)), "n": len(medians)}


@dataclass(frozen=True)
class Coarse(Level):
    """The same in steps; any two levels of one step are as good as each other."""

    step: float = 50.0

    def __call__(self, batches: Sequence[Batch]) -> dict[str, Any]:
        found = super().__call__(batches)
        return {**found, "level": self.step * round(found["level"] / self.step)}

    def agree(self, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
        return a["level"] == b["level"]


@dataclass(frozen=True)
class Smooth:
    """Gaussian smoothing of each frame."""

    sigma_px: float = 1.0

    name: ClassVar[str] = "tiny.smooth"
    reads: ClassVar[tuple[str, ...]] = ("images",)
    writes: ClassVar[tuple[str, ...]] = ("images",)

    def __post_init__(self) -> None:
        if self.sigma_px <= 0:
            raise ValueError(f"sigma_px must be above 0; found {self.sigma_px}; raise it")

    def __call__(self, batch: Batch) -> Batch:
        smooth = batch.backend.ndimage.gaussian_filter(
            batch.images, (0, self.sigma_px, self.sigma_px)
        )
        return batch.with_(images=smooth)


@dataclass(frozen=True)
class Find:
    """Regions above the session's level; can be told to fail, which tests do."""

    above: float = 20.0
    raise_on: tuple[int, ...] = ()
    kill_on: tuple[int, ...] = ()
    exhausted_by: int = 1000
    sleep_s: float = 0.0

    name: ClassVar[str] = "tiny.find"
    reads: ClassVar[tuple[str, ...]] = ("images", "valid")
    writes: ClassVar[tuple[str, ...]] = ("labels", "particles", "frames")

    def __call__(self, batch: Batch) -> Batch:
        self._misbehave(batch)
        level = batch.prepared.get("tiny.level", {}).get("level", 100.0)
        labels = np.zeros(batch.images.shape, np.int32)
        counts, rows = [], []
        for k, image in enumerate(batch.images):
            mask = (image > level + self.above) & batch.maps["valid"][k]
            labels[k], n = batch.backend.ndimage.label(mask)
            counts.append(n)
            rows.append(_rows(int(batch.frames[k]), labels[k], n))
        columns = {key: np.concatenate([r[key] for r in rows]) for key in rows[0]}
        frames = batch.tables["frames"].with_columns({"n_particles": np.array(counts)})
        return batch.with_(
            maps={"labels": labels},
            tables={"particles": Table(PARTICLES, columns), "frames": frames},
        )

    def _misbehave(self, batch: Batch) -> None:
        time.sleep(self.sleep_s * len(batch))
        if len(batch) > self.exhausted_by:
            raise MemoryError
        for frame in batch.frames.tolist():
            if frame in self.raise_on:
                raise RuntimeError(f"cannot take frame {frame}")
            if frame in self.kill_on:
                os.kill(os.getpid(), signal.SIGKILL)


def _rows(frame: int, labels: np.ndarray, n: int) -> dict[str, np.ndarray]:
    ys, xs = np.nonzero(labels)
    which = labels[ys, xs] - 1
    area = np.bincount(which, minlength=n).astype(float)
    return {
        "frame": np.full(n, frame),
        "particle": np.arange(n),
        "label": np.arange(1, n + 1),
        "y_px": np.bincount(which, ys, n) / np.maximum(area, 1),
        "x_px": np.bincount(which, xs, n) / np.maximum(area, 1),
        "area_px2": area,
        "accepted": area > 12,
        "reject_reason": np.where(area > 12, "", "too small").astype(np.dtypes.StringDType()),
    }


@dataclass(frozen=True)
class Sizes:
    """Number and mean area of the accepted particles."""

    name: ClassVar[str] = "tiny.sizes"
    reads: ClassVar[tuple[str, ...]] = ("particles", "frames")
    writes: ClassVar[tuple[str, ...]] = ("sizes",)

    def __call__(self, tables: Mapping[str, Table]) -> dict[str, Table]:
        area = tables["particles"]["area_px2"][tables["particles"]["accepted"]]
        mean = float(area.mean()) if len(area) else float("nan")
        return {"sizes": Table.from_rows(SIZES, [{"n": len(area), "mean_area_px2": mean}])}
