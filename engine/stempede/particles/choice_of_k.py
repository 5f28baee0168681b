"""Curves over the number of groups: silhouette, gap statistic, BIC of a mixture, valleys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stempede.particles.partitions import (
    LEARNERS,
    Learner,
    Partition,
    bic_of_mixture,
    centres_of,
    cut,
    k_means,
    tree,
)

_REFERENCES = 5


@dataclass(frozen=True)
class Curve:
    """Silhouettes of one method over the number of groups, and its best partition.

    Parameters
    ----------
    ks : tuple of int
        Rising, from 2; empty where there are too few points.
    silhouettes : tuple of float
    best : Partition or None
    """

    ks: tuple[int, ...]
    silhouettes: tuple[float, ...]
    best: Partition | None


def silhouette(distance: np.ndarray, group: np.ndarray) -> float:
    """Return the mean silhouette of a partition; NaN with fewer than two groups.

    Source: Rousseeuw, J. Comput. Appl. Math. 20 (1987) 53. A point alone in its group has 0.

    Parameters
    ----------
    distance : (n, n) float64 array
        Between all points.
    group : (n,) int64 array
    """
    _, group = np.unique(group, return_inverse=True)
    counts = np.bincount(group)
    if not 2 <= len(counts) < len(group):
        return float("nan")
    sums = distance @ (group[:, None] == np.arange(len(counts)))
    here = np.arange(len(group)), group
    own = sums[here] / np.maximum(counts[group] - 1, 1)
    other = sums / counts
    other[here] = np.inf
    nearest = other.min(axis=1)
    larger = np.maximum(own, nearest)
    value = (nearest - own) / np.where(larger > 0, larger, 1.0)
    return float(np.where(counts[group] > 1, value, 0.0).mean())


def distances(x: np.ndarray) -> np.ndarray:
    """Return the (n, n) distances between all points."""
    from scipy.spatial.distance import pdist, squareform

    found: np.ndarray = squareform(pdist(x))
    return found


def silhouette_curve(
    x: np.ndarray, method: str, most: int, seed: int, learners: Mapping[str, Learner] = LEARNERS
) -> Curve:
    """Partition into 2 to ``most`` groups and find the number with the largest silhouette.

    Parameters
    ----------
    x : (n, m) float64 array
        Scaled features.
    method : str
        A name of ``LEARNERS``.
    most : int
    seed : int
    learners : mapping
        By method.
    """
    ks = tuple(range(2, min(most, len(x) - 1) + 1))
    if method == "hierarchical" and ks:
        linkage = tree(x)
        found: list[Partition] = [centres_of(x, cut(linkage, k)) for k in ks]
    else:
        found = [learners[method](x, k, seed) for k in ks]
    apart = distances(x)
    scores = tuple(silhouette(apart, partition(x)) for partition in found)
    if not ks or not np.isfinite(scores).any():
        return Curve((), (), None)
    return Curve(ks, scores, found[int(np.nanargmax(scores))])


def gap_curve(x: np.ndarray, most: int, seed: int) -> dict[int, tuple[float, float]]:
    """Return the gap statistic of k-means and its standard error for 1 to ``most`` groups.

    References are uniform in the box of the principal components. Source: Tibshirani, Walther
    and Hastie, J. R. Stat. Soc. B 63 (2001) 411.
    """
    centred = x - x.mean(axis=0)
    turned = centred @ np.linalg.svd(centred, full_matrices=False)[2].T
    low, high = turned.min(axis=0), turned.max(axis=0)
    rng = np.random.default_rng(seed)
    drawn = [rng.uniform(low, high, turned.shape) for _ in range(_REFERENCES)]
    found = {}
    for k in range(1, min(most, len(x) - 1) + 1):
        reference = np.array([_log_within(other, k, seed) for other in drawn])
        spread = float(reference.std()) * np.sqrt(1 + 1 / _REFERENCES)
        found[k] = (float(reference.mean()) - _log_within(turned, k, seed), spread)
    return found


def k_of_gap(curve: dict[int, tuple[float, float]]) -> int:
    """Return the least k whose gap is not a standard error below that of k + 1."""
    for k in sorted(curve)[:-1]:
        following = curve[k + 1]
        if curve[k][0] >= following[0] - following[1]:
            return k
    return max(curve, default=1)


def bic_curve(x: np.ndarray, most: int, seed: int) -> dict[int, float]:
    """Return the BIC of normal mixtures of 1 to ``most`` components; the least is best."""
    return {k: bic_of_mixture(x, k, seed) for k in range(1, min(most, len(x) // 2) + 1)}


def _log_within(x: np.ndarray, k: int, seed: int) -> float:
    """Logarithm of the sum of squares about the centres of k-means."""
    partition = k_means(x, k, seed, restarts=1)
    off = x - partition.centres[partition(x)]
    return float(np.log(max(float((off**2).sum()), 1e-300)))
