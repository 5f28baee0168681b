"""Judge: shares of right answers with intervals that know images, and tables of confusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from stempede.particles.clusters import LEAST_FRAMES, LEVEL, Estimate


@dataclass(frozen=True)
class Answers:
    """What particles are and what a model calls them.

    Parameters
    ----------
    actual, predicted : (n,) array of str
        Empty predictions count as wrong; rows of empty truth are left out before.
    image : (n,) int64 array
        Frame of each.
    likeliest : str
        The class that one would always name who cannot tell: the largest in training.
    """

    actual: np.ndarray
    predicted: np.ndarray
    image: np.ndarray
    likeliest: str = ""

    def __len__(self) -> int:
        return len(self.actual)


def accuracies(answers: Answers) -> dict[str, Estimate]:
    """Estimate ``accuracy`` and ``balanced accuracy`` (the mean over classes).

    The variance comes from leaving out one image at a time; fewer than five images give no
    interval. NaN for no answers.
    """
    if not len(answers):
        return {name: Estimate(np.nan) for name in ("accuracy", "balanced accuracy")}
    names, code = np.unique(answers.actual, return_inverse=True)
    images, unit = np.unique(answers.image, return_inverse=True)
    shape = (len(images), len(names))
    hit = np.asarray(answers.actual == answers.predicted, dtype=np.float64)
    cell = unit * shape[1] + code
    hits = np.bincount(cell, hit, minlength=shape[0] * shape[1]).reshape(shape)
    total = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    whole = _both(hits.sum(axis=0)[None], total.sum(axis=0)[None])[0]
    left_out = _both(hits.sum(axis=0) - hits, total.sum(axis=0) - total)
    return {
        name: _with_interval(float(whole[k]), left_out[:, k], len(answers))
        for k, name in enumerate(("accuracy", "balanced accuracy"))
    }


def _both(hits: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return (m, 2) accuracy and balanced accuracy of (m, classes) counts."""
    with np.errstate(divide="ignore", invalid="ignore"):
        plain = hits.sum(axis=1) / total.sum(axis=1)
        recall = hits / total
    seen = total > 0
    balanced = np.where(seen, recall, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    return np.stack([plain, balanced], axis=1)


def _with_interval(value: float, left_out: np.ndarray, n_answers: int) -> Estimate:
    n = len(left_out)
    if n < LEAST_FRAMES or not np.isfinite(left_out).all():
        return Estimate(value)
    if value in (0.0, 1.0):
        # images that are all alike tell no spread: the exact bound of as many particles
        bound = ((1 - LEVEL) / 2) ** (1 / n_answers)
        return Estimate(value, 0.0, *((bound, 1.0) if value else (0.0, 1 - bound)))
    se = float(np.sqrt((n - 1) / n * ((left_out - value) ** 2).sum()))
    half = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1)) * se
    return Estimate(value, se, max(value - half, 0.0), min(value + half, 1.0))


def chance(answers: Answers) -> dict[str, float]:
    """Return both scores of always naming the likeliest class."""
    if not len(answers):
        return {"accuracy": np.nan, "balanced accuracy": np.nan}
    share = float((answers.actual == answers.likeliest).mean())
    return {"accuracy": share, "balanced accuracy": 1.0 / len(np.unique(answers.actual))}


def score_rows(answers: Answers, common: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return rows of ``class_scores`` for some answers."""
    guessed = chance(answers)
    return [
        {
            **common,
            "score": name,
            "value": found.value,
            "ci_low": found.ci_low,
            "ci_high": found.ci_high,
            "chance": guessed[name],
            "n": len(answers),
            "n_frames": len(np.unique(answers.image)),
            "n_classes": len(np.unique(answers.actual)),
        }
        for name, found in accuracies(answers).items()
    ]


def by_majority(answers: Answers) -> Answers:
    """Return one answer per image: the class that most of its particles are called.

    An image holds particles of one label (its sample).
    """
    actual, predicted, images = [], [], np.unique(answers.image)
    for image in images:
        rows = answers.image == image
        names, counts = np.unique(answers.predicted[rows], return_counts=True)
        actual.append(answers.actual[rows][0])
        predicted.append(names[counts.argmax()])
    return Answers(np.array(actual), np.array(predicted), images, answers.likeliest)


def confusion_rows(answers: Answers, common: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return rows of ``confusion``: every actual label against every predicted one."""
    rows = []
    predicted = sorted(set(answers.predicted.tolist()) | set(answers.actual.tolist()))
    for actual in np.unique(answers.actual).tolist():
        mine = answers.predicted[answers.actual == actual]
        for name in predicted:
            n = int((mine == name).sum())
            pair = {"actual": actual, "predicted": name, "n": n, "fraction": n / len(mine)}
            rows.append({**common, **pair})
    return rows


def majority_names(label: np.ndarray, truth: np.ndarray) -> dict[str, str]:
    """Return for each label the truth that most of its particles have.

    Parameters
    ----------
    label, truth : (n,) array of str
        Rows of empty truth are not counted.
    """
    names: dict[str, str] = {}
    for name in np.unique(label).tolist():
        found = truth[(label == name) & (truth != "")]
        if len(found):
            kinds, counts = np.unique(found, return_counts=True)
            names[name] = str(kinds[counts.argmax()])
    return names


def renamed(labels: np.ndarray, names: Mapping[str, str]) -> np.ndarray:
    """Return labels under other names; one without a name becomes empty."""
    known: Sequence[str] = [names.get(str(label), "") for label in labels.tolist()]
    return np.array(known, dtype=np.str_)
