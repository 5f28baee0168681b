"""Groups: particles of one shape, found without being told which shapes there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stempede.backend import Backend
from stempede.errors import RecipeError
from stempede.particles.feature_sets import FEATURE_SETS, Features, Scale, features, learn_scale
from stempede.particles.group_means import group_means
from stempede.particles.group_scores import METHODS, Grouped, Grouping, group_by, scores
from stempede.particles.group_tables import (
    GROUP_COMPONENTS,
    GROUP_K,
    GROUP_LEAVES,
    GROUP_SCORES,
    GROUP_TREE,
)
from stempede.particles.partitions import learners, tree
from stempede.particles.scopes import Scope, scopes
from stempede.tables import GROUPS, MISSING, Table

_MOST_LEAVES = 2000
# rows that are labelled at once: some 50 MB of features
_BLOCK = 1 << 18


@dataclass(frozen=True)
class Groups:
    """Group the accepted particles of all samples of a run together, and number them by size.

    Learned from at most ``learn_from`` particles, then told for all; group 0 is the largest.
    Every feature set and method is compared in ``group_scores``.

    Parameters
    ----------
    feature_set : str
        ``default``, ``features``, ``shape`` or ``published``.
    method : str
        ``modes`` (as many groups as have valleys between them), or ``k-means``, ``mixture``,
        ``hierarchical`` with the number by silhouette where there is more than one group.
    k : int
        Number of groups where it is given; 0: found.
    largest_k : int
        Most groups that are looked for.
    learn_from : int
        Most particles to learn from.
    bootstraps : int
        Resamples behind each stability.
    compare : bool
        Whether the other feature sets and methods are scored too.
    seed : int
    """

    feature_set: str = "default"
    method: str = "modes"
    k: int = 0
    largest_k: int = 12
    learn_from: int = 4000
    bootstraps: int = 5
    compare: bool = True
    seed: int = 0

    name: ClassVar[str] = "particles.groups"
    on_device: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("frames", "particles")
    writes: ClassVar[tuple[str, ...]] = (
        "particles",
        "groups",
        "group_scores",
        "group_k",
        "group_tree",
        "group_leaves",
        "group_components",
    )

    def __post_init__(self) -> None:
        mistakes = [
            text
            for wrong, text in (
                (self.feature_set not in FEATURE_SETS, f"feature_set is {_list(FEATURE_SETS)}"),
                (self.method not in METHODS, f"method is {_list(METHODS)}"),
                (self.k < 0, "k is 0 (found) or more"),
                (self.largest_k < 2, "largest_k is 2 or more"),
                (self.learn_from < 100, "learn_from is 100 or more"),
                (self.bootstraps < 0, "bootstraps is 0 or more"),
            )
            if wrong
        ]
        if mistakes:
            raise RecipeError("; ".join(mistakes) + "; correct particles.groups")

    def __call__(
        self, tables: Mapping[str, Table], backend: Backend | None = None
    ) -> dict[str, Table]:
        """Return the tables this reduction writes; points are told apart on the backend."""
        particles = tables["particles"]
        found = scopes(tables["frames"])
        inside = found[0].rows_of(particles) if found else np.zeros(len(particles), dtype=bool)
        rows = np.flatnonzero(inside & particles["accepted"])
        order = np.random.default_rng(self.seed).permutation(len(rows))
        learned = rows[order[: self.learn_from]]
        backend = backend or Backend.choose("cpu")
        frame = particles["frame"][learned]
        grouping = Grouping(
            self.largest_k, self.bootstraps, self.seed, frame, learners(on_device=backend.is_gpu)
        )
        chosen = _Learned.of(particles, learned, self.feature_set)
        partition = group_by(chosen.x, self.method, self.k, grouping)
        number = _by_size(_told(chosen, partition, particles, rows, backend))
        group = np.full(len(particles), MISSING, dtype=np.int64)
        group[rows] = number
        by_set = {self.feature_set: chosen}
        if self.compare:
            others = (name for name in FEATURE_SETS if name != self.feature_set)
            by_set |= {name: _Learned.of(particles, learned, name) for name in others}
        score_rows, k_rows = scores(
            {name: (one.facts, one.x) for name, one in by_set.items()},
            (self.feature_set, self.method),
            partition,
            grouping,
            every_method=self.compare,
        )
        leaves = learned[:_MOST_LEAVES]
        return {
            "particles": particles.with_columns({"group": group}),
            "groups": _means(found, particles, rows, number),
            "group_scores": Table.from_rows(GROUP_SCORES, score_rows),
            "group_k": Table.from_rows(GROUP_K, k_rows),
            "group_tree": _tree(chosen.x[:_MOST_LEAVES]),
            "group_leaves": _leaves(particles, leaves, group),
            "group_components": _components(chosen),
        }


@dataclass(frozen=True)
class _Learned:
    """One feature set of the particles that are learned from."""

    found: Features
    scale: Scale
    x: np.ndarray
    feature_set: str

    @classmethod
    def of(cls, particles: Table, rows: np.ndarray, feature_set: str) -> _Learned:
        found = features(particles, rows, feature_set)
        scale = learn_scale(found)
        return cls(found, scale, scale(found.values), feature_set)

    @property
    def names(self) -> list[str]:
        return [self.found.names[k] for k in self.scale.kept]

    @property
    def facts(self) -> dict[str, Any]:
        """Fields of ``group_scores`` that say what was used."""
        return {
            "feature_set": self.feature_set,
            "n_learned": len(self.x),
            "n_features": len(self.names),
            "features": ", ".join(self.names),
            "missing": ", ".join(self.found.missing),
            "dropped": ", ".join(self.scale.dropped),
            "unit": self.found.unit,
        }


def _told(
    chosen: _Learned, grouped: Grouped, particles: Table, rows: np.ndarray, backend: Backend
) -> np.ndarray:
    """Return the group of every accepted particle, block by block on the device."""
    group = np.zeros(len(rows), dtype=np.int64)
    if grouped.k < 2:
        return group
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        same = features(particles, part, chosen.feature_set, like=chosen.found)
        x = backend.upload(chosen.scale(same.values), Groups.name)
        told = grouped.partition(x, backend.xp)
        group[start : start + _BLOCK] = backend.download(told, Groups.name)
    return group


def _by_size(group: np.ndarray) -> np.ndarray:
    """Number groups by how many particles they hold, the largest 0."""
    counts = np.bincount(group)
    order = np.argsort(-counts, kind="stable")
    rank = np.empty(len(counts), dtype=np.int64)
    rank[order] = np.arange(len(counts))
    return rank[group]


def _means(found: list[Scope], particles: Table, rows: np.ndarray, number: np.ndarray) -> Table:
    if not found or not len(rows):
        return Table.empty(GROUPS)
    return group_means(found[0], particles, rows, number)


def _tree(x: np.ndarray) -> Table:
    if len(x) < 2 or not x.shape[1]:
        return Table.empty(GROUP_TREE)
    left, right, height, count = tree(x).T
    return Table(GROUP_TREE, {"left": left, "right": right, "height": height, "count": count})


def _leaves(particles: Table, rows: np.ndarray, group: np.ndarray) -> Table:
    columns = {name: particles[name][rows] for name in ("frame", "particle")}
    return Table(GROUP_LEAVES, {"leaf": np.arange(len(rows)), **columns, "group": group[rows]})


def _components(chosen: _Learned) -> Table:
    """Principal components of the scaled features."""
    n, m = chosen.x.shape
    if n < 2 or not m:
        return Table.empty(GROUP_COMPONENTS)
    variance, vectors = np.linalg.eigh(np.atleast_2d(np.cov(chosen.x.T)))
    total = float(variance.sum())
    rows = [
        {
            "component": k,
            "variance": variance[m - 1 - k],
            "share": variance[m - 1 - k] / total if total > 0 else None,
            "feature": name,
            "loading": vectors[j, m - 1 - k],
        }
        for k in range(m)
        for j, name in enumerate(chosen.names)
    ]
    return Table.from_rows(GROUP_COMPONENTS, rows)


def _list(names: Any) -> str:
    return ", ".join(names)
