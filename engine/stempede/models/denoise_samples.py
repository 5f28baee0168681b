"""Lattices a denoiser learns from: of any cell, and as much that is no lattice.

Two-dimensional lattices of one to five columns per cell, straight, staggered, striped or each
column off its place at random; with vacancies, edges and a second crystal; beside them
amorphous patches, lone columns and bare film. What is regular here is never the same twice, so
that the only safe guess of the unseen is what the counts beside it say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stempede.simulate.scan import Gaussians, Scan, expected, support
from stempede_kernels.anscombe import mean_root, stabilise

SIDE = 120
"""Side of a scene, px."""
CROP = 96
"""Side of a sample cut from it."""

WIDTHS_PX = (1.2, 5.0)
APART = (3.2, 8.0)
"""Distance of nearest columns, in widths."""
ELECTRONS = (5.0, 5000.0)
"""Electrons of the brightest columns."""
_FILM = (0.008, 1.0)
"""Film over the brightest column's peak."""
_KINDS = ("lattice", "amorphous", "lone", "film")
_SHARES = (0.7, 0.12, 0.08, 0.10)
_READ_SHARE = 0.25


@dataclass(frozen=True)
class Samples:
    """What one step learns from.

    Parameters
    ----------
    seen, wanted : (n, side, side) float32 array
        Roots of counts and their means, both less the seen ones' mean over their deviation.
    """

    seen: np.ndarray
    wanted: np.ndarray


def scenes(n: int, seed: int) -> np.ndarray:
    """Return (n, SIDE, SIDE) float32 expected images; the brightest columns hold 1 electron."""
    return np.stack([_scene(np.random.default_rng([seed, k])) for k in range(n)])


def draw(pool: np.ndarray, n: int, rng: np.random.Generator) -> Samples:
    """Return n noisy crops of scenes, each at a dose of its own."""
    both = [_sample(pool[rng.integers(len(pool))], rng) for _ in range(n)]
    return Samples(*(np.stack(part).astype(np.float32) for part in zip(*both, strict=True)))


def _sample(scene: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    y, x = rng.integers(SIDE - CROP + 1, size=2)
    crop = scene[y : y + CROP, x : x + CROP]
    # turned by a quarter, what is alike along rows would be alike along columns
    crop = crop[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
    electrons = np.exp(rng.uniform(*np.log(ELECTRONS))) * crop.astype(np.float64)
    read = rng.uniform(0.1, 1.5) if rng.random() < _READ_SHARE else 0.0
    counts = rng.poisson(electrons) + read * rng.standard_normal(crop.shape)
    seen, wanted = stabilise(counts, read), mean_root(electrons, read)
    # frames hold more or less vacuum than crops do, which moves mean and deviation
    middle = seen.mean() + rng.uniform(-0.3, 0.3) * seen.std()
    spread = max(float(seen.std()), 1e-3) * np.exp(rng.uniform(-0.4, 0.4))
    return (seen - middle) / spread, (wanted - middle) / spread


def _scene(rng: np.random.Generator) -> np.ndarray:
    sigma = float(np.exp(rng.uniform(*np.log(WIDTHS_PX))))
    apart = sigma * rng.uniform(*APART)
    kind = rng.choice(_KINDS, p=_SHARES)
    if kind == "lattice":
        yx, intensity = _crystals(apart, rng)
    elif kind == "film":
        yx, intensity = np.zeros((0, 2)), np.zeros(0)
    else:
        yx, intensity = _strewn(apart * (3.0 if kind == "lone" else 1.0), rng)
    # one nm is one px here, so that widths and jitter are in px
    scan = Scan(
        SIDE,
        SIDE,
        1.0,
        1.0,
        sigma_nm=(sigma,) * 3,
        background=0.01,
        carbon=rng.uniform(0, 0.3),
        patches=int(rng.random() < 0.2),
        jitter_x_nm=rng.uniform(0, 0.25) * sigma,
        jitter_y_nm=rng.uniform(0, 0.1) * sigma,
    )
    widths = sigma * rng.uniform(0.93, 1.07, len(yx))
    columns = Gaussians(yx[:, 0], yx[:, 1], intensity, widths)
    film = np.exp(rng.uniform(*np.log(_FILM))) / (2 * np.pi * sigma**2)
    image = expected(scan, columns, scan.sampling(rng)) + film * support(scan, rng)
    return image.astype(np.float32)


def _crystals(apart: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return places (n, 2) and intensities of one or two crystals, or one and disorder."""
    yx, intensity = _crystal(apart, rng)
    if rng.random() < 0.4:
        return yx, intensity
    inside = _region(yx, rng)
    beside = rng.random()
    if beside < 0.5:
        return yx[inside], intensity[inside]
    other = _crystal(apart, rng) if beside < 0.8 else _strewn(apart, rng)
    # the same region for both, and a gap between them
    far = ~_near(other[0], yx[inside], 0.8 * apart)
    parts = ((yx[inside], intensity[inside]), (other[0][far], other[1][far]))
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _region(yx: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return which places lie in a half plane or in a rounded outline."""
    off = yx - rng.uniform(0.2, 0.8, 2) * SIDE
    turn = rng.uniform(0, 2 * np.pi)
    u = off @ [np.sin(turn), np.cos(turn)]
    v = off @ [np.cos(turn), -np.sin(turn)]
    if rng.random() < 0.5:
        return np.asarray(u > 0)
    half = rng.uniform(0.2, 0.6, 2) * SIDE
    return np.asarray(abs(u / half[0]) ** 3 + abs(v / half[1]) ** 3 < 1)


def _crystal(apart: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a crystal that covers the scene."""
    basis, brightness, vectors = _cell(apart, rng)
    reach = int(2 * SIDE / min(np.linalg.norm(vectors, axis=1))) + 2
    i, j = (g.ravel() for g in np.meshgrid(*(np.arange(-reach, reach + 1),) * 2))
    cells = np.stack([i, j], axis=1)
    yx = (cells[:, None] + basis) @ vectors + rng.uniform(0, SIDE, 2)
    yx = yx + _shifts(cells, len(basis), apart, rng)
    intensity = np.broadcast_to(brightness, yx.shape[:2]).copy()
    intensity *= 1 + rng.uniform(0, 0.15) * rng.standard_normal(intensity.shape).clip(-3, 3)
    gone = rng.random(intensity.shape) < (rng.uniform(0, 0.1) if rng.random() < 0.6 else 0.0)
    seen = ((yx > -apart) & (yx < SIDE + apart)).all(axis=-1) & ~gone
    return yx[seen], intensity[seen]


def _cell(apart: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return basis (m, 2), brightness (m,) and vectors (2, 2) of a cell turned at random."""
    if rng.random() < 0.25:
        # primitive sites of a square cell with its middle and its edges' middles
        basis = np.array([[0, 0], [0.5, 0.5], [0.5, 0], [0, 0.5]])
        lengths, gamma = 2 * apart * rng.uniform(0.97, 1.03, 2), rng.uniform(87, 93)
    else:
        edge = apart * rng.uniform(1, 2.8)
        lengths = np.array([edge, max(apart, edge * rng.uniform(0.7, 1.4))])
        gamma = rng.choice([90.0, 60.0, rng.uniform(60, 120)])
        basis = rng.random((int(rng.integers(1, 9)), 2))
    turn = np.deg2rad(rng.uniform(0, 360) + np.array([0.0, gamma]))
    vectors = lengths[:, None] * np.stack([np.sin(turn), np.cos(turn)], axis=1)
    basis = basis[_apart_in_cell(basis, vectors, 0.9 * apart)]
    brightness = np.exp(rng.uniform(np.log(0.12), 0, len(basis)))
    return basis, brightness / brightness.max(), vectors


def _apart_in_cell(basis: np.ndarray, vectors: np.ndarray, least: float) -> list[int]:
    kept: list[int] = []
    steps = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2)
    for k, site in enumerate(basis):
        off = (site - basis[kept])[:, None] + steps
        if not kept or np.linalg.norm(off @ vectors, axis=-1).min() >= least:
            kept.append(k)
    return kept


def _shifts(cells: np.ndarray, m: int, apart: float, rng: np.random.Generator) -> np.ndarray:
    """Return (cells, m, 2) px by which columns stand off their nodes."""
    each = rng.standard_normal((len(cells), m, 2)) if rng.random() < 0.6 else 0.0
    shift = rng.uniform(0, 0.08) * apart * each
    if rng.random() < 0.6:
        i, j = cells.T
        patterns = (i + j, i, j, rng.integers(0, 2, len(cells)))
        sign = 1.0 - 2.0 * (patterns[rng.integers(len(patterns))] % 2)
        # less on one side of a wall or of a ramp, or turned over at a few places
        slope = (i * rng.normal() + j * rng.normal()) / (1 + abs(i).max() / 3)
        sign = sign * (np.tanh(3 * slope) if rng.random() < 0.5 else 1.0)
        sign = np.where(rng.random(len(cells)) < 0.05, -sign, sign)
        shift = shift + 0.15 * apart * sign[:, None, None] * rng.uniform(-1, 1, (m, 2))
    return np.broadcast_to(shift, (len(cells), m, 2))


def _strewn(apart: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return places without order, no two closer than 0.8 of the distance given."""
    tries = rng.uniform(0, SIDE, (min(600, int(3 * (SIDE / apart) ** 2) + 1), 2))
    kept = np.zeros((0, 2))
    for place in tries:
        if not len(kept) or not _near(place[None], kept, 0.8 * apart)[0]:
            kept = np.vstack([kept, place])
    return kept, rng.uniform(0.15, 1.0, len(kept))


def _near(places: np.ndarray, others: np.ndarray, least: float) -> np.ndarray:
    if not len(places) or not len(others):
        return np.zeros(len(places), bool)
    return np.asarray(((places[:, None] - others) ** 2).sum(-1).min(1) < least**2)
