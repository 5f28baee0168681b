"""Whole routes on frames in memory: particles against plain chains, columns alone."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from importlib.util import find_spec
from typing import Any

import numpy as np

from stempede_bench.contract import Case, Contender, DisagreementError, Work
from stempede_bench.inputs import particles, simulated

LEAST_F1 = 0.85
"""Both chains must find the particles before their speed means anything."""


def frames_in_memory(images: np.ndarray, pixel_size_nm: float | None = None) -> Any:
    """Return ``Frames`` over an (n, y, x) array, as a reader would."""
    from stempede.frames import Calibration, FrameRecord, Frames

    calibration = (
        Calibration() if pixel_size_nm is None else Calibration(pixel_size_nm, pixel_size_nm, "set")
    )
    records = tuple(
        FrameRecord(k, f"memory/{k}", 0, image.shape, str(image.dtype), calibration)
        for k, image in enumerate(images)
    )
    return Frames(records, _InMemory(images))


@dataclass(frozen=True)
class _InMemory:
    images: np.ndarray

    def __call__(self, record: Any) -> np.ndarray:
        """Return the pixels of a record."""
        return np.asarray(self.images[record.frame])


@dataclass(frozen=True)
class Prepared:
    """The stages of a shipped recipe over frames in memory, ready to be called.

    Parameters
    ----------
    frames : Frames
    backend : Backend
    pipeline : Pipeline
    numbers : mapping
        What the recipe's Prepares found on the first frame.
    """

    frames: Any
    backend: Any
    pipeline: Any
    numbers: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        frames: Any,
        recipe: str = "particles",
        device: str = "cpu",
        without: Sequence[str] = (),
    ) -> Prepared:
        """Read the recipe without its own checks: a machine with a device may lack pydantic."""
        from stempede.backend import Backend
        from stempede.pipeline import Pipeline
        from stempede.schedule import keep_free_memory
        from stempede.stage import find

        # as in a run; the peers have it too
        keep_free_memory()
        shipped = resources.files("stempede") / "recipes" / f"{recipe}.toml"
        written = tomllib.loads(shipped.read_text(encoding="utf-8"))
        names = [entry["use"] for entry in written["stage"] if entry["use"] not in without]
        backend = Backend.choose(device)
        first = frames.read([0], backend)
        numbers = {
            entry["use"]: find("prepare", entry["use"])()([first])
            for entry in written.get("prepare", ())
        }
        return cls(frames, backend, Pipeline(tuple(find("stage", n)() for n in names)), numbers)

    def batch(self, wanted: Sequence[int]) -> Any:
        """Return frames as they come from the read."""
        return replace(self.frames.read(list(wanted), self.backend), prepared=self.numbers)

    def __call__(self, wanted: Sequence[int]) -> Any:
        """Return the finished batch of some frames."""
        return self.pipeline(self.batch(wanted))

    def seconds(self, wanted: Sequence[int]) -> dict[str, float]:
        """Return the seconds of each stage on some frames."""
        return dict(self.pipeline.measure(self.frames, self.batch(wanted)).timings_s)


def f1_at_half(truth: np.ndarray, labels: np.ndarray) -> float:
    """Return F1 of (y, x) label maps at an intersection over union of one half."""
    n_true, n_found = int(truth.max()), int(labels.max())
    pairs = np.bincount(
        truth.ravel().astype(np.int64) * (n_found + 1) + labels.ravel(),
        minlength=(n_true + 1) * (n_found + 1),
    ).reshape(n_true + 1, n_found + 1)
    union = pairs.sum(1, keepdims=True) + pairs.sum(0, keepdims=True) - pairs
    # above one half a match is one to one by itself
    hits = int((pairs[1:, 1:] > 0.5 * union[1:, 1:]).sum())
    return 2 * hits / (n_true + np.count_nonzero(np.bincount(labels.ravel())[1:]))


class Route(Case):
    """Defects to accepted particles with all features; the peers end at their feature tables."""

    name = "route"
    unit = "particles"
    goal: float | None = 6.0
    varies = ("side", "count", "batch")
    without: tuple[str, ...] = ("particles.shapes",)

    @cached_property
    def prepared(self) -> Prepared:
        """Our route over the scene."""
        images = simulated(self.scene)[0]
        return Prepared.of(frames_in_memory(images), without=self.without)

    def items(self) -> int:
        """Return the true particles of the frames."""
        return particles(self.scene)

    def work(self) -> Work:
        """Counts are read once, labels written once."""
        return Work(bytes=(2 + 4) * simulated(self.scene)[0].size)

    def stages(self) -> dict[str, float]:
        """Return the seconds of each stage."""
        return self.prepared.seconds(range(self.scene.batch))

    def contenders(self) -> tuple[Contender, ...]:
        """Return our route and the chains, all from the same counts."""
        from stempede_bench import peers

        images, frames = simulated(self.scene)[0], range(self.scene.batch)
        chains = [Contender("scikit-image chain", _chain(images, peers.segment))]
        if find_spec("cv2") is not None:
            chains.append(Contender("opencv chain", _chain(images, peers.segment_opencv)))
        ours = Contender("stempede particles route", lambda: self.prepared(frames).maps["labels"])
        return (ours, *chains)

    def agree(self, outputs: Mapping[str, Any]) -> dict[str, float]:
        """Score all against the truth of the simulation."""
        truth = simulated(self.scene)[1]
        scores = {
            f"F1 of {name}": float(
                np.mean([f1_at_half(*frame) for frame in zip(truth, found, strict=True)])
            )
            for name, found in outputs.items()
        }
        if min(scores.values()) < LEAST_F1:
            raise DisagreementError(f"a chain misses particles: {scores}")
        return scores


def _chain(images: np.ndarray, segment: Callable[[np.ndarray], np.ndarray]) -> Callable[[], Any]:
    """Return a peer's whole work: labels, then scikit-image's feature table."""
    # here, since a machine with a device may lack the libraries of the peers
    from stempede_bench import peers

    def work() -> np.ndarray:
        found = [segment(image) for image in images]
        for labels, image in zip(found, images, strict=True):
            peers.feature_table(labels, image.astype(np.float32))
        return np.stack(found)

    return work


class Shapes(Route):
    """The same with the superellipse of every particle, which no peer fits."""

    name = "route-shapes"
    goal = None
    without = ()

    def contenders(self) -> tuple[Contender, ...]:
        """Return our route alone."""
        return super().contenders()[:1]


class Columns(Case):
    """A dot of CsPbI3 at 2,000 electrons per square angstrom, from peaks to cells."""

    name = "columns-route"
    unit = "columns"

    @cached_property
    def prepared(self) -> Prepared:
        """Our route over one frame of 512 x 512 at 0.015 nm."""
        from stempede.simulate.columns import Scene, render

        image, truth = render(Scene(), 0, 7)
        self.truth = truth["truth_columns"]
        return Prepared.of(frames_in_memory(image[None], 0.015), "columns")

    def items(self) -> int:
        """Return the true columns."""
        return len(self.prepared.frames) and len(self.truth)

    def stages(self) -> dict[str, float]:
        """Return the seconds of each stage."""
        return self.prepared.seconds([0])

    def contenders(self) -> tuple[Contender, ...]:
        """Return our route alone: no peer gives octahedra with errors."""
        return (Contender("stempede columns route", lambda: self.prepared([0]).tables["columns"]),)

    def agree(self, outputs: Mapping[str, Any]) -> dict[str, float]:
        """Compare the positions with the truth."""
        (found,) = outputs.values()
        kept = np.asarray(found["accepted"], bool)
        place = np.column_stack([found["y_px"][kept], found["x_px"][kept]])
        true = np.column_stack([self.truth["y_px"], self.truth["x_px"]])
        nearest = np.linalg.norm(true[:, None] - place[None], axis=2).min(axis=1)
        recall = float((nearest < 2).mean())
        if recall < 0.97:
            raise DisagreementError(f"only {recall:.1%} of the columns are found")
        return {"recall": recall, "rms px": float(np.sqrt((nearest[nearest < 2] ** 2).mean() / 2))}
