"""Spectrum: cells that a frame's power spectrum speaks for, told from their harmonics.

A square of bright spots may be the cell's, that of half the cell, or one turned by 45°. What
decides is the pattern of strengths: the basis of the recipe predicts amplitude and phase of
every spot, and its correlation with what the frame holds is largest for the true cell.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stempede.backend import Backend
from stempede.columns.crystal import Crystal
from stempede.columns.response import Response
from stempede.columns.spots import Spots, spots_of

_STAGE = "columns.lattice"
ORDERS = 3
"""Highest index of a spot that is compared."""
_LEAST_OVER_NOISE = 12.0
"""What noise alone may reach."""
_SKEW_DEG = 12.0
_ASPECT = 1.25
"""Cells are pseudo-cubic: how far their angle may be from 90° and their edges from each other."""


@dataclass(frozen=True)
class Cell:
    """A lattice: ``position = origin + i a + j b``, rows (y, x) in px.

    Parameters
    ----------
    origin : (2,) float64 array
        A site of the octahedra's centres.
    vectors : (2, 2) float64 array
        Rows a and b.
    score : float
        Correlation of the basis with the frame, in standard deviations of white noise as strong
        as the frame: ranks cells of one frame.
    over_noise : float
        The same in those of the power between the spots, which a disordered support colours.
    likeness : float
        The same over the strength of the spots compared: 1 where the frame holds the basis and
        noise alone, above 0.9 for the right cell, below 0.7 where spots are there but follow
        another pattern.
    """

    origin: np.ndarray
    vectors: np.ndarray
    score: float = 0.0
    over_noise: float = 0.0
    likeness: float = 0.0

    @property
    def edge_px(self) -> float:
        """Geometric mean of both edges."""
        return float(np.sqrt(abs(np.linalg.det(self.vectors))))

    def at(self, ij: np.ndarray) -> np.ndarray:
        """Return (n, 2) positions of (n, 2) lattice coordinates."""
        return self.origin + ij @ self.vectors

    def coordinates(self, yx: np.ndarray) -> np.ndarray:
        """Return (n, 2) lattice coordinates of (n, 2) positions."""
        return (yx - self.origin) @ np.linalg.inv(self.vectors)


def grid_of(low: int, high: int) -> np.ndarray:
    """Return the (n, 2) pairs of whole numbers from low to high, high left out."""
    steps = np.arange(low, high)
    i, j = np.meshgrid(steps, steps, indexing="ij")
    return np.stack([i.ravel(), j.ravel()], axis=1)


def find_cell(
    image: np.ndarray, seen: Response, crystal: Crystal, backend: Backend, *, edge_px: float = 0.0
) -> Cell | None:
    """Return the cell that explains most of an image, or None.

    Parameters
    ----------
    image : (y, x) float32 array
        Counts to search, on the device, zero mean, zero where nothing is to be searched.
    seen : Response
        For the columns' width.
    crystal : Crystal
    backend : Backend
    edge_px : float
        Nominal edge of the cell where the frame is calibrated: cells off by more than a
        tenth or so lose score. 0 leaves the edge to the spots alone.

    Notes
    -----
    A bent crystal, or a small one in a large frame, may show in a part of the frame alone:
    where the whole holds no cell, its overlapping quarters are searched.
    """
    cell = _cell_of(image, seen.sigma_px, crystal, backend, edge_px)
    if cell is not None and cell.over_noise > _LEAST_OVER_NOISE:
        return cell
    half = [n // 2 for n in image.shape]
    best: Cell | None = None
    if min(half) < 12 * seen.sigma_px:
        return None
    for y in (0, half[0] // 2, half[0]):
        for x in (0, half[1] // 2, half[1]):
            part = image[y : y + half[0], x : x + half[1]]
            cell = _cell_of(part, seen.sigma_px, crystal, backend, edge_px)
            if cell is None or cell.over_noise < _LEAST_OVER_NOISE:
                continue
            if best is None or cell.over_noise > best.over_noise:
                best = replace(cell, origin=cell.origin + np.array([y, x]))
    return best


def _cell_of(
    image: np.ndarray, sigma: float, crystal: Crystal, backend: Backend, edge_px: float
) -> Cell | None:
    """Return the likeliest cell of one image, however unlikely; None without spots."""
    size = min(image.shape)
    spots = spots_of(image, sigma, backend, longest=size / 2.5)
    if len(spots.k) < 2:
        return None
    bases = _hypotheses(spots.k)
    edges = 1 / np.sqrt(np.abs(np.linalg.det(bases)))
    fits = (edges > 4.5 * sigma) & (edges < size / 2)
    bases, edges = bases[fits], edges[fits]
    if not len(bases):
        return None
    prior = _prior(edges, edge_px)
    order = np.argsort(-_strength(bases, spots, crystal, sigma) * prior)
    likely = np.stack([_refined(b, spots) for b in _distinct(bases[order], most=8)])
    cells = _phased(image, likely, crystal, sigma, backend, spots)
    prior = _prior(np.array([c.edge_px for c in cells]), edge_px)
    cells = [replace(c, score=c.score * float(p)) for c, p in zip(cells, prior, strict=True)]
    return max(cells, key=lambda c: c.score)


def likeness(
    image: np.ndarray, cell: Cell, crystal: Crystal, sigma: float, backend: Backend
) -> float:
    """Return how well the basis describes an image of one crystal; see ``Cell``.

    Parameters
    ----------
    image : (y, x) float32 array
        Counts of the crystal alone, zero mean, zero elsewhere, on the device.
    cell : Cell
    crystal : Crystal
    sigma : float
        Width of the columns in px.
    backend : Backend
    """
    bases = np.linalg.inv(cell.vectors).T[None]
    return _phased(image, bases, crystal, sigma, backend)[0].likeness


def _prior(edges: np.ndarray, edge_px: float) -> np.ndarray:
    """Return factors from 0.6 to 1 that prefer the nominal edge."""
    if not edge_px:
        return np.ones(len(edges))
    return 0.6 + 0.4 * np.exp(-0.5 * (np.log(edges / edge_px) / 0.1) ** 2)


def _hypotheses(k: np.ndarray) -> np.ndarray:
    """Return (n, 2, 2) reciprocal bases: pairs of spots, their halves, and the 45° cell."""
    first, second = np.triu_indices(len(k), 1)
    pairs = np.stack([k[first], k[second]], 1)
    pairs = np.concatenate(
        [pairs, np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], 1) / 2, pairs / 2]
    )
    length = np.hypot(pairs[..., 0], pairs[..., 1])
    cross = pairs[:, 0, 0] * pairs[:, 1, 1] - pairs[:, 0, 1] * pairs[:, 1, 0]
    sine = np.abs(cross) / np.maximum(length.prod(1), 1e-12)
    aspect = length.max(1) / np.maximum(length.min(1), 1e-12)
    return pairs[(sine > np.sin(np.radians(90 - _SKEW_DEG))) & (aspect < _ASPECT)]


def _indices() -> np.ndarray:
    """Return the spots compared, half of the plane: (n, 2) int."""
    hk = grid_of(-ORDERS, ORDERS + 1)
    return hk[(hk[:, 0] > 0) | ((hk[:, 0] == 0) & (hk[:, 1] > 0))]


def _amplitudes(crystal: Crystal, hk: np.ndarray) -> np.ndarray:
    """Return the basis' structure factors: (n,) complex, without the columns' width."""
    phase = np.exp(-2j * np.pi * hk @ crystal.positions().T)
    return phase @ np.array([s.brightness for s in crystal.sites])


def _damping(k: np.ndarray, sigma: float) -> np.ndarray:
    return np.exp(-2 * (np.pi * sigma) ** 2 * np.sum(k**2, -1))


def _strength(bases: np.ndarray, spots: Spots, crystal: Crystal, sigma: float) -> np.ndarray:
    """Score bases by the amplitudes near their spots, phases left out."""
    hk = _indices()
    k = hk @ bases
    size = np.array(spots.near.shape)
    index = np.rint(k / spots.step).astype(int) + size // 2
    inside = ((index >= 0) & (index < size)).all(-1)
    index = index.clip(0, size - 1)
    # three expected for the largest of nine bins of noise
    power = np.where(inside, spots.near[index[..., 0], index[..., 1]] - 3, 0).clip(0)
    model = np.abs(_amplitudes(crystal, hk)) * _damping(k, sigma)
    return (model * np.sqrt(power)).sum(1) / np.sqrt((model**2).sum(1))


def _distinct(bases: np.ndarray, most: int) -> list[np.ndarray]:
    """Return the first bases that differ as lattices."""
    kept: list[np.ndarray] = []
    for basis in bases:
        turns = [np.linalg.solve(other.T, basis.T) for other in kept]
        if not any(
            np.abs(t - np.rint(t)).max() < 0.1 and abs(abs(np.linalg.det(t)) - 1) < 0.2
            for t in turns
        ):
            kept.append(basis)
        if len(kept) == most:
            break
    return kept


def _refined(basis: np.ndarray, spots: Spots) -> np.ndarray:
    """Fit a reciprocal basis to the spots that it indexes."""
    for _ in range(3):
        hk = spots.k @ np.linalg.inv(basis)
        near = np.rint(hk)
        known = (np.abs(hk - near).max(1) < 0.15) & (np.abs(near).max(1) > 0)
        known &= np.abs(near).max(1) <= ORDERS
        weight = np.sqrt(spots.power[known])[:, None]
        if np.linalg.matrix_rank(near[known] * weight) < 2:
            return basis
        basis = np.linalg.lstsq(near[known] * weight, spots.k[known] * weight, rcond=None)[0]
    return basis


def _phased(
    image: np.ndarray,
    bases: np.ndarray,
    crystal: Crystal,
    sigma: float,
    backend: Backend,
    spots: Spots | None = None,
) -> list[Cell]:
    """Find the origin of each lattice, and how well the basis correlates with the image there.

    The noise is that between the spots at each distance from zero, which a disordered support
    colours; without spots that of white noise.
    """
    hk = _indices()
    k = hk @ bases
    models = _amplitudes(crystal, hk) * _damping(k, sigma)
    found = _transform(image, k.reshape(-1, 2), backend).reshape(models.shape)
    grid = grid_of(0, 20) / 20
    match = ((np.conj(models) * found) @ np.exp(2j * np.pi * hk @ grid.T)).real
    best = np.argmax(match, axis=1)
    white = np.full(models.shape, float((image**2).sum()))
    noise = white if spots is None else spots.noise(k)
    weight = np.abs(models) ** 2
    amount = match.max(axis=1)
    # half of the noise's power is in the real part
    score, over_noise = (
        amount / np.sqrt(np.maximum(np.sum(weight * n, axis=1) / 2, 1e-12)) for n in (white, noise)
    )
    strength = np.sqrt(np.sum((np.abs(found) ** 2 - noise).clip(0), axis=1) * weight.sum(axis=1))
    likeness = amount / np.maximum(strength, 1e-12)
    vectors = np.swapaxes(np.linalg.inv(bases), 1, 2)
    rows = zip(best, vectors, score, over_noise, likeness, strict=True)
    return [Cell(grid[b] @ v, v, float(s), float(o), float(w)) for b, v, s, o, w in rows]


def _transform(image: np.ndarray, k: np.ndarray, backend: Backend) -> np.ndarray:
    """Return sum of image · exp(-2πi k·r) at (n, 2) frequencies, as two matrix products."""
    xp = backend.xp
    y, x = (xp.arange(n, dtype=xp.float32) for n in image.shape)
    ky, kx = (backend.upload(k[:, c].astype(np.float32), _STAGE) for c in (0, 1))
    turn_x = 2 * np.pi * x[:, None] * kx[None, :]
    turn_y = 2 * np.pi * y[:, None] * ky[None, :]
    # real products: a complex one would turn the image complex first
    cosine, sine = image @ xp.cos(turn_x), image @ xp.sin(turn_x)
    along_y = xp.cos(turn_y) - 1j * xp.sin(turn_y)
    return backend.download(((cosine - 1j * sine) * along_y).sum(0), _STAGE)
