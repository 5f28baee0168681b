"""Stage, Prepare and Reduce: the three things a recipe is made of, and where they are found.

A stage is a frozen dataclass of parameters with ``name``, ``reads``, ``writes`` and
``__call__(batch) -> Batch``. It does no IO, keeps no state, and gives each frame the same
result whatever else is in the batch. ``reads`` and ``writes`` name maps and tables of the
batch; ``images`` and ``valid`` are there from the start.

The registry maps the names of a recipe to classes, imported when first used: it is the one
door from the gallery to the work rooms.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Protocol, runtime_checkable

from stempede.backend import Backend
from stempede.errors import RecipeError
from stempede.frames import Batch
from stempede.tables import Table


@runtime_checkable
class Stage(Protocol):
    """Called on every batch.

    A stage may have a method ``check()``, asked before the first frame is read, that raises
    where the stage cannot run on this machine.
    """

    name: ClassVar[str]
    reads: ClassVar[tuple[str, ...]]
    writes: ClassVar[tuple[str, ...]]

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with this stage's maps and tables added."""
        ...


@runtime_checkable
class Prepare(Protocol):
    """Called once, on the first usable frames; its numbers are stored and sent with each task.

    A Prepare may have a method ``agree(a, b)``: whether stages measure alike with either of two
    results of it. A watched run then begins with what the first frame gives.
    """

    name: ClassVar[str]

    def __call__(self, batches: Sequence[Batch]) -> dict[str, Any]:
        """Return JSON-able numbers, found in ``batch.prepared[name]`` by later stages."""
        ...


@runtime_checkable
class Reduce(Protocol):
    """Called once with the tables of the whole run."""

    name: ClassVar[str]
    reads: ClassVar[tuple[str, ...]]
    writes: ClassVar[tuple[str, ...]]

    def __call__(self, tables: Mapping[str, Table]) -> dict[str, Table]:
        """Return the tables this reduction writes."""
        ...


@runtime_checkable
class OnDevice(Protocol):
    """A Reduce that computes on the device of the run: its ``__call__`` takes the backend too."""

    on_device: ClassVar[bool]

    def __call__(self, tables: Mapping[str, Table], backend: Backend) -> dict[str, Table]:
        """Return the tables this reduction writes."""
        ...


@dataclass(frozen=True)
class Again:
    """Frames that a reduction wants measured once more, with parameters changed.

    Parameters
    ----------
    frames : tuple of int
        Frame numbers.
    variations : mapping of str to tuple of str
        Assignments (``stage.parameter=value``) by the name of the variation.
    """

    frames: tuple[int, ...]
    variations: Mapping[str, tuple[str, ...]]


@runtime_checkable
class Remeasuring(Protocol):
    """A Reduce that compares the run with variations of itself on a few frames.

    Its ``__call__`` finds the tables of a variation as ``<table>, <variation>``.
    """

    def again(self, tables: Mapping[str, Table]) -> Again:
        """Return what is to be measured again, given the tables of the run."""
        ...


STAGES: dict[str, str] = {
    "preprocess.annotations": "stempede.preprocess.annotations:Annotations",
    "preprocess.quality": "stempede.preprocess.quality:Quality",
    "preprocess.defects": "stempede.preprocess.defects:Defects",
    "preprocess.background": "stempede.preprocess.background:Background",
    "preprocess.normalise": "stempede.preprocess.normalise:Normalise",
    "preprocess.align": "stempede.preprocess.align:Align",
    "preprocess.counts": "stempede.preprocess.counts:Counts",
    "preprocess.denoise": "stempede.preprocess.denoise:Denoise",
    "particles.segment": "stempede.particles.segment:Segment",
    "particles.split": "stempede.particles.split:Split",
    "particles.features": "stempede.particles.features:Features",
    "particles.accept": "stempede.particles.accept:Accept",
    "particles.shapes": "stempede.particles.shapes:Shapes",
    "columns.peaks": "stempede.columns.peaks:Peaks",
    "columns.lattice": "stempede.columns.lattice:Lattice",
    "columns.fit": "stempede.columns.fit:Fit",
    "columns.species": "stempede.columns.species:Species",
    "columns.octahedra": "stempede.columns.octahedra:Octahedra",
    "columns.cells": "stempede.columns.cells:CellsStage",
    "columns.halides": "stempede.columns.halides:Halides",
}
PREPARES: dict[str, str] = {
    "preprocess.polarity": "stempede.preprocess.polarity:Polarity",
    "preprocess.denoiser": "stempede.preprocess.denoise_self:Denoiser",
}
REDUCES: dict[str, str] = {
    "preprocess.flags": "stempede.preprocess.flags:Flags",
    "particles.drift": "stempede.particles.drift:Drift",
    "particles.ensemble": "stempede.particles.ensemble:Ensemble",
    "particles.groups": "stempede.particles.groups:Groups",
    "particles.sensitivity": "stempede.particles.sensitivity:Sensitivity",
    "particles.samples": "stempede.particles.classify.reduce:Samples",
    "particles.classify": "stempede.particles.classify.reduce:Classify",
    "columns.layers": "stempede.columns.layers:Layers",
}
DOORS: dict[str, str] = {
    "open_frames": "stempede.io.sources:open_frames",
    "calibrate": "stempede.preprocess.calibrate:calibrate",
    "results": "stempede.io.results:Results",
    "journal": "stempede.io.journal:Journal",
    "new_places": "stempede.io.arriving:new_places",
    "open_arrived": "stempede.io.arriving:open_arrived",
    "announced_labels": "stempede.io.arriving:announced_labels",
    "write_json": "stempede.io.atomic:write_json",
    "reader": "stempede.io.sources:SourceReader",
    "natural_key": "stempede.io.listing:natural_key",
    "curate": "stempede.particles.curation:apply_exclusions",
    "learn": "stempede.particles.classify.learn:learn",
    "classifier": "stempede.particles.classify.model_file:load",
    "classifier_card": "stempede.particles.classify.model_file:read_card",
    "true_shapes": "stempede.particles.classify.truth:true_shapes",
    "against_truth": "stempede.particles.classify.truth:against_truth",
    "merged_scores": "stempede.particles.classify.tables:merged",
}
"""What the gallery needs of the work rooms that is not a stage."""

KINDS = {"stage": STAGES, "prepare": PREPARES, "reduce": REDUCES}


def door(name: str) -> Any:
    """Return a work room's function or class by its registered name."""
    return _import(DOORS[name])


def find(kind: str, use: str, folder: Path | None = None) -> type:
    """Return the class a recipe names.

    Parameters
    ----------
    kind : {"stage", "prepare", "reduce"}
    use : str
        A registered name, or ``my_file.py:MyStage`` for a user's own.
    folder : Path, optional
        Where a relative ``my_file.py`` is looked for (the recipe's folder).

    Raises
    ------
    RecipeError
        Unknown name, or a file that lacks the class or its attributes.
    """
    if ".py:" in use:
        return _from_file(kind, use, folder or Path.cwd())
    known = KINDS[kind]
    if use not in known:
        raise RecipeError(
            f"unknown {kind} '{use}'; known are {', '.join(sorted(known))}, "
            f"or 'my_file.py:MyClass' for your own"
        )
    found: type = _import(known[use])
    return found


def _import(target: str) -> Any:
    module, attribute = target.split(":")
    return getattr(importlib.import_module(module), attribute)


def _from_file(kind: str, use: str, folder: Path) -> type:
    file, attribute = use.rsplit(":", 1)
    path = folder / file
    if not path.is_file():
        raise RecipeError(f"{kind} '{use}' names a file that is not there: {path}")
    module = _load_file(kind, use, path)
    found = getattr(module, attribute, None)
    wanted = ("name",) if kind == "prepare" else ("name", "reads", "writes")
    missing = [a for a in (*wanted, "__call__") if not hasattr(found, a)]
    if not isinstance(found, type) or missing:
        raise RecipeError(
            f"{kind} '{use}' wants a class '{attribute}' with {', '.join(wanted)} and __call__; "
            f"found {'no such class' if found is None else 'none of ' + ', '.join(missing)}"
        )
    return found


def _load_file(kind: str, use: str, path: Path) -> ModuleType:
    """Import a user's file under a name of its own."""
    name = f"stempede_user_{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RecipeError(f"{kind} '{use}': {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name while it is still being run
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise RecipeError(
            f"{kind} '{use}': {path} cannot be run ({type(error).__name__}: {error}); correct it"
        ) from error
    return module
