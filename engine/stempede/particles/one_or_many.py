"""One group or many: groups are told apart by the valleys between them.

More normal components than groups are fitted, and joined again, the least separate first, as
long as no valley lies between them (merging of mixture components after Hennig, Adv. Data Anal.
Classif. 4 (2010) 3). What is left when each pair has a valley between it are the groups. A broad,
skewed or bent population has none and stays one group whatever its law; the silhouette, which
cannot return one group, and BIC, which takes every departure from a normal law for another
group, are given beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from stempede.particles.partitions import Normals, mixture

LEAST_Z = 4.0
"""Standard deviations by which a peak must rise above the valley before it."""

DEEPEST = 0.45
"""Largest height of a valley over that of the lower peak beside it."""

COMPONENTS_PER_GROUP = 1.5
POINTS_PER_FEATURE = 6
"""Points that a component needs for each feature, or its covariance is chance."""
_RIDGE = 1e-3
# positions and width of the windows that points are counted in; the means lie at -1/2 and 1/2
_POSITIONS = np.linspace(-1.0, 1.0, 81)
_WIDTH = 0.2


@dataclass(frozen=True)
class Valley:
    """The clearest valley between two sets of points.

    Parameters
    ----------
    z : float
        Rise of the lower peak above it, in standard deviations of the difference of two counts.
    depth : float
        Its height over that of the lower peak.
    """

    z: float
    depth: float

    @property
    def score(self) -> float:
        """``z``; that of a shallow valley stays below what makes two groups."""
        return self.z if self.depth < DEEPEST else min(self.z, 0.99 * LEAST_Z)


@dataclass(frozen=True)
class Modes:
    """Groups of points with valleys between them.

    Parameters
    ----------
    partition : Normals
    path : tuple of (int, Valley)
        Number of groups, and the valley between the least separate two of them, falling.
    """

    partition: Normals
    path: tuple[tuple[int, Valley], ...]


def modes(x: np.ndarray, most: int, seed: int, k: int = 0) -> Modes:
    """Find the groups of points that have valleys between them.

    Parameters
    ----------
    x : (n, m) float64 array
        Scaled features, rows in random order, n at least 2.
    most : int
        Most groups that are looked for.
    seed : int
    k : int
        Number of groups where it is given; 0: as many as have valleys between them. Given a
        number, the most separate ones are kept, with or without valleys.

    Returns
    -------
    Modes
        At least one group.
    """
    components = _components(x, most, k)
    fitted = mixture(x, components, seed)
    fitted = fitted.regrouped(_without_small(fitted, x, components, max(k, 1)))
    found = _joined(fitted, x, most, k)
    if k:
        return found
    # a component may lie across two groups: each group is looked at once more by itself
    parts = _looked_into(found.partition, x, most, seed)
    return found if parts is None else _joined(parts, x, most, k)


def _components(x: np.ndarray, most: int, k: int = 0) -> int:
    """Return how many components are fitted: no more than the points can describe."""
    wanted = round(COMPONENTS_PER_GROUP * max(most, k))
    return max(min(wanted, describable(x)), k, 1)


def describable(x: np.ndarray) -> int:
    """Return how many components (n, m) points can describe; groups can be no more."""
    return len(x) // (POINTS_PER_FEATURE * x.shape[1])


def _looked_into(found: Normals, x: np.ndarray, most: int, seed: int) -> Normals | None:
    """Fit each group by itself; return all components if any group falls into several."""
    group = found(x)
    parts: list[Normals] = []
    n_groups = 0
    for g in range(found.k):
        own = x[group == g]
        if len(own) < 2:
            continue
        components = _components(own, most)
        part = mixture(own, components, seed)
        part = part.regrouped(_without_small(part, own, components, 1))
        part = _joined(part, own, most, 0).partition
        share = np.log(len(own) / len(x))
        # its components stay one group where no valley was found among them
        parts.append(
            replace(part, log_weights=part.log_weights + share, group=part.group + n_groups)
        )
        n_groups += part.k
    if n_groups <= found.k:
        return None
    joined = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Normals)}
    return Normals(**joined)


def _without_small(fitted: Normals, x: np.ndarray, components: int, least: int) -> np.ndarray:
    """Give components of few points to the likeliest other one of their points."""
    log_p = fitted.log_densities(x)
    group = np.arange(components)
    counts = np.bincount(log_p.argmax(axis=1), minlength=components)
    small = counts < min(2 * x.shape[1], len(x) // components)
    small[np.argsort(-counts)[:least]] = False
    large = np.flatnonzero(~small)
    for c in np.flatnonzero(small):
        own = log_p.argmax(axis=1) == c
        own = own if own.any() else np.ones(len(x), dtype=bool)
        group[c] = large[log_p[own][:, large].mean(axis=0).argmax()]
    return group


def _joined(fitted: Normals, x: np.ndarray, most: int, k: int) -> Modes:
    """Join the least separate groups until each pair has a valley between it, or k are left."""
    group = fitted.group.copy()
    member = fitted(x) if fitted.k < len(group) else group[fitted.log_densities(x).argmax(axis=1)]
    # components that are nobody's likeliest are no group
    alive = sorted(set(member.tolist()))
    known: dict[tuple[int, int], Valley] = {}
    path: list[tuple[int, Valley]] = []
    while len(alive) > 1:
        pairs = [(i, j) for a, i in enumerate(alive) for j in alive[a + 1 :]]
        for i, j in pairs:
            if (i, j) not in known:
                known[i, j] = valley(x[member == i], x[member == j])
        least = min(pairs, key=lambda pair: known[pair].score)
        path.append((len(alive), known[least]))
        enough = len(alive) <= k if k else known[least].score >= LEAST_Z and len(alive) <= most
        if enough:
            break
        i, j = least
        group[group == j] = i
        member[member == j] = i
        alive.remove(j)
        known = {pair: v for pair, v in known.items() if i not in pair and j not in pair}
    return Modes(fitted.regrouped(_counted_from_0(group, alive)), tuple(path))


def _counted_from_0(group: np.ndarray, alive: list[int]) -> np.ndarray:
    """Number the groups that are alive 0, 1, ...; what belongs to none goes to the first."""
    number = {g: k for k, g in enumerate(alive)}
    return np.array([number.get(int(g), 0) for g in group])


def valley(a: np.ndarray, b: np.ndarray) -> Valley:
    """Find the clearest valley between two sets of points.

    Points are projected onto the line that separates the sets best (Fisher's). The line is
    found with one half of the points and looked along with the other, so that it cannot follow
    their noise.

    Parameters
    ----------
    a, b : (n, m), (l, m) float64 array
        Scaled features, rows in random order.

    Returns
    -------
    Valley
        No valley (z 0, depth 1) where a half is empty.
    """
    if min(len(a), len(b)) < 2:
        return Valley(0.0, 1.0)
    along = [
        _projected(a[f::2], b[f::2], np.concatenate([a[1 - f :: 2], b[1 - f :: 2]])) for f in (0, 1)
    ]
    t = np.sort(np.concatenate(along))
    count = np.searchsorted(t, _POSITIONS + _WIDTH / 2) - np.searchsorted(
        t, _POSITIONS - _WIDTH / 2
    )
    before = np.maximum.accumulate(count)
    after = np.maximum.accumulate(count[::-1])[::-1]
    peak = np.minimum(before, after)
    z = (peak - count) / np.sqrt(np.maximum(peak + count, 1))
    clearest = int(np.argmax(z))
    return Valley(float(z[clearest]), float((count[clearest] + 0.5) / (peak[clearest] + 0.5)))


def _projected(a: np.ndarray, b: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Project points onto Fisher's line of a and b, whose means then lie at -1/2 and 1/2."""
    middle_a, middle_b = a.mean(axis=0), b.mean(axis=0)
    off = np.concatenate([a - middle_a, b - middle_b])
    within = off.T @ off / max(len(off) - 2, 1)
    ridge = _RIDGE * np.trace(within) / len(within) + 1e-12
    line = np.linalg.solve(within + ridge * np.eye(len(within)), middle_b - middle_a)
    length = float((middle_b - middle_a) @ line)
    middle = float((middle_a + middle_b) @ line) / 2
    return (points @ line - middle) / (length if length > 0 else 1.0)
