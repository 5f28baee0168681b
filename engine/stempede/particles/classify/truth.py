"""Truth: which simulated particle each measured one is, and what its shape is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from stempede.particles.classify import judge
from stempede.particles.classify.judge import Answers
from stempede.particles.classify.reduce import score_facts
from stempede.particles.classify.tables import CLASS_SCORES, CONFUSION, CORRECT, text
from stempede.tables import Table

# centres of one particle lie closer than this share of its diameter
_NEAR = 0.35
_VISIBLE = 0.5
ORIGIN = "classify, truth"


def true_shapes(frames: Table, particles: Table, truth: Mapping[str, Any]) -> np.ndarray:
    """Return (n,) the true shape of each accepted particle, empty where none is known.

    A measured and a simulated particle are one if each is the other's nearest and their
    centres lie closer than 0.35 diameters.

    Parameters
    ----------
    frames, particles : Table
        Of the run.
    truth : mapping of str to (m,) array
        ``frame`` (image of the session), ``y_px x_px shape visible``.
    """
    page = dict(zip(frames["frame"].tolist(), frames["page"].tolist(), strict=True))
    named = np.full(len(particles), "", dtype=object)
    seen = np.asarray(truth["visible"]) > _VISIBLE
    accepted = np.asarray(particles["accepted"])
    for frame in np.unique(particles["frame"][accepted]).tolist():
        mine = np.flatnonzero(accepted & (particles["frame"] == frame))
        theirs = np.flatnonzero(seen & (np.asarray(truth["frame"]) == page[frame]))
        if not len(theirs):
            continue
        here = np.stack([particles["y_px"][mine], particles["x_px"][mine]], axis=1)
        there = np.stack([truth["y_px"][theirs], truth["x_px"][theirs]], axis=1)
        distance, nearest = cKDTree(there).query(here)
        _, back = cKDTree(here).query(there)
        near = distance < _NEAR * particles["equivalent_diameter_px"][mine]
        one = near & (back[nearest] == np.arange(len(mine)))
        named[mine[one]] = np.asarray(truth["shape"], dtype=object)[theirs[nearest[one]]]
    return named.astype(np.str_)


def against_truth(
    particles: Table, shapes: np.ndarray, card: Mapping[str, Any]
) -> dict[str, Table]:
    """Return ``class_scores`` and ``confusion`` of a classified run against the truth.

    Groups stand for the true shape that most of their particles had in training; classes that
    are samples have no truth.

    Parameters
    ----------
    particles : Table
        With ``class_name``.
    shapes : (n,) array of str
        From ``true_shapes``.
    card : mapping
        Of the classifier.
    """
    called = text(particles["class_name"])
    names = dict(card.get("truth_names", {}))
    rows = np.flatnonzero((shapes != "") & (called != ""))
    scores: list[dict[str, Any]] = []
    confusion: list[dict[str, Any]] = []
    if names and len(rows) and card["labels"] != "sample":
        counts = card.get("class_counts", {})
        likeliest = names.get(max(counts, key=counts.__getitem__, default=""), "")
        told = judge.renamed(called[rows], names)
        image = np.asarray(particles["frame"])[rows]
        answers = Answers(shapes[rows], told, image, likeliest)
        facts = score_facts(card)
        row = {**facts, "origin": ORIGIN, "judged_against": "truth", "says": CORRECT}
        scores = judge.score_rows(answers, row)
        keys = ("origin", "judged_against", "features", "split")
        confusion = judge.confusion_rows(answers, {k: row[k] for k in keys})
    return {
        "class_scores": Table.from_rows(CLASS_SCORES, scores),
        "confusion": Table.from_rows(CONFUSION, confusion),
    }
