"""How well a partition is found again when other frames of the same sample are looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stempede.particles.clusters import LEAST_FRAMES
from stempede.particles.partitions import Partition


@dataclass(frozen=True)
class Stability:
    """Adjusted Rand indices of partitions learned anew with the first one.

    Parameters
    ----------
    mean, least : float
        Over the resamples; NaN where there are none.
    same_k : float
        Share of the resamples that give the same number of groups.
    n : int
        Resamples.
    unit : str
        What was drawn: ``frame``, or ``particle`` with fewer than five frames.
    """

    mean: float = np.nan
    least: float = np.nan
    same_k: float = np.nan
    n: int = 0
    unit: str = ""


def bootstrap(
    x: np.ndarray,
    frame: np.ndarray,
    group: np.ndarray,
    learn: Callable[[np.ndarray, int], Partition],
    n: int,
    seed: int,
) -> Stability:
    """Draw frames with replacement, learn again, and compare on the points of the first one.

    Parameters
    ----------
    x : (l, m) float64 array
        Scaled features.
    frame : (l,) int64 array
        Frame of each point.
    group : (l,) int64 array
        Its group in the first partition.
    learn : callable
        Learns a partition from points, with a seed.
    n : int
        Resamples.
    seed : int

    Returns
    -------
    Stability
    """
    from sklearn.metrics import adjusted_rand_score

    numbers, unit = np.unique(frame, return_inverse=True)
    kind = "frame" if len(numbers) >= LEAST_FRAMES else "particle"
    if kind == "particle":
        unit = np.arange(len(x))
    members = np.split(np.argsort(unit, kind="stable"), np.cumsum(np.bincount(unit))[:-1])
    found, same = [], 0
    for k in range(n):
        rng = np.random.default_rng([seed, k])
        drawn = rng.integers(len(members), size=len(members))
        rows = rng.permutation(np.concatenate([members[i] for i in drawn]))
        if len(np.unique(x[rows], axis=0)) < 2:
            continue
        again = learn(x[rows], k)
        same += again.k == int(group.max()) + 1
        found.append(float(adjusted_rand_score(group, again(x))))
    if not found:
        return Stability(unit=kind)
    return Stability(float(np.mean(found)), min(found), same / len(found), len(found), kind)
