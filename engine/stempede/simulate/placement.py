"""Where simulated particles lie: agglomerates that just touch, strewn without overlap.

Positions live on a torus that is larger than the frame by more than one
agglomerate on each side. On a torus every place is alike, so the frame is an
unbiased window onto an endless sample, and what its border cuts is cut as in
a real micrograph: large particles more often.
"""

from __future__ import annotations

import numpy as np

from stempede.errors import InputError

_ATTEMPTS = 400
_PROFILE_BINS = 96


def agglomerate_sizes(
    n: int, touching: float, largest: int, rng: np.random.Generator
) -> np.ndarray:
    """Split n particles into agglomerates and single ones.

    Parameters
    ----------
    n : int
        Number of particles.
    touching : float
        Share of the particles in agglomerates.
    largest : int
        Most particles of an agglomerate.
    rng : numpy.random.Generator
        The frame's generator.

    Returns
    -------
    (m,) int64 array
        Particles per agglomerate, single ones as 1; adds to n.
    """
    bound = round(n * touching)
    sizes: list[int] = []
    while bound >= 2:
        size = min(int(rng.integers(2, largest + 1)), bound)
        # nobody is left over alone
        size = size + 1 if bound - size == 1 else size
        sizes.append(size)
        bound -= size
    return np.array(sizes + [1] * (n - sum(sizes)), dtype=np.int64)


def outline_points(radii: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Return outline vertices of turned bodies about their centres.

    Parameters
    ----------
    radii : (n, vertices) float64 array
        Radii at equal directions in each body's frame.
    angles : (n,) float64 array
        Turn of each body, radians.

    Returns
    -------
    (n, vertices, 2) float64 array
        ``(y, x)`` offsets.
    """
    u = np.arange(radii.shape[1]) * (2 * np.pi / radii.shape[1]) + angles[:, None]
    return np.stack([radii * np.sin(u), radii * np.cos(u)], axis=-1)


def build_agglomerate(
    points: np.ndarray, overlaps_px: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Bring bodies together one by one along straight lines until they touch.

    Each next body flies towards the centre of a body already there, from a random
    side, and stops where it first meets any of them, or that much further in.

    Parameters
    ----------
    points : (k, vertices, 2) float64 array
        Outlines about their own centres, ``(y, x)`` px.
    overlaps_px : (k,) float64 array
        How far each body is pushed in after contact; the first is not used.
    rng : numpy.random.Generator
        The frame's generator.

    Returns
    -------
    (k, 2) float64 array
        Centres, about the centroid of the agglomerate.
    """
    centres = np.zeros((len(points), 2))
    for k in range(1, len(points)):
        target = centres[rng.integers(k)]
        turn = rng.uniform(0, 2 * np.pi)
        outward = np.array([np.sin(turn), np.cos(turn)])
        there = (points[:k] + (centres[:k] - target)[:, None]).reshape(-1, 2)
        reach = _contact(there, points[k], outward)
        centres[k] = target + (reach - overlaps_px[k]) * outward
    return centres - centres.mean(axis=0)


def _contact(there: np.ndarray, comer: np.ndarray, outward: np.ndarray) -> float:
    """Distance along ``outward`` at which the comer's outline first meets the points there."""
    sideways = np.array([-outward[1], outward[0]])
    side = comer @ sideways
    low, step = side.min(), np.ptp(side) / _PROFILE_BINS
    front = np.full(_PROFILE_BINS + 1, -np.inf)
    back = np.full(_PROFILE_BINS + 1, -np.inf)
    np.maximum.at(back, ((side - low) / step).astype(int), -(comer @ outward))
    slots = np.floor((there @ sideways - low) / step).astype(int)
    facing = (slots >= 0) & (slots <= _PROFILE_BINS)
    np.maximum.at(front, slots[facing], there[facing] @ outward)
    return float((front + back).max())


def place(
    centres: list[np.ndarray],
    reaches: list[np.ndarray],
    extent: tuple[float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Put rigid agglomerates on a torus at random so that no circles of two of them overlap.

    Large agglomerates go first, so that dense frames still fill.

    Parameters
    ----------
    centres : list of (k, 2) float64 array
        Members' centres about the agglomerate's own, ``(y, x)`` px.
    reaches : list of (k,) float64 array
        Circle around each member, with half the gap to others, px.
    extent : tuple of float
        Height and width of the torus, px.
    rng : numpy.random.Generator
        The frame's generator.

    Returns
    -------
    (m, 2) float64 array
        Place of each agglomerate's centre on the torus.

    Raises
    ------
    InputError
        If one finds no room in 400 attempts.
    """
    size = np.asarray(extent)
    total = sum(len(c) for c in centres)
    taken, radius = np.empty((total, 2)), np.empty(total)
    places = np.empty((len(centres), 2))
    n = 0
    order = np.argsort([-float(r.sum()) for r in reaches], kind="stable")
    for m in order:
        k = len(centres[m])
        for _ in range(_ATTEMPTS):
            origin = rng.random(2) * size
            members = origin + centres[m]
            apart = members[:, None] - taken[None, :n]
            apart -= size * np.rint(apart / size)
            clear = (apart**2).sum(axis=2) >= (reaches[m][:, None] + radius[None, :n]) ** 2
            if clear.all():
                break
        else:
            raise InputError(
                f"simulated frame has no room for {total} particles: {n} were placed; "
                "lower count, touching, mean_size_nm or gap_px, or enlarge the frame"
            )
        places[m], taken[n : n + k], radius[n : n + k] = origin, members, reaches[m]
        n += k
    return places
