"""Prepare: what is found once, on the first usable frames, before any frame is measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

from stempede.backend import Backend
from stempede.errors import ResultsError, StempedeError
from stempede.frames import Batch, Frames
from stempede.provenance import hash_of
from stempede.recipe import Recipe
from stempede.stage import Prepare


class FirstUsable(Sequence[Batch]):
    """The first frames that can be read, in frame order, each a batch of its own.

    A batch is read when it is asked for, so that memory holds one frame however many there
    are; which frames are usable depends on the files alone.

    Parameters
    ----------
    frames : Frames
    k : int
        How many.
    backend : Backend
    """

    def __init__(self, frames: Frames, k: int, backend: Backend) -> None:
        self._frames, self._backend = frames, backend
        self._prepared: Mapping[str, Mapping[str, Any]] = {}
        self._numbers: list[int] = []
        for record in frames.readable:
            if len(self._numbers) == k:
                break
            if _usable(frames, record.frame):
                self._numbers.append(record.frame)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Frame numbers, in the order of the frames."""
        return tuple(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, k: int) -> Batch: ...
    @overload
    def __getitem__(self, k: slice) -> list[Batch]: ...
    def __getitem__(self, k: int | slice) -> Batch | list[Batch]:
        if isinstance(k, slice):
            return [self[i] for i in range(*k.indices(len(self)))]
        batch = self._frames.read([self._numbers[k]], self._backend)
        return replace(batch, prepared=self._prepared)

    def find_all(self, prepares: Iterable[Prepare]) -> dict[str, dict[str, Any]]:
        """Return the numbers of each Prepare by its name; each knows those of the ones before."""
        prepared: dict[str, dict[str, Any]] = {}
        for prepare in prepares:
            prepared[prepare.name] = self.find(prepare, prepared)
        return prepared

    def find(self, prepare: Prepare, known: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Return the numbers of a Prepare, empty where no frame is usable.

        Parameters
        ----------
        prepare : Prepare
        known : mapping
            What earlier ones found; in ``batch.prepared``.

        Raises
        ------
        ResultsError
            It failed, or returned what JSON cannot hold.
        """
        if not len(self):
            return {}
        self._prepared = dict(known)
        try:
            found: dict[str, Any] = json.loads(json.dumps(prepare(self)))
        except StempedeError:
            raise
        except Exception as error:
            raise ResultsError(
                f"prepare '{prepare.name}' failed on the first {len(self)} frames "
                f"({type(error).__name__}: {error}); correct it or take it out of the recipe"
            ) from error
        return found


def prepare_run(
    results: Any, recipe: Recipe, frames: Frames, backend: Backend
) -> dict[str, dict[str, Any]]:
    """Return the numbers of each Prepare of a run: read where they are, else found and kept.

    Parameters
    ----------
    results : Results
        Run folder.
    recipe : Recipe
    frames : Frames
        In the order in which the first usable ones are taken.
    backend : Backend

    Raises
    ------
    ResultsError
        A Prepare failed, or its numbers are not those this run began with.
    """
    prepared: dict[str, dict[str, Any]] = {}
    hashes: dict[str, str] = dict(results.run["prepared"])
    first: FirstUsable | None = None
    for prepare in recipe.of_kind("prepare"):
        numbers = results.read_prepared(prepare.name)
        if numbers is None:
            first = first or FirstUsable(frames, recipe.prepare_frames, backend)
            numbers = first.find(prepare, prepared)
            results.write_prepared(prepare.name, numbers)
        if hashes.setdefault(prepare.name, hash_of(numbers)) != hash_of(numbers):
            raise ResultsError(
                f"prepared/{prepare.name}.json is not what this run began with; start a new run"
            )
        prepared[prepare.name] = numbers
    results.update(prepared=hashes)
    return prepared


def _usable(frames: Frames, number: int) -> bool:
    try:
        frames.load(frames.select([number]).records[0])
    except StempedeError:
        return False
    return True
