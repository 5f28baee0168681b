"""Train: learn classes from a run, and say how well they are told apart and by what.

Every feature set is judged twice: with a fifth of the particles held out, and with a fifth of
the images; particles of one image share its focus, thickness and neighbours, so that the second
is what new images will see. The model that is kept is the one of the held-out images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stempede.errors import InputError
from stempede.particles.classify import judge, svm
from stempede.particles.classify.examples import Examples
from stempede.particles.classify.features import SETS
from stempede.particles.classify.judge import Answers
from stempede.particles.classify.tables import (
    CLASS_SCORES,
    CONFUSION,
    CORRECT,
    SEPARABLE,
    TELLS_SAMPLES,
)
from stempede.particles.terms import has_shape
from stempede.tables import Table

LEAST_IMAGES = 5
_HELD_OUT = 5
_FOLDS = 10
_MOST_IMAGES_LEFT_OUT = 40
_MOST_WHERE_LEFT_OUT = 2_000
_OTHER_TRIALS = 8

_SAYS = {"group": SEPARABLE, "sample": TELLS_SAMPLES, "truth": CORRECT}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """A model and how it was judged.

    Parameters
    ----------
    model : object
        Fitted; classes are codes into ``classes``.
    classes : tuple of str
    features : str
        Name of its feature set.
    choice : Choice
        Its C and gamma.
    truth_names : mapping of str to str
        The truth that most particles of a class have, where a truth is known.
    n_fitted : int
        Particles it was fitted on.
    tables : mapping of str to Table
        ``class_scores`` and ``confusion``.
    """

    model: Any
    classes: tuple[str, ...]
    features: str
    choice: svm.Choice
    truth_names: Mapping[str, str]
    n_fitted: int
    tables: Mapping[str, Table]


def train(
    found: Examples,
    labels: str,
    *,
    features: str = "auto",
    trials: int = 30,
    seed: int = 0,
    compare: bool = True,
    say: Say = lambda words: None,
) -> Trained:
    """Learn the labels of examples.

    Parameters
    ----------
    found : Examples
    labels : {"group", "sample", "truth"}
        What the labels are; decides the words beside the numbers.
    features : str
        Set that the kept model uses; ``auto`` is ``all``, or ``without shape`` where p, d, L
        are not measured.
    trials : int
        Pairs of C and gamma tried for the kept model; at most 8 for the others.
    seed : int
    compare : bool
        Judge the other feature sets beside it; of samples, with and without p, d, L.
    say : callable, optional
        Takes a line on how far it is.

    Raises
    ------
    InputError
        The feature set is unknown, or the examples lack its fields.
    """
    kept = _set(features, found)
    classes, y = np.unique(found.label, return_inverse=True)
    work = _Work(found, classes, y.astype(np.int64), labels, seed)
    models: dict[str, _Fit] = {}
    others = tuple(found.features) if labels != "sample" else ("all", "without shape")
    others = others if compare else ()
    for name in [kept, *(n for n in others if n != kept and n in found.features)]:
        tried = trials if name == kept else min(trials, _OTHER_TRIALS)
        for split in ("particle", "image"):
            fitted = work.judge(name, split, tried, saved=name == kept)
            if fitted is not None and name == kept:
                models[split] = fitted
        say(f"{name}: {_headline(work.scores, name)}")
    if labels == "sample":
        work.leave_images_out(kept, models["particle"].choice)
    best = models.get("image") or models["particle"]
    rows = [{**r, "saved": r["saved"] and r["split"] == best.split} for r in work.scores]
    tables = {
        "class_scores": Table.from_rows(CLASS_SCORES, rows),
        "confusion": Table.from_rows(CONFUSION, work.confusion),
    }
    names = tuple(classes.tolist())
    n = best.n_fitted
    return Trained(best.model, names, kept, best.choice, best.truth_names, n, tables)


@dataclass(frozen=True)
class _Fit:
    model: Any
    split: str
    choice: svm.Choice
    n_fitted: int
    truth_names: Mapping[str, str]


class _Work:
    """Rows that grow while feature sets are judged."""

    def __init__(
        self, found: Examples, classes: np.ndarray, y: np.ndarray, labels: str, seed: int
    ) -> None:
        self.found, self.classes, self.y = found, classes, y
        self.labels, self.seed = labels, seed
        self.scores: list[dict[str, Any]] = []
        self.confusion: list[dict[str, Any]] = []

    def judge(self, name: str, split: str, trials: int, *, saved: bool) -> _Fit | None:
        """Search, hold a fifth out, and predict ten folds; None where images are too few."""
        x, y, found = self.found.features[name], self.y, self.found
        image = found.image if split == "image" else None
        if image is not None and len(np.unique(image)) < LEAST_IMAGES:
            return None
        train, test = svm.folds_of(y, image, _HELD_OUT, self.seed)[0]
        train = _with_members(train, y)
        if len(np.unique(y[train])) < 2:
            return None
        together = None if image is None else image[train]
        choice = svm.search(x[train], y[train], together, trials, self.seed)
        model = svm.fit(x[train], y[train], choice, self.seed) if saved else None
        names = judge.majority_names(found.label[train], found.truth[train])
        likeliest = self._likeliest(train)
        common = {**self._common(name, choice), "split": split, "note": self._lost(train)}
        if model is None:
            codes = svm.predict_folds(x, y, [(train, test)], choice)[test]
        else:
            codes, _ = svm.predict(model, x[test])
        held_out = {**common, "measure": "held out 20 %", "saved": saved}
        answers = self._answers(test, codes, likeliest)
        self._add(answers, held_out, confusion=True)
        self._add_truth(test, answers, held_out, names, confusion=True)
        folds = svm.folds_of(y, image, _FOLDS, self.seed)
        everything = np.arange(len(y))
        answers = self._answers(everything, svm.predict_folds(x, y, folds, choice), likeliest)
        crossed = {**common, "measure": f"{len(folds)}-fold", "saved": False}
        self._add(answers, crossed)
        self._add_truth(everything, answers, crossed, names)
        return _Fit(model, split, choice, len(train), names)

    def leave_images_out(self, name: str, choice: svm.Choice) -> None:
        """Predict images by all the others: samples by what single particles look like."""
        x, y, image = self.found.features[name], self.y, self.found.image
        chosen, note = self._to_leave_out()
        if not len(chosen):
            return
        some = svm.some_of_each(y, _MOST_WHERE_LEFT_OUT, self.seed, svm.LEAST_TO_FIT)
        folds = svm.images_left_out(image[some], chosen)
        predicted = svm.predict_folds(x[some], y[some], folds, choice)
        judged = predicted >= 0
        answers = self._answers(some[judged], predicted[judged], self._likeliest(some))
        common = {
            **self._common(name, choice),
            "split": "leave one image out",
            "measure": "each image left out",
            "saved": False,
            "note": note,
        }
        self._add(answers, common, confusion=True)
        self._add(judge.by_majority(answers), {**common, "measure": "images by majority"})

    def _to_leave_out(self) -> tuple[np.ndarray, str]:
        """Return the images to leave out, and in words which ones are not."""
        image, y = self.found.image, self.y
        images, notes, alone = [], [], []
        for code, name in enumerate(self.classes.tolist()):
            mine = np.unique(image[y == code])
            if len(mine) > 1:
                images.append(mine)
            else:
                alone.append(name)
        if alone:
            notes.append(f"one image only, so that it cannot be left out: {', '.join(alone)}")
        chosen = np.unique(np.concatenate(images)) if images else image[:0]
        if len(chosen) > _MOST_IMAGES_LEFT_OUT:
            notes.append(f"{_MOST_IMAGES_LEFT_OUT} of {len(chosen)} images, by seed")
            rng = np.random.default_rng(self.seed)
            chosen = np.sort(rng.choice(chosen, _MOST_IMAGES_LEFT_OUT, replace=False))
        return chosen, "; ".join(notes)

    def _likeliest(self, train: np.ndarray) -> str:
        return str(self.classes[np.bincount(self.y[train]).argmax()])

    def _lost(self, train: np.ndarray) -> str:
        there = np.unique(self.y[train])
        lost = np.delete(self.classes, there).tolist()
        return f"not among what was learnt from: {', '.join(lost)}" if lost else ""

    def _common(self, name: str, choice: svm.Choice) -> dict[str, Any]:
        return {
            "origin": f"train {self.labels}",
            "features": name,
            "n_features": len(SETS[name]),
            "with_shape": has_shape(SETS[name]),
            "C": choice.C,
            "gamma": choice.gamma,
            "trials": choice.trials,
        }

    def _answers(self, rows: np.ndarray, codes: np.ndarray, likeliest: str) -> Answers:
        found = self.found
        return Answers(found.label[rows], self.classes[codes], found.image[rows], likeliest)

    def _add(
        self,
        answers: Answers,
        common: Mapping[str, Any],
        against: str = "",
        *,
        confusion: bool = False,
    ) -> None:
        """Add the scores of answers, by default against the labels they were learnt from."""
        if not len(answers):
            return
        judged = against or self.labels
        row = {**common, "judged_against": judged, "says": _SAYS[judged]}
        self.scores += judge.score_rows(answers, row)
        if confusion:
            keys = ("origin", "judged_against", "features", "split")
            self.confusion += judge.confusion_rows(answers, {k: row[k] for k in keys})

    def _add_truth(
        self,
        rows: np.ndarray,
        answers: Answers,
        common: Mapping[str, Any],
        names: Mapping[str, str],
        *,
        confusion: bool = False,
    ) -> None:
        """Add the scores of groups against the truth, each group standing for its commonest."""
        truth = self.found.truth[rows]
        known = truth != ""
        if self.labels != "group" or not known.any():
            return
        called = judge.renamed(answers.predicted[known], names)
        likeliest = str(names.get(answers.likeliest, ""))
        these = Answers(truth[known], called, answers.image[known], likeliest)
        self._add(these, common, "truth", confusion=confusion)


def _set(features: str, found: Examples) -> str:
    if features == "auto":
        return "all" if "all" in found.features else "without shape"
    if features in found.features:
        return features
    if features in SETS:
        raise InputError(
            f"feature set '{features}' wants p, d, L, which this run has not measured; add "
            f"particles.shapes to the recipe or take one of {', '.join(found.features)}"
        )
    raise InputError(f"feature set is auto or one of {', '.join(SETS)}; found '{features}'")


def _with_members(train: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the rows whose class has enough members among them."""
    counts = np.bincount(y[train])
    return train[counts[y[train]] >= svm.LEAST_TO_FIT]


def _headline(scores: list[dict[str, Any]], name: str) -> str:
    """Return the held-out accuracies of a feature set in words."""
    found = [
        f"{r['value']:.1%} by {r['split']}"
        for r in scores
        if r["features"] == name
        and r["measure"] == "held out 20 %"
        and r["score"] == "accuracy"
        and r["origin"] == f"train {r['judged_against']}"
    ]
    return ", ".join(found) + " told apart"
