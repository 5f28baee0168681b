"""Antiphase domains: parts of a crystal whose staggered tilt has the other sign.

Candidates come from a minimum cut over the sites, with the crystal's own amplitude, the errors
of the tilts and a price per bond of wall. Each is then held against one question: how likely
is a mean of this sign where the true one has its neighbour's? The likelihood ratio of that is
z², z the mean of the part over its standard error, with the full covariance of shared columns.
It must exceed a price that covers every part that could have been picked: parts within a wall
of L bonds number about sites x 2.64^L, and one mean beats x by chance with exp(-x/2). A site's
own sign decides nothing: parts of less than four sites are never domains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from stempede.columns.network import Network
from stempede.tables import MISSING

_PER_BOND = 2.2
"""Twice log-likelihood per bond of wall: above 2 ln 2.64, the growth of walls on a square net."""

_UNITS = 256.0
_CEILING = 2.0**22
"""Whole numbers of the flow: units per twice log-likelihood, and the most an edge carries."""

_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Domains:
    """Domains of one crystal.

    Parameters
    ----------
    label : (s,) int64 array
        Phase of each site: 0 that of most sites, 1 the other, be it in one part or several;
        ``MISSING`` for sites without a tilt.
    sign : (d,) float64 array
        Of the mean staggered tilt of each phase, +1 or -1.
    """

    label: np.ndarray
    sign: np.ndarray

    def sense(self, network: Network) -> np.ndarray:
        """Return (s,) sign that domain and parity give each site's tilt."""
        sign = np.where(self.label >= 0, self.sign[np.maximum(self.label, 0)], self.sign[0])
        return np.asarray(network.parity * sign)

    def alignment(self) -> np.ndarray:
        """Return (s,) sign that turns each site into phase 0; 0 for sites without a tilt."""
        relative = self.sign * self.sign[0]
        return np.where(self.label >= 0, relative[np.maximum(self.label, 0)], 0.0)


def find_domains(network: Network, *, level: float = 0.005, least: int = 4) -> Domains:
    """Tell the antiphase domains of a crystal.

    Parameters
    ----------
    network : Network
    level : float
        Chance, at most, that a crystal of one domain is given a wall.
    least : int
        Sites of the smallest domain.

    Returns
    -------
    Domains
    """
    known = np.flatnonzero(np.isfinite(network.tilt_deg))
    label = np.full(len(network), MISSING)
    if not len(known):
        return Domains(label, np.ones(1))
    field = _Field.of(network, known)
    side = _cut(field)
    side = _tested(field, side, level, least)
    phase = np.where(side == (2 * side.sum() > len(side)), 0, 1)
    label[known] = phase
    mean = np.bincount(phase, field.tilt) / np.bincount(phase)
    return Domains(label, np.where(mean < 0, -1.0, 1.0))


@dataclass(frozen=True)
class _Field:
    """Staggered tilts of the known sites, their covariance, and which are neighbours."""

    tilt: np.ndarray
    covariance: Any
    pairs: np.ndarray

    @classmethod
    def of(cls, network: Network, known: np.ndarray) -> _Field:
        form = network.staggered.take(known)
        number = np.full(len(network) + 1, -1)
        number[known] = np.arange(len(known))
        near = number[network.neighbours[known][:, :2]]  # towards +a and +b: each bond once
        first, way = np.nonzero(near >= 0)
        g = form.gradient
        return cls(
            form.value, (g @ form.noise @ g.T).tocsr(), np.column_stack([first, near[first, way]])
        )

    def graph(self, keep: np.ndarray) -> Any:
        a, b = self.pairs[keep].T
        return sparse.csr_array((np.ones(len(a)), (a, b)), shape=(len(self.tilt), len(self.tilt)))


def _cut(field: _Field) -> np.ndarray:
    """Return (s,) bool sides of the least costly cut; all one side where nothing is tilted."""
    n = len(field.tilt)
    variance = field.covariance.diagonal()
    if not len(field.pairs) or not np.isfinite(variance).all() or not (variance > 0).all():
        return np.zeros(n, bool)
    a, b = field.pairs.T
    # products of neighbours do not care for the sign of a domain
    shared = np.asarray(field.covariance[a, b]).ravel()
    power = float(np.mean(field.tilt[a] * field.tilt[b] - shared))
    if power <= 0:
        return np.zeros(n, bool)
    pull = 4 * np.sqrt(power) * field.tilt / variance
    source, sink = n, n + 1
    site = np.arange(n)
    up = pull > 0
    heads = np.concatenate([np.full(up.sum(), source), site[~up], a, b])
    tails = np.concatenate([site[up], np.full((~up).sum(), sink), b, a])
    price = np.concatenate([pull[up], -pull[~up], np.full(2 * len(a), _PER_BOND)])
    capacity = sparse.csr_array(
        (np.minimum(price * _UNITS, _CEILING).astype(np.int32), (heads, tails)),
        shape=(n + 2, n + 2),
    )
    flow = csgraph.maximum_flow(sparse.csr_matrix(capacity), source, sink).flow
    left = sparse.csr_array(capacity - flow)
    left.data = (left.data > 0).astype(np.int8)
    left.eliminate_zeros()
    reached = csgraph.breadth_first_order(
        sparse.csr_matrix(left), source, return_predecessors=False
    )
    side = np.zeros(n + 2, bool)
    side[reached] = True
    return side[:n]


def _parts(field: _Field, side: np.ndarray) -> np.ndarray:
    """Return (s,) number of each connected part of one side."""
    a, b = field.pairs.T
    return np.asarray(
        csgraph.connected_components(field.graph(side[a] == side[b]), directed=False)[1]
    )


def _tested(field: _Field, side: np.ndarray, level: float, least: int) -> np.ndarray:
    """Return sides after every part that does not pay its price has gone over to its neighbours."""
    extra = _between(field, side)
    side = side.copy()
    while True:
        parts = _parts(field, side)
        count = int(parts.max()) + 1
        if count == 1:
            return side
        surplus = _surplus(field, side, parts, extra=extra, level=level, least=least)
        worst = int(np.argmin(surplus))
        if surplus[worst] >= 0:
            return side
        side[parts == worst] ^= True


def _surplus(
    field: _Field, side: np.ndarray, parts: np.ndarray, *, extra: float, level: float, least: int
) -> np.ndarray:
    """Return (d,) evidence of each part less its price.

    Infinite for a part without a wall that is on the side of the largest part: one that stands
    alone, since the sites around it have no tilt, is held against that.
    """
    count = int(parts.max()) + 1
    size = np.bincount(parts, minlength=count)
    a, b = field.pairs.T
    wall = np.flatnonzero(parts[a] != parts[b])
    length = np.bincount(parts[a[wall]], minlength=count)
    length += np.bincount(parts[b[wall]], minlength=count)
    weights = sparse.csr_array((1 / size[parts], (parts, np.arange(len(parts)))))
    variance = ((weights @ field.covariance) * weights).sum(axis=1) + extra / size
    mean = weights @ np.where(side, field.tilt, -field.tilt)
    evidence = np.sign(mean) * mean**2 / variance
    price = _PER_BOND * length + 2 * np.log(8 * len(parts) / level)
    surplus = np.where(size < least, size - 1e12, evidence - price)
    part_side = np.zeros(count, bool)
    part_side[parts] = side
    return np.where((length == 0) & (part_side == part_side[np.argmax(size)]), np.inf, surplus)


def _between(field: _Field, side: np.ndarray) -> float:
    """Return the variance between neighbouring tilts beyond their errors, degrees².

    Robust, and taken along the sides of the cut, so that walls do not count.
    """
    a, b = field.pairs.T
    if len(a) < 8:
        return 0.0
    sign = np.where(side, 1.0, -1.0)
    step = sign[a] * field.tilt[a] - sign[b] * field.tilt[b]
    own = field.covariance.diagonal()
    shared = np.asarray(field.covariance[a, b]).ravel()
    expected = own[a] + own[b] - 2 * sign[a] * sign[b] * shared
    seen = (_MAD_TO_SIGMA * np.median(np.abs(step - np.median(step)))) ** 2
    return float(max(0.0, (seen - np.median(expected)) / 2))
