"""The whole particles route on a frame in memory against a plain scikit-image chain."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np

from stempede_bench import peers
from stempede_bench.contract import Contender, DisagreementError
from stempede_bench.inputs import simulated

LEAST_F1 = 0.85
"""Both chains must find the particles before their speed means anything."""


def frames_in_memory(images: np.ndarray) -> Any:
    """Return ``Frames`` over an (n, y, x) array, as a reader would."""
    from stempede.frames import FrameRecord, Frames

    records = tuple(
        FrameRecord(k, f"memory/{k}", 0, image.shape, str(image.dtype))
        for k, image in enumerate(images)
    )
    return Frames(records, _InMemory(images))


class _InMemory:
    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __call__(self, record: Any) -> np.ndarray:
        """Return the pixels of a record."""
        return np.asarray(self.images[record.frame])


def prepared_route(images: np.ndarray, device: str = "cpu") -> tuple[Any, Any, Any]:
    """Return (frames, backend, route): ``route(numbers)`` gives the finished batch."""
    from dataclasses import replace

    from stempede.backend import Backend
    from stempede.pipeline import Pipeline
    from stempede.stage import PREPARES, find

    frames, backend = frames_in_memory(images), Backend.choose(device)
    # read without the recipe's own checks: a machine with a device may lack pydantic
    shipped = resources.files("stempede") / "recipes" / "particles.toml"
    stages = tomllib.loads(shipped.read_text(encoding="utf-8"))["stage"]
    pipeline = Pipeline(tuple(find("stage", stage["use"])() for stage in stages))
    first = frames.read([0], backend)
    prepared = {name: find("prepare", name)()([first]) for name in PREPARES}

    def route(numbers: list[int]) -> Any:
        return pipeline(replace(frames.read(numbers, backend), prepared=prepared))

    return frames, backend, route


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


class Route:
    """Defects to accepted particles with all features; the peer ends at its feature table."""

    name = "route"
    unit = "particles"
    goal = 3.0

    def items(self) -> int:
        """Return the true particles of the frame."""
        return int(simulated(1)[1].max())

    def contenders(self) -> tuple[Contender, ...]:
        """Return our route and the chain, which starts from the same counts."""
        images, _ = simulated(1)
        _, _, route = prepared_route(images)

        def chain() -> np.ndarray:
            labels = peers.segment(images[0])
            peers.feature_table(labels, images[0].astype(np.float32))
            return labels

        return (
            Contender("stempede particles route", lambda: route([0]).maps["labels"][0]),
            Contender("scikit-image chain", chain),
        )

    def agree(self, outputs: Mapping[str, Any]) -> dict[str, float]:
        """Score both against the truth of the simulation."""
        truth = simulated(1)[1][0]
        scores = {f"F1 of {k}": f1_at_half(truth, np.asarray(v)) for k, v in outputs.items()}
        if min(scores.values()) < LEAST_F1:
            raise DisagreementError(f"a chain misses particles: {scores}")
        return scores
