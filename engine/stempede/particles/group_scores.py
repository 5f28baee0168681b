"""Every method on every feature set: how many groups, and how far each score trusts them.

What scores what: the silhouette scores a partition in the features it was made from, so values
of different sets cannot be compared; the cophenetic correlation scores Ward's tree and does not
change with the partition; the bootstrap scores how well a partition is found again on other
frames; the adjusted Rand index with the chosen partition says how far two of them agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stempede.particles.choice_of_k import (
    Curve,
    bic_curve,
    distances,
    gap_curve,
    silhouette,
    silhouette_curve,
)
from stempede.particles.one_or_many import POINTS_PER_FEATURE, Modes, describable, modes
from stempede.particles.partitions import LEARNERS, Centres, Learner, Partition, tree
from stempede.particles.stability import Stability, bootstrap

METHODS = ("modes", *LEARNERS)
FEWEST = 20
"""Fewer particles than this are one group: nothing can be told apart."""

# particles behind curves and stabilities, which fit many times
_MOST_SCORED = 1000
_MOST_GAP = 800


@dataclass(frozen=True)
class Grouping:
    """What all methods are given.

    Parameters
    ----------
    largest_k : int
        Most groups.
    bootstraps : int
        Resamples behind each stability.
    seed : int
    frame : (n,) int64 array
        Frame of each particle that is learned from.
    learners : mapping
        By method, as ``partitions.learners`` returns them.
    """

    largest_k: int
    bootstraps: int
    seed: int
    frame: np.ndarray
    learners: Mapping[str, Learner] = field(default_factory=lambda: LEARNERS)


@dataclass(frozen=True)
class Grouped:
    """A partition and how its number of groups came about."""

    partition: Partition
    k_by: str
    note: str = ""
    found: Modes | None = None
    curve: Curve | None = None

    @property
    def k(self) -> int:
        """Number of groups."""
        return self.partition.k


def group_by(x: np.ndarray, method: str, k: int, grouping: Grouping) -> Grouped:
    """Partition points by one method.

    Parameters
    ----------
    x : (n, m) float64 array
        Scaled features, rows in random order.
    method : str
        A name of ``METHODS``.
    k : int
        Number of groups, 0 where it is to be found.
    grouping : Grouping
    """
    reason = _why_one(x, k)
    if reason:
        return Grouped(_one(x), "one group", reason)
    most, seed = grouping.largest_k, grouping.seed
    found = modes(x, most, seed, k if method == "modes" else 0)
    if method == "modes":
        short = f"{k} groups were asked for, {found.partition.k} could be fitted"
        note = short if k and found.partition.k != k else ""
        note = note if k else _how_many_at_most(x, most)
        return Grouped(found.partition, "given" if k else "valleys", note, found)
    if k:
        return Grouped(grouping.learners[method](x, k, seed), "given", "", found)
    return _by_silhouette(x, method, found, grouping)


def _by_silhouette(x: np.ndarray, method: str, found: Modes, grouping: Grouping) -> Grouped:
    """One group where there is no valley, else the number with the largest silhouette."""
    some = x[:_MOST_SCORED]
    curve = silhouette_curve(some, method, grouping.largest_k, grouping.seed, grouping.learners)
    if found.partition.k == 1 or curve.best is None:
        said = _how_many_at_most(x, 2) or "no valley between any groups"
        return Grouped(_one(x), "one group", said, found, curve)
    return Grouped(curve.best, "silhouette", "", found, curve)


def _why_one(x: np.ndarray, k: int) -> str:
    """Say why points cannot be grouped; empty where they can."""
    n, m = x.shape
    if not n:
        return "no particles"
    if not m:
        return (
            "one particle"
            if n == 1
            else "no feature differs between particles, or none is measured"
        )
    if k == 1:
        return "one group was asked for"
    distinct = len(np.unique(x, axis=0))
    if k > distinct:
        return f"{k} groups were asked for, but only {distinct} particles differ"
    if not k and n < FEWEST:
        return f"fewer than {FEWEST} particles"
    return "all particles are alike" if distinct < 2 else ""


def _how_many_at_most(x: np.ndarray, wanted: int) -> str:
    """Say that the particles can hold no or few groups; empty where they can hold as wanted."""
    n, m = x.shape
    held = describable(x)
    if held >= wanted:
        return ""
    features = f"{m} feature{'s' if m > 1 else ''}"
    each = f"a group wants {POINTS_PER_FEATURE * m} particles ({POINTS_PER_FEATURE} per feature)"
    if held < 2:
        return f"{n} particles are too few to tell groups by {features}: {each}"
    return f"{n} particles can be told into {held} groups at most by {features}: {each}"


def _one(x: np.ndarray) -> Centres:
    return Centres(x.mean(axis=0, keepdims=True) if len(x) else np.zeros((1, x.shape[1])))


def scores(
    by_set: Mapping[str, tuple[Mapping[str, Any], np.ndarray]],
    chosen: tuple[str, str],
    partition: Grouped,
    grouping: Grouping,
    *,
    every_method: bool,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Score every method on every feature set.

    Parameters
    ----------
    by_set : mapping
        By feature set, what is said of it and its (n, m) scaled features; the chosen set first.
    chosen : (str, str)
        Feature set and method of the partition that was chosen.
    partition : Grouped
        That partition.
    grouping : Grouping
    every_method : bool
        Whether methods other than the chosen one are scored.

    Returns
    -------
    list of dict, list of dict
        Rows of ``group_scores`` and ``group_k``.
    """
    x_chosen = by_set[chosen[0]][1][:_MOST_SCORED]
    reference = partition.partition(x_chosen)
    methods = METHODS if every_method else (chosen[1],)
    score_rows: list[dict[str, Any]] = []
    k_rows: list[dict[str, Any]] = []
    known: dict[tuple[str, str], tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {}
    for feature_set, (facts, x) in by_set.items():
        used = str(facts["features"])
        found_modes = None
        for method in methods:
            # two sets that come down to the same features are scored once
            if (used, method) not in known or (feature_set, method) == chosen:
                is_chosen = (feature_set, method) == chosen
                given = partition if is_chosen else _compared(x, method, found_modes, grouping)
                found_modes = given.found or found_modes
                row = _scored(x, method, given, reference, grouping, is_chosen=is_chosen)
                detailed = feature_set == chosen[0]
                curve = _curve(x, method, given, grouping, detailed=detailed)
                known[used, method] = [row], curve
            rows, curve = known[used, method]
            about = {**facts, "method": method, "chosen": (feature_set, method) == chosen}
            score_rows += [{**row, **about} for row in rows]
            k_rows += [{**row, "feature_set": feature_set, "method": method} for row in curve]
    return score_rows, k_rows


def _compared(x: np.ndarray, method: str, found: Modes | None, grouping: Grouping) -> Grouped:
    """Partition by a method that was not chosen; the search for valleys is done once a set."""
    if method == "modes" or found is None or _why_one(x, 0):
        return group_by(x, method, 0, grouping)
    return _by_silhouette(x, method, found, grouping)


def _scored(
    x: np.ndarray,
    method: str,
    given: Grouped,
    reference: np.ndarray,
    grouping: Grouping,
    *,
    is_chosen: bool,
) -> dict[str, Any]:
    """Return the scores of one partition."""
    from sklearn.metrics import adjusted_rand_score

    some = x[:_MOST_SCORED]
    group = given.partition(some)
    stable = Stability()
    # modes are sought among all particles: for one feature set only
    if given.k > 1 and (method != "modes" or is_chosen):
        learned = x if method == "modes" else some
        again = _learning_again(method, given, grouping)
        frame, first = grouping.frame[: len(learned)], given.partition(learned)
        stable = bootstrap(learned, frame, first, again, grouping.bootstraps, grouping.seed)
    comparable = len(some) > 1 and given.k_by != "one group"
    return {
        "k": given.k,
        "k_by": given.k_by,
        "silhouette": silhouette(distances(some), group) if given.k > 1 else None,
        "cophenetic": _cophenetic(some) if method == "hierarchical" else None,
        "bootstrap_ari": stable.mean,
        "bootstrap_ari_least": stable.least,
        "bootstrap_same_k": stable.same_k,
        "n_bootstraps": stable.n,
        "bootstrap_unit": stable.unit,
        "ari_to_chosen": float(adjusted_rand_score(reference, group)) if comparable else None,
        "note": given.note,
    }


def _learning_again(method: str, given: Grouped, grouping: Grouping) -> Any:
    """Return how a partition of a resample is learned: its number of groups anew for modes."""
    if method == "modes" and given.k_by == "valleys":
        return lambda x, seed: modes(x, grouping.largest_k, seed).partition
    if method == "modes":
        return lambda x, seed: modes(x, grouping.largest_k, seed, given.k).partition
    return lambda x, seed: grouping.learners[method](x, given.k, seed)


def _cophenetic(x: np.ndarray) -> float | None:
    """Correlation of the heights at which pairs are joined with their distances."""
    from scipy.cluster.hierarchy import cophenet
    from scipy.spatial.distance import pdist

    if len(x) < 3 or not x.shape[1]:
        return None
    distance = pdist(x)
    return float(cophenet(tree(x), distance)[0]) if distance.std() > 0 else None


def _curve(
    x: np.ndarray, method: str, given: Grouped, grouping: Grouping, *, detailed: bool
) -> list[dict[str, Any]]:
    """Return what was looked at for each number of groups."""
    if given.found is None:
        return []
    rows: dict[int, dict[str, Any]] = {}
    if method == "modes":
        for k, least in given.found.path:
            rows[k] = {"valley_z": least.z, "valley_depth": least.depth}
        rows.setdefault(given.k, {})
    else:
        curve = given.curve or silhouette_curve(
            x[:_MOST_SCORED], method, grouping.largest_k, grouping.seed, grouping.learners
        )
        for k, value in zip(curve.ks, curve.silhouettes, strict=True):
            rows[k] = {"silhouette": value}
        for k, more in _of_few(x, method, grouping).items() if detailed else ():
            rows.setdefault(k, {}).update(more)
    return [{"k": k, "chosen": k == given.k, **rows[k]} for k in sorted(rows)]


def _of_few(x: np.ndarray, method: str, grouping: Grouping) -> dict[int, dict[str, Any]]:
    """Gap statistic of k-means, BIC of mixtures, from fewer particles."""
    some, most, seed = x[:_MOST_GAP], grouping.largest_k, grouping.seed
    if method == "k-means":
        return {k: {"gap": g, "gap_se": se} for k, (g, se) in gap_curve(some, most, seed).items()}
    if method == "mixture":
        return {k: {"bic": bic} for k, bic in bic_curve(some, most, seed).items()}
    return {}
