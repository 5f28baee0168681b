"""Partitions of particles: centres and normal mixtures that say to which group a point belongs.

They are learned on the host from some thousand particles; points are told apart by plain array
operations on the backend's device, block by block, so that ten million particles need no more
memory than one block. The learners have one interface; k-means has cuML's on a GPU as well.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

RESTARTS = 10
_MOST_STEPS = 60
# on scaled features: keeps a component from closing in on a few equal particles
_RIDGE = 1e-3


class Partition(Protocol):
    """What a learner returns."""

    @property
    def k(self) -> int:
        """Number of groups."""
        ...

    def __call__(self, x: Any, xp: Any = np) -> Any:
        """Return the group 0 ... k - 1 of each point.

        Parameters
        ----------
        x : (n, m) float64 array
            Scaled features, on the device of ``xp``.
        xp : module
            NumPy or CuPy.

        Returns
        -------
        (n,) int64 array
            On the same device.
        """
        ...


@dataclass(frozen=True)
class Centres:
    """Each point belongs to the nearest centre.

    Parameters
    ----------
    centres : (k, m) float64 array
    """

    centres: np.ndarray

    @property
    def k(self) -> int:
        """Number of groups."""
        return len(self.centres)

    def __call__(self, x: Any, xp: Any = np) -> Any:
        """Return the group of each point."""
        centres = xp.asarray(self.centres)
        # the square of the point itself is the same for all centres
        return xp.argmin((centres**2).sum(axis=1) - 2 * (x @ centres.T), axis=1)


@dataclass(frozen=True)
class Normals:
    """Each point belongs to the group whose normal components are likeliest together.

    Parameters
    ----------
    means : (c, m) float64 array
    roots : (c, m, m) float64 array
        Cholesky factors of the precision matrices.
    log_weights : (c,) float64 array
    group : (c,) int64 array
        Group of each component, 0 ... k - 1.
    """

    means: np.ndarray
    roots: np.ndarray
    log_weights: np.ndarray
    group: np.ndarray

    @property
    def k(self) -> int:
        """Number of groups."""
        return int(self.group.max()) + 1

    def log_densities(self, x: Any, xp: Any = np) -> Any:
        """Return (n, c) log density of each component, weighted, but for a common constant."""
        log_det = np.log(np.diagonal(self.roots, axis1=1, axis2=2)).sum(axis=1)
        found = xp.empty((len(x), len(self.means)))
        for c in range(len(self.means)):
            root = xp.asarray(self.roots[c])
            off = x @ root - xp.asarray(self.means[c]) @ root
            found[:, c] = float(self.log_weights[c] + log_det[c]) - 0.5 * (off * off).sum(axis=1)
        return found

    def __call__(self, x: Any, xp: Any = np) -> Any:
        """Return the group of each point."""
        log_p = self.log_densities(x, xp)
        shares = xp.exp(log_p - log_p.max(axis=1, keepdims=True))
        member = xp.asarray((self.group[:, None] == np.arange(self.k)).astype(np.float64))
        return xp.argmax(shares @ member, axis=1)

    def regrouped(self, group: np.ndarray) -> Normals:
        """Return the same components with other groups."""
        return replace(self, group=group)


Learner = Callable[[np.ndarray, int, int], Partition]
"""(n, m) scaled features, number of groups, seed -> partition."""


def k_means(x: np.ndarray, k: int, seed: int, restarts: int = RESTARTS) -> Centres:
    """Partition by k-means, the best of several starts, on the host."""
    from sklearn.cluster import KMeans

    return _best_of_starts(KMeans, x, x, k, seed, restarts)


def k_means_on_device(x: np.ndarray, k: int, seed: int) -> Centres:
    """Partition by cuML's k-means from the same starts: the same groups within rounding."""
    import cupy
    from cuml.cluster import KMeans

    return _best_of_starts(KMeans, x, cupy.asarray(x), k, seed, RESTARTS)


def _best_of_starts(
    estimator: Any, x: np.ndarray, points: Any, k: int, seed: int, restarts: int
) -> Centres:
    """Fit from starts spread out on the host (k-means++); ``points`` are ``x`` on the device."""
    from sklearn.cluster import kmeans_plusplus

    rng = np.random.RandomState(seed)
    starts = [kmeans_plusplus(x, k, random_state=rng)[0] for _ in range(restarts)]
    with _quiet():
        found = [estimator(n_clusters=k, init=start, n_init=1).fit(points) for start in starts]
    best = min(found, key=lambda one: float(one.inertia_)).cluster_centers_
    return Centres(best.get() if hasattr(best, "get") else best)


def mixture(x: np.ndarray, k: int, seed: int) -> Normals:
    """Partition by a mixture of normal distributions of any covariance, started by k-means."""
    found = _fitted_mixture(x, k, seed)
    return Normals(found.means_, found.precisions_cholesky_, np.log(found.weights_), np.arange(k))


def bic_of_mixture(x: np.ndarray, k: int, seed: int) -> float:
    """Return the BIC of a mixture of k normal distributions; smaller is better."""
    return float(_fitted_mixture(x, k, seed).bic(x))


def hierarchical(x: np.ndarray, k: int, seed: int) -> Centres:
    """Partition by cutting Ward's tree; points that are not in it go to the nearest centre."""
    del seed
    return centres_of(x, cut(tree(x), k))


def tree(x: np.ndarray) -> np.ndarray:
    """Return the (n - 1, 4) linkage of Ward's tree; n is 2 or more."""
    from scipy.cluster.hierarchy import linkage

    found: np.ndarray = linkage(x, "ward")
    return found


def cut(linkage: np.ndarray, k: int) -> np.ndarray:
    """Return the group 0 ... k - 1 of each leaf."""
    from scipy.cluster.hierarchy import fcluster

    _, group = np.unique(fcluster(linkage, k, "maxclust"), return_inverse=True)
    return group.reshape(-1)


def centres_of(x: np.ndarray, group: np.ndarray) -> Centres:
    """Return the mean of each group."""
    return Centres(np.stack([x[group == k].mean(axis=0) for k in range(int(group.max()) + 1)]))


LEARNERS: dict[str, Learner] = {
    "k-means": k_means,
    "mixture": mixture,
    "hierarchical": hierarchical,
}
"""The methods of the published comparison."""


def learners(*, on_device: bool) -> dict[str, Learner]:
    """Return the learner of each method: cuML's where there is a device and it is installed.

    cuML has k-means; its trees are of single linkage and it has no normal mixtures.
    """
    if not on_device or find_spec("cuml") is None:
        return LEARNERS
    return {**LEARNERS, "k-means": k_means_on_device}


def _fitted_mixture(x: np.ndarray, k: int, seed: int) -> Any:
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(k, reg_covar=_RIDGE, max_iter=_MOST_STEPS, random_state=seed)
    with _quiet():
        return model.fit(x)


def _quiet() -> Any:
    """Return a context in which scikit-learn does not say that it stopped at the last step."""
    from sklearn.exceptions import ConvergenceWarning

    return warnings.catch_warnings(action="ignore", category=ConvergenceWarning)
