"""Provenance: what ``run.json`` says of a run, and whether a recipe is still the same."""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
import platform
import socket
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from stempede import __version__
from stempede.errors import RecipeError, ResultsError
from stempede.frames import Frames
from stempede.recipe import Recipe, difference
from stempede.route import items_of

log = logging.getLogger("stempede")

_LIBRARIES = (
    "numpy",
    "scipy",
    "scikit-image",
    "scikit-learn",
    "numba",
    "zarr",
    "pyarrow",
    "distributed",
    "rosettasciio",
)


def beginning(recipe: Recipe, frames: Frames, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``run.json`` as a run begins; what JSON cannot hold is written as text.

    Parameters
    ----------
    recipe : Recipe
    frames : Frames
    facts : mapping
        ``options device workers threads chunks`` and more.
    """
    run = {
        "state": "running",
        "reduced": False,
        **recipe_facts(recipe),
        "origin": frames.origin,
        "notes": list(frames.notes),
        "versions": versions(),
        "host": socket.gethostname(),
        "started_at": now(),
        "n_frames": len(frames),
        "wall_s": 0.0,
        "measure_s": 0.0,
        "prepared": {},
        **facts,
    }
    content: dict[str, Any] = json.loads(json.dumps(run, default=str))
    return content


def recipe_facts(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as a run keeps it: text with every parameter, hash, user files."""
    files = {e.use.rpartition(":")[0] for e in recipe.entries if e.source_hash}
    return {
        "recipe": recipe.to_toml(),
        "recipe_name": recipe.name,
        "recipe_hash": recipe.hash,
        "recipe_origin": recipe.origin,
        "recipe_folder": str(recipe.folder),
        "recipe_overrides": list(recipe.overrides),
        "recipe_sources": {
            f: (recipe.folder / f).read_text(encoding="utf-8", errors="replace")
            for f in sorted(files)
        },
    }


def unchanged_recipe(run: Mapping[str, Any], believed: Recipe | str | Path | None) -> Recipe:
    """Return the recipe of a run, having compared it with what it is now.

    Compared are the run's own text (a default of a newer version, an edited user file), the
    file it was loaded from, and what the caller believes it to be.

    Raises
    ------
    ResultsError
        The recipe has changed; the difference is shown.
    """
    folder = Path(run["recipe_folder"])
    try:
        kept = Recipe.loads(run["recipe"], folder=folder, origin=run["recipe_origin"])
    except RecipeError as error:
        raise ResultsError(f"the recipe of this run cannot be used any more: {error}") from error
    for now, what in ((kept, "this version's"), *_others(run, believed)):
        if now.hash != run["recipe_hash"]:
            changes = difference(kept, now) or _changed_lines(run, kept)
            raise ResultsError(
                f"wanted the recipe this run began with, but {what} differs:\n"
                + "\n".join(f"  - {c}" for c in changes)
                + "\nput it back to resume, or start a new run with another --out"
            )
    versions = run.get("versions", {})
    if versions.get("stempede") != __version__:
        log.warning(
            "this run began with stempede %s; it goes on with %s",
            versions.get("stempede"),
            __version__,
        )
    return kept


def _changed_lines(run: Mapping[str, Any], kept: Recipe) -> list[str]:
    """Return how the recipe reads now against how it was written down."""
    before, after = run["recipe"].splitlines(), kept.to_toml().splitlines()
    words = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    for file, text in recipe_facts(kept)["recipe_sources"].items():
        if text != run["recipe_sources"].get(file):
            words.append(f"the text of {file} changed")
    return words


def _others(run: Mapping[str, Any], believed: Recipe | str | Path | None) -> list[tuple[Any, str]]:
    """Return the recipes that must agree with the run's own, where they can be had."""
    others = []
    origin = run["recipe_origin"]
    if origin.endswith(".toml") and Path(origin).is_file():
        try:
            there = Recipe.load(origin).set(*run["recipe_overrides"])
        except RecipeError as error:
            raise ResultsError(f"{origin} has changed since this run began: {error}") from error
        others.append((there, origin))
    if believed is not None:
        given = believed if isinstance(believed, Recipe) else Recipe.load(believed)
        others.append((given, "the recipe given"))
    return others


def totals(summaries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return counts, seconds per stage, bytes per stage and notes over all chunks."""
    items = items_of(name for s in summaries for name in s)
    names = ("frames", "measured", "problems", items, "accepted")
    timings: dict[str, float] = {}
    ledger: dict[str, dict[str, int]] = {}
    for s in summaries:
        for stage, seconds in s["timings"].items():
            timings[stage] = timings.get(stage, 0.0) + seconds
        for stage, moved in s["ledger"].items():
            book = ledger.setdefault(stage, {"up": 0, "down": 0})
            for direction in book:
                book[direction] += moved[direction]
    return {
        "counts": {name: sum(s[name] for s in summaries) for name in names},
        "timings": timings,
        "ledger": ledger,
        "run_notes": [note for s in summaries for note in s["notes"]],
    }


def versions() -> dict[str, str]:
    """Return the versions that decide the numbers."""
    found = {"stempede": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def hash_of(numbers: Mapping[str, Any]) -> str:
    """Return the sha256 of JSON-able numbers."""
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()


def now() -> str:
    """Return the time in ISO 8601, with its zone."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
