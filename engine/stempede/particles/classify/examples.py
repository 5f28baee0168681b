"""Examples: the particles a classifier learns from, what they are called, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stempede.errors import InputError
from stempede.particles.classify.features import SETS, unit_of
from stempede.particles.classify.svm import some_of_each
from stempede.particles.terms import SHAPE_FIELDS, fields_of, has_shape, has_size, matrix
from stempede.tables import Table

LABELS = ("group", "sample", "truth")
LEAST_MEMBERS = 20
"""Particles that a class must have to be learnt."""

_FLOOR = 50
_DRAWN_FROM = 20


@dataclass(frozen=True)
class Examples:
    """Particles with labels and every feature.

    Parameters
    ----------
    features : mapping of str to (n, terms) float64 array
        By the name of the feature set; finite.
    label : (n,) array of str
        What is to be learnt.
    truth : (n,) array of str
        The simulated truth; empty where there is none.
    image : (n,) int64 array
        Frame of each.
    unit : str
        Of sized features, ``nm`` or ``px``.
    notes : tuple of str
        What was left out, in words.
    """

    features: Mapping[str, np.ndarray]
    label: np.ndarray
    truth: np.ndarray
    image: np.ndarray
    unit: str
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.label)


def examples(
    frames: Table,
    particles: Table,
    labels: str,
    *,
    truth: np.ndarray | None = None,
    most: int = 3_000,
    seed: int = 0,
) -> Examples:
    """Return what a classifier can learn from a run.

    Parameters
    ----------
    frames, particles : Table
        Of the run.
    labels : {"group", "sample", "truth"}
        Shape groups, sample labels of the frames, or the simulated truth.
    truth : (n,) array of str, optional
        Name of the true shape of each particle, empty where it is not known.
    most : int
        Particles that are looked at; above that a seeded draw, classes by their shares but
        none below 50.
    seed : int

    Raises
    ------
    InputError
        There are not two classes of 20 particles with all features.
    """
    if labels not in LABELS:
        raise InputError(
            f"labels is one of {', '.join(LABELS)}; found '{labels}'; correct --labels"
        )
    given = _labels(frames, particles, labels, truth)
    kept = np.flatnonzero(np.asarray(particles["accepted"]) & (given != ""))
    unit = unit_of(particles)
    # features of ten million particles are not needed to learn from a few thousand
    kept = kept[some_of_each(given[kept], _DRAWN_FROM * most, seed, _DRAWN_FROM * _FLOOR)]
    names, notes = _usable_sets(particles, kept)
    needed = [t for name in names for t in SETS[name]]
    whole = np.isfinite(matrix(particles, dict.fromkeys(needed), unit, kept)).all(axis=1)
    if len(kept) and not whole.all():
        lacking = [f for f in fields_of(needed, unit) if not np.isfinite(particles[f][kept]).all()]
        notes.append(
            f"{int((~whole).sum())} of {len(kept)} particles lack a feature "
            f"({', '.join(lacking)}) and are left out"
        )
    kept = kept[whole]
    kept, left_out = _large_classes(given, kept)
    notes += left_out
    _refuse_too_few(given[kept], labels, notes)
    chosen = some_of_each(given[kept], most, seed, _FLOOR)
    if len(chosen) < len(kept):
        notes.append(f"a seeded draw of {len(chosen)} of {len(kept)} particles was looked at")
    kept = kept[chosen]
    known = np.full(len(particles), "", dtype=np.str_) if truth is None else truth
    return Examples(
        {name: matrix(particles, SETS[name], unit, kept) for name in names},
        given[kept],
        known[kept],
        np.asarray(particles["frame"])[kept],
        unit if any(has_size(SETS[name]) for name in names) else "",
        tuple(notes),
    )


def known_labels(frames: Table, particles: Table, labels: str) -> np.ndarray:
    """Return (n,) labels of one kind, ``group`` or ``sample``; empty where there are none."""
    if labels == "group":
        group = np.asarray(particles["group"])
        return np.where(group >= 0, np.char.add("group ", group.astype(np.str_)), "")
    if labels == "sample":
        names = map(str, frames["sample"].tolist())
        sample = dict(zip(frames["frame"].tolist(), names, strict=True))
        return np.array([sample.get(f, "") for f in particles["frame"].tolist()], dtype=np.str_)
    return np.full(len(particles), "", dtype=np.str_)


def _labels(frames: Table, particles: Table, labels: str, truth: np.ndarray | None) -> np.ndarray:
    """Return (n,) the label of each particle, empty where it has none."""
    if labels != "truth":
        return known_labels(frames, particles, labels)
    if truth is None:
        raise InputError(
            "labels 'truth' wants the truth of a simulated session; found none; "
            "name its folder with --truth"
        )
    return truth


def _usable_sets(particles: Table, kept: np.ndarray) -> tuple[list[str], list[str]]:
    """Return the feature sets that this run can have, and what is said of the others."""
    shaped = all(np.isfinite(particles[f][kept]).any() for f in SHAPE_FIELDS)
    if shaped or not len(kept):
        return list(SETS), []
    names = [name for name, terms in SETS.items() if not has_shape(terms)]
    return names, ["the run has no p, d, L (stage particles.shapes); sets with them are left out"]


def _large_classes(given: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, list[str]]:
    names, counts = np.unique(given[kept], return_counts=True)
    small = {str(n): int(c) for n, c in zip(names, counts) if c < LEAST_MEMBERS}
    notes = [
        f"class '{name}' has {n} particle{'s' if n > 1 else ''}, fewer than {LEAST_MEMBERS}, "
        f"and is left out"
        for name, n in small.items()
    ]
    return kept[~np.isin(given[kept], list(small))] if small else kept, notes


def _refuse_too_few(given: np.ndarray, labels: str, notes: list[str]) -> None:
    names = np.unique(given).tolist()
    if len(names) >= 2:
        return
    remedy = {
        "group": "group the run first (particles.groups), or use --labels sample",
        "sample": "label the samples (--sample, --metadata, --pattern), or use --labels group",
        "truth": "simulate a mixture of shapes",
    }[labels]
    found = f"one, '{names[0]}'" if names else "none"
    said = f" ({'; '.join(notes)})" if notes else ""
    raise InputError(
        f"a classifier wants two classes of {LEAST_MEMBERS} particles by {labels}; "
        f"found {found}{said}; {remedy}"
    )
