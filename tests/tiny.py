"""A small session and recipe for tests of the gallery."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stempede import plan
from stempede.errors import InputError
from stempede.frames import Calibration, FrameRecord, Frames
from stempede.recipe import Recipe
from stempede.tables import Table

FILES = Path(__file__).parent / "files"

RECIPE = """
name = "tiny"
prepare_frames = 3
[[prepare]]
use = "tiny_stages.py:Level"
[[stage]]
use = "tiny_stages.py:Smooth"
[[stage]]
use = "tiny_stages.py:Find"
[[reduce]]
use = "tiny_stages.py:Sizes"
"""


@dataclass(frozen=True)
class Painter:
    """Paints blocks of 3 to 9 px on noise, the same for a frame number whoever asks."""

    broken: tuple[int, ...] = ()
    sleep_s: float = 0.0

    def __call__(self, record: FrameRecord) -> np.ndarray:
        time.sleep(self.sleep_s)
        if record.frame in self.broken:
            raise InputError("cannot be decoded; copy the file again")
        rng = np.random.default_rng([7, record.frame])
        image = rng.normal(100, 5, record.shape)
        for _ in range(4):
            h, w = rng.integers(3, 10, 2)
            y = rng.integers(0, record.shape[0] - h)
            x = rng.integers(0, record.shape[1] - w)
            image[y : y + h, x : x + w] += 80
        return image.astype(np.uint16)


def session(
    n: int = 10, *, broken: tuple[int, ...] = (), odd: bool = True, sleep_s: float = 0.0
) -> Frames:
    """Return n frames; every fourth has another shape unless told not to."""
    shapes = [(47, 38) if odd and k % 4 == 3 else (40, 53) for k in range(n)]
    records = tuple(
        FrameRecord(k, f"/tiny/{k}.tif", 0, shape, "uint16", Calibration(0.5, 0.4, "set"))
        for k, shape in enumerate(shapes)
    )
    return Frames(records, Painter(broken, sleep_s), origin="tiny")


def recipe(*assignments: str) -> Recipe:
    """Return the tiny recipe with settings changed."""
    made = Recipe.loads(RECIPE, folder=FILES)
    return made.set(*assignments) if assignments else made


def assert_same(a: Table, b: Table) -> None:
    """Hold two tables equal, bit by bit, missing values included."""
    assert a.schema == b.schema
    for name in a.schema.names:
        np.testing.assert_array_equal(a[name], b[name], err_msg=f"{a.schema.name}.{name}")


def environment() -> dict[str, str]:
    """Return the environment of a child process that finds what this one finds."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def plan_chunks_of(size: int, monkeypatch: Any, workers: int = 1) -> None:
    """Have sessions plan chunks of at most ``size`` frames for so many workers."""
    whole = plan.make_plan

    def cut(frames: Frames, backend: Any, **options: Any) -> plan.Plan:
        found = whole(frames, backend, **options)
        chunks = tuple(tuple(c) for c in found.frames.runs(size))
        return plan.replace(found, chunks=chunks, workers=workers)

    monkeypatch.setattr("stempede.session.make_plan", cut)
