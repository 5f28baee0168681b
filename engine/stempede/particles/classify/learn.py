"""Learn: from the tables of a run to a classifier, its card and its scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stempede.particles.classify.examples import Examples, examples
from stempede.particles.classify.features import SETS
from stempede.particles.classify.model_file import save
from stempede.particles.classify.sample_groups import sample_groups
from stempede.particles.classify.train import Say, Trained, train
from stempede.particles.classify.truth import true_shapes
from stempede.particles.terms import fields_of
from stempede.tables import Table

_SAYS = {
    "group": "classes are shape groups of the training run: what clustering made, not a truth",
    "sample": "classes are samples: they are told apart by whatever differs between them",
    "truth": "classes are the simulated shapes",
}


@dataclass(frozen=True)
class Learnt:
    """A classifier in memory.

    Parameters
    ----------
    trained : Trained
    card : dict
        What is known of it so far; ``save`` adds hash and size.
    tables : mapping of str to Table
        ``class_scores confusion sample_groups``.
    notes : tuple of str
        What was left out.
    """

    trained: Trained
    card: dict[str, Any]
    tables: Mapping[str, Table]
    notes: tuple[str, ...]

    def save(self, folder: Path | str, **facts: Any) -> dict[str, Any]:
        """Write the model and its card, with more facts, into a folder; return the card.

        Raises
        ------
        ModelError
            The folder cannot be written.
        """
        return save(Path(folder), self.trained.model, {**self.card, **facts})


def learn(
    frames: Table,
    particles: Table,
    labels: str = "group",
    *,
    truth: Mapping[str, Any] | None = None,
    features: str = "auto",
    trials: int = 30,
    seed: int = 0,
    most: int = 3_000,
    compare: bool = True,
    say: Say = lambda words: None,
) -> Learnt:
    """Learn to tell the groups, samples or true shapes of a run apart.

    Parameters
    ----------
    frames, particles : Table
        Of the run.
    labels : {"group", "sample", "truth"}
    truth : mapping of str to (m,) array, optional
        ``truth/particles`` of a simulated session.
    features : str
        Feature set of the model that is kept.
    trials : int
        Of the search for C and gamma.
    seed : int
        Same seed and tables, same model.
    most : int
        Particles looked at; the time grows with its square.
    compare : bool
        Judge the other feature sets beside it.
    say : callable, optional
        Takes a line on how far it is.

    Raises
    ------
    InputError
        There are not two classes to learn, or features are missing.
    """
    shapes = None if truth is None else true_shapes(frames, particles, truth)
    found = examples(frames, particles, labels, truth=shapes, most=most, seed=seed)
    trained = train(
        found, labels, features=features, trials=trials, seed=seed, compare=compare, say=say
    )
    tables = {**trained.tables, "sample_groups": sample_groups(frames, particles, seed)}
    return Learnt(trained, _card(found, trained, labels, frames, seed), tables, found.notes)


def _card(
    found: Examples, trained: Trained, labels: str, frames: Table, seed: int
) -> dict[str, Any]:
    terms = SETS[trained.features]
    names, counts = np.unique(found.label, return_counts=True)
    sizes = frames["pixel_size_nm"]
    sizes = sizes[np.isfinite(sizes)]
    kept = ("judged_against", "split", "measure", "score", "value", "ci_low", "ci_high", "n")
    scores = trained.tables["class_scores"].to_arrow().to_pylist()
    return {
        "labels": labels,
        "says": _SAYS[labels],
        "classes": list(trained.classes),
        "class_counts": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        "features": trained.features,
        "terms": list(terms),
        "fields": list(fields_of(terms, found.unit or "px")),
        "unit": found.unit or "px",
        "pixel_size_nm": float(np.median(sizes)) if len(sizes) else None,
        "C": trained.choice.C,
        "gamma": trained.choice.gamma,
        "trials": trained.choice.trials,
        "seed": seed,
        "n_fitted": trained.n_fitted,
        "n_examples": len(found),
        "n_frames": len(np.unique(found.image)),
        "notes": list(found.notes),
        "truth_names": dict(trained.truth_names),
        "scores": [
            {k: row[k] for k in (*kept, "says")}
            for row in scores
            if row["features"] == trained.features
        ],
    }
