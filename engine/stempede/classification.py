"""Classification: learn a classifier from a run, and apply it to a run that is done.

stempede.train_classifier("run", "model", labels="group")
stempede.classify_run("other_run", "model")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stempede.errors import ModelError, ResultsError
from stempede.frames import Frames
from stempede.provenance import now, versions
from stempede.recipe import Recipe
from stempede.stage import door, find
from stempede.tables import Table

USE = "particles.classify"
_FIELDS = ("frame", "y_px", "x_px", "shape", "visible")


def train_classifier(
    run: str | Path,
    out: str | Path | None = None,
    *,
    labels: str = "group",
    truth: str | Path | None = None,
    say: Callable[[str], None] = lambda words: None,
    **options: Any,
) -> dict[str, Any]:
    """Learn to tell the particles of a run apart, and write the classifier and its scores.

    ``class_scores``, ``confusion`` and ``sample_groups`` go into the run.

    Parameters
    ----------
    run : path
        A finished run of the particles route.
    out : path, optional
        Folder of the classifier; by default ``classifier-<labels>`` in the run.
    labels : {"group", "sample", "truth"}
        Shape groups, samples, or the simulated truth.
    truth : path, optional
        ``truth`` folder of a simulated session; found by itself beside ``session.zarr``.
    say : callable, optional
        Takes a line on how far it is.
    **options
        ``features trials seed most compare`` of ``particles.classify.learn``.

    Returns
    -------
    dict
        The card, with ``path`` and ``notes``.

    Raises
    ------
    ResultsError
        There is no finished run, or another process writes into it.
    InputError
        There are not two classes to learn.
    ModelError
        The folder cannot be written.
    """
    results = _done(run)
    frames, particles = results.read("frames"), results.read("particles")
    known = read_truth(results, frames, truth)
    learnt = door("learn")(frames, particles, labels, truth=known, say=say, **options)
    record = results.run
    folder = Path(out) if out is not None else results.path / f"classifier-{labels}"
    training = {
        "run": str(results.path),
        "origin": record.get("origin"),
        "recipe": record["recipe"],
        "recipe_hash": record["recipe_hash"],
        "trained_at": now(),
    }
    card = learnt.save(folder, training=training, versions=versions())
    _write(results, learnt.tables)
    return {**card, "path": str(folder)}


def classify_run(
    run: str | Path, model: str | Path, *, any_scale: bool = False, truth: str | Path | None = None
) -> dict[str, Any]:
    """Add ``class_name`` and ``p_class`` to the particles of a finished run.

    Nothing is measured anew. ``class_scores``, ``confusion`` and ``sample_groups`` are
    written beside; of a simulated session the scores against its truth are among them.

    Parameters
    ----------
    run, model : path
    any_scale : bool
        Use a classifier learnt in px in spite of that.
    truth : path, optional

    Returns
    -------
    dict
        Number of particles by class.

    Raises
    ------
    ResultsError, ModelError
        The run or the classifier cannot be used; the run stays as it was.
    """
    results = _done(run)
    card = door("classifier_card")(model)
    where = str(Path(model).absolute())
    made = find("reduce", USE)(model=where, sha256=card["sha256"], any_scale=any_scale)
    tables = {name: results.read(name) for name in made.reads}
    written = dict(made(tables))
    with results.lock:
        results.write_table("particles", written.pop("particles"), results.run["chunks"])
    _write(results, written)
    judge_by_truth(results, card, truth)
    results.update(classified={"model": where, "sha256": card["sha256"], "at": now()})
    return counts_of_classes(results, card)


def classifying(
    model: str | Path, recipe: Recipe | str | Path | None = None, *, any_scale: bool = False
) -> Recipe:
    """Return a recipe that measures as the training run did, and classifies at the end.

    Parameters
    ----------
    model : path
        Folder of a classifier.
    recipe : optional
        By default the recipe of the training run, which the card holds.

    Raises
    ------
    ModelError
        The classifier cannot be used, or its recipe names a file of its own.
    RecipeError
        The recipe has mistakes.
    """
    card = door("classifier_card")(model)
    door("classifier")(model)
    if recipe is None:
        text = str(card.get("training", {}).get("recipe", ""))
        if not text or ".py:" in text:
            # code that a downloaded card names must not run by itself
            why = "names Python files" if text else "is not in its card"
            raise ModelError(
                f"the recipe of the classifier in {model} {why}; give it with --recipe"
            )
        recipe = Recipe.loads(text)
    chosen = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    _refuse_unmeasured(card, chosen)
    added = {
        "model": str(Path(model).absolute()),
        "sha256": card["sha256"],
        "any_scale": any_scale,
    }
    return chosen.with_entry("reduce", USE, added)


def refuse_uncalibrated(model: str | Path, frames: Frames) -> None:
    """Raise where a classifier wants sizes in nm and no image has a calibration.

    For images without a scale bar that is still to be measured; nothing has run yet.

    Raises
    ------
    ModelError
    """
    card = door("classifier_card")(model)
    sized = any(f.endswith(("_nm", "_nm2")) for f in card.get("fields", ()))
    if sized and all(r.calibration.pixel_size_y_nm is None for r in frames.records):
        raise ModelError(
            f"the classifier in {model} wants sizes in nm, but no image has a calibration; give "
            f"--pixel-size-nm or --scale-bar-nm, or train with --features 'shape alone'"
        )


def _refuse_unmeasured(card: Mapping[str, Any], recipe: Recipe) -> None:
    measured = {e.use for e in recipe.entries}
    wanted = [f for f in ("p", "d", "l_ratio") if f in card.get("fields", ())]
    if wanted and "particles.shapes" not in measured:
        raise ModelError(
            f"this classifier wants {', '.join(wanted)}, which the recipe '{recipe.name}' does not "
            f"measure; add particles.shapes to it, or train with --features 'without shape'"
        )


def judge_by_truth(results: Any, card: Mapping[str, Any], truth: str | Path | None = None) -> bool:
    """Add the scores against the truth of a simulated session; False where there is none."""
    frames = results.read("frames")
    known = read_truth(results, frames, truth)
    if known is None:
        return False
    particles = results.read("particles")
    shapes = door("true_shapes")(frames, particles, known)
    _write(results, door("against_truth")(particles, shapes, card))
    return True


def counts_of_classes(results: Any, card: Mapping[str, Any]) -> dict[str, int]:
    """Return how many accepted particles each class has, absent ones with 0."""
    particles = results.read("particles")
    named = [str(n) for n in particles["class_name"][particles["accepted"]].tolist()]
    return {str(name): named.count(str(name)) for name in card["classes"]}


def read_truth(
    results: Any, frames: Table, folder: str | Path | None = None
) -> dict[str, Any] | None:
    """Return what is known of the simulated particles of a run, None of a real one.

    Parameters
    ----------
    results : Results
    frames : Table
    folder : path, optional
        By default ``truth`` beside the ``session.zarr`` that all frames came from.

    Raises
    ------
    ResultsError
        The folder that was named holds no truth of particles.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    sources = {str(s) for s in frames["source"].tolist()}
    beside = Path(next(iter(sources))).parent / "truth" if len(sources) == 1 else None
    path = Path(folder) if folder is not None else beside
    if path is None or not (path / "particles.parquet").is_file():
        if folder is None:
            return None
        raise ResultsError(f"wanted particles.parquet in {folder}, found none; check --truth")
    try:
        found = pq.read_table(path / "particles.parquet", columns=list(_FIELDS))
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ResultsError(f"{path} holds no truth of particles ({error})") from error
    return {name: found.column(name).to_numpy() for name in _FIELDS}


def _done(run: str | Path) -> Any:
    results = door("results")(run)
    record = results.run
    if "particles" not in results.tables():
        raise ResultsError(f"{results.path} has no particles; a classifier wants a particles run")
    if record.get("state") != "done":
        raise ResultsError(
            f"{results.path} is not finished (state: {record.get('state')}); "
            f"finish it with 'stempede resume {results.path}'"
        )
    return results


def _write(results: Any, tables: Mapping[str, Table]) -> None:
    """Write tables into a run; rows of other origins stay."""
    there = set(results.tables())
    with results.lock:
        for name, new in tables.items():
            old = results.read(name) if name in there and name != "sample_groups" else None
            results.write_table(name, door("merged_scores")(old, new))
