"""One frame measured in this process, for a look at a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from stempede.errors import InputError
from stempede.frames import Batch


def measure_one(
    source: str,
    frame: int,
    recipe: str,
    assignments: Sequence[str],
    device: str,
    **source_options: Any,
) -> Batch:
    """Return the finished batch of one frame.

    Session-wide numbers come from the first frames, as in a run, so that the frame looks as it
    will in the run.

    Raises
    ------
    InputError
        There is no such frame, or it cannot be read.
    """
    from stempede.backend import Backend
    from stempede.io.sources import open_frames
    from stempede.pipeline import Pipeline
    from stempede.prepare import FirstUsable
    from stempede.recipe import Recipe

    chosen = Recipe.load(recipe)
    chosen = chosen.set(*assignments) if assignments else chosen
    frames = open_frames(source, **source_options)
    numbers = [r.frame for r in frames.records]
    if frame not in numbers:
        raise InputError(f"frame {frame} was asked for; {source} has 0 to {max(numbers)}")
    backend = Backend.choose(device)
    first = FirstUsable(frames, chosen.prepare_frames, backend)
    prepared: dict[str, dict[str, Any]] = {}
    for prepare in chosen.of_kind("prepare"):
        prepared[prepare.name] = first.find(prepare, prepared)
    batch = frames.read([frame], backend)
    if batch.problems:
        raise InputError(f"frame {frame} {batch.problems[0].reason}")
    found = Pipeline(chosen.of_kind("stage"))(replace(batch, prepared=prepared))
    # stages may leave the images flattened and turned; people want to see their own
    return replace(found, images=batch.images)
