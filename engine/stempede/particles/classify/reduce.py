"""Reductions: the class of every particle, and the shares of groups and classes per sample."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stempede.errors import ModelError, RecipeError
from stempede.particles.classify import judge, svm
from stempede.particles.classify.examples import known_labels
from stempede.particles.classify.features import unit_of
from stempede.particles.classify.judge import Answers
from stempede.particles.classify.model_file import ModelFile, load, read_card
from stempede.particles.classify.sample_groups import sample_groups
from stempede.particles.classify.tables import (
    AGREES,
    CLASS_FIELDS,
    CLASS_SCORES,
    CONFUSION,
    text,
)
from stempede.particles.terms import SHAPE_FIELDS, fields_of, has_shape, has_size, matrix
from stempede.tables import Table

log = logging.getLogger("stempede")

ORIGIN = "classify"
_FINER = 2.0
_ROWS = 200_000


@dataclass(frozen=True)
class Samples:
    """Shares of groups, and of classes where particles have one, in each sample."""

    name: ClassVar[str] = "particles.samples"
    reads: ClassVar[tuple[str, ...]] = ("frames", "particles")
    writes: ClassVar[tuple[str, ...]] = ("sample_groups",)

    def __call__(self, tables: Mapping[str, Table]) -> dict[str, Table]:
        """Return the tables this reduction writes."""
        return {"sample_groups": sample_groups(tables["frames"], tables["particles"])}


@dataclass(frozen=True)
class Classify:
    """Give every accepted particle the class of a model, with its probability.

    Parameters
    ----------
    model : str
        Folder that ``stempede train classifier`` wrote.
    sha256 : str
        Hash of the model file; where given, another file is refused. It makes the model part
        of the recipe's own hash.
    any_scale : bool
        Use a model that was learnt in px, without calibration, in spite of that.
    """

    model: str = ""
    sha256: str = ""
    any_scale: bool = False

    name: ClassVar[str] = "particles.classify"
    reads: ClassVar[tuple[str, ...]] = ("frames", "particles")
    writes: ClassVar[tuple[str, ...]] = (
        "particles",
        "class_scores",
        "confusion",
        "sample_groups",
    )

    def __post_init__(self) -> None:
        if self.sha256 and read_card(self.model)["sha256"] != self.sha256:
            raise RecipeError(
                f"the classifier in {self.model} is not the one this recipe was made with; "
                f"put it back, or classify anew"
            )

    def __call__(self, tables: Mapping[str, Table]) -> dict[str, Table]:
        """Return the tables this reduction writes."""
        if not self.model:
            raise RecipeError("particles.classify wants model; name the folder of a classifier")
        found = load(self.model)
        frames, particles = tables["frames"], tables["particles"]
        named, p = classes_of(particles, found, any_scale=self.any_scale)
        _say_what_is_missing(named, particles, found)
        schema = particles.schema.extended(*CLASS_FIELDS)
        given = {**particles.columns, "class_name": named, "p_class": p}
        classified = Table(schema, given)
        scores, confusion = _agreement(frames, classified, found.card)
        return {
            "particles": classified,
            "class_scores": scores,
            "confusion": confusion,
            "sample_groups": sample_groups(frames, classified),
        }


def classes_of(
    particles: Table, found: ModelFile, *, any_scale: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return (n,) class names, empty where none can be given, and (n,) probabilities.

    Raises
    ------
    ModelError
        The model wants features that this run has not, or another scale.
    """
    card = found.card
    accepted = np.asarray(particles["accepted"])
    unit = _unit(particles, card, any_scale=any_scale)
    names = np.array(card["classes"], dtype=np.str_)
    named = np.full(len(particles), "", dtype=names.dtype)
    p = np.full(len(particles), np.nan)
    for start in range(0, len(particles), _ROWS):
        block = slice(start, start + _ROWS)
        x = matrix(particles, card["terms"], unit, block)
        usable = start + np.flatnonzero(accepted[block] & np.isfinite(x).all(axis=1))
        if len(usable):
            codes, p[usable] = svm.predict(found.model, x[usable - start])
            named[usable] = names[codes]
    if accepted.any() and not np.isfinite(p).any():
        raise ModelError(_nothing_to_look_at(particles.take(accepted), card, unit))
    return named, p


def _unit(particles: Table, card: Mapping[str, Any], *, any_scale: bool) -> str:
    """Return the unit in which features are computed, or raise where scales do not meet."""
    if not has_size(card["terms"]):
        return "px"
    if card["unit"] == "nm":
        return "nm"
    if unit_of(particles) == "nm" and len(particles) and not any_scale:
        raise ModelError(
            "this classifier was learnt in px, from images without calibration; these have one, "
            "so that sizes cannot be compared; train on calibrated images, use --features "
            "'shape alone', or say --any-scale if the magnification is the same"
        )
    if not any_scale:
        log.warning(
            "the classifier was learnt in px: classes hold if the magnification is the same, "
            "which nothing here can tell"
        )
    return "px"


def _nothing_to_look_at(accepted: Table, card: Mapping[str, Any], unit: str) -> str:
    lacking = [f for f in fields_of(card["terms"], unit) if not np.isfinite(accepted[f]).any()]
    if any(f.endswith(("_nm", "_nm2")) for f in lacking):
        return (
            "this classifier wants sizes in nm, but these images have no calibration; give "
            "--pixel-size-nm, or train without sizes (--features 'shape alone')"
        )
    if set(lacking) & set(SHAPE_FIELDS):
        return (
            f"this classifier wants {', '.join(lacking)}, which this run has not measured; add "
            f"particles.shapes to its recipe, or train with --features 'without shape'"
        )
    wanted = ", ".join(lacking or fields_of(card["terms"], unit))
    return f"this classifier wants {wanted}, but no particle has them all; run again"


def _say_what_is_missing(named: np.ndarray, particles: Table, found: ModelFile) -> None:
    """Log classes that do not occur, particles without a class, and a coarser scale."""
    accepted = np.asarray(particles["accepted"])
    there = set(named.tolist())
    absent = [name for name in found.card["classes"] if name not in there]
    if absent:
        log.info("no particle of this session is of class %s", ", ".join(absent))
    without = int((accepted & (named == "")).sum())
    if without:
        log.info("%d of %d particles lack a feature and get no class", without, accepted.sum())
    scale = _pixel_size(particles)
    learnt = found.card.get("pixel_size_nm")
    if scale and learnt and not 1 / _FINER <= scale / learnt <= _FINER:
        log.warning(
            "the classifier was learnt at %.3g nm/px, these images have %.3g nm/px: outlines "
            "are drawn more or less finely, and classes may shift",
            learnt,
            scale,
        )


def _pixel_size(particles: Table) -> float | None:
    ratio = particles["major_axis_nm"] / np.where(
        particles["major_axis_px"] > 0, particles["major_axis_px"], np.nan
    )
    ratio = ratio[np.isfinite(ratio)]
    return float(np.median(ratio)) if len(ratio) else None


def _agreement(frames: Table, particles: Table, card: Mapping[str, Any]) -> tuple[Table, Table]:
    """Return how classes agree with what this run knows of the same kind."""
    labels = str(card["labels"])
    named, known = text(particles["class_name"]), known_labels(frames, particles, labels)
    rows = np.flatnonzero((named != "") & (known != ""))
    named, known = named[rows], known[rows]
    common = score_facts(card) | {"judged_against": labels, "says": AGREES}
    if labels == "group":
        # the groups of two runs have numbers of their own
        named = judge.renamed(named, judge.majority_names(named, known))
        common["note"] = "each class stands for the group that most of its particles are in"
    elif labels == "truth" or not set(np.unique(known)) <= set(card["classes"]):
        rows = rows[:0]
    if not len(rows):
        return Table.empty(CLASS_SCORES), Table.empty(CONFUSION)
    names, counts = np.unique(known, return_counts=True)
    image = np.asarray(particles["frame"])[rows]
    answers = Answers(known, named, image, str(names[counts.argmax()]))
    keys = ("origin", "judged_against", "features", "split")
    confusion = judge.confusion_rows(answers, {k: common[k] for k in keys})
    scores = judge.score_rows(answers, common)
    return Table.from_rows(CLASS_SCORES, scores), Table.from_rows(CONFUSION, confusion)


def score_facts(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return what rows of ``class_scores`` say of a model that is applied to a session."""
    return {
        "origin": ORIGIN,
        "features": card["features"],
        "n_features": len(card["terms"]),
        "with_shape": has_shape(card["terms"]),
        "split": "session",
        "measure": "all classified",
        "C": card.get("C"),
        "gamma": card.get("gamma"),
        "trials": card.get("trials"),
        "saved": True,
    }
