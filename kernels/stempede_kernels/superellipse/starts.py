"""Where fits start: shapes whose outlines have the harmonics that a region's outline has."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from stempede_kernels.superellipse.plan import (
    HIGH,
    LOW,
    N_FREE,
    N_HARMONICS,
    ORDERS,
    Floats,
    Ints,
    Outlines,
)

N_PHASES = 24
BRANCHES = 2
"""One start with p below 2, one with p from 2 on: lobes of the one lie where the other's gap."""

_P = np.array([0.35, 0.5, 0.7, 0.95, 1.2, 1.6, 2.0, 2.5, 3.2, 4.5, 7.0, 12.0])
_N_LOW = 6
_L = np.array([1.0, 1.12, 1.3, 1.55, 1.9, 2.4, 3.2, 4.5, 7.0])
_VERTICES = 1440
_BLOCK = 1024


@dataclass(frozen=True)
class Table:
    """Harmonics of shapes of radius 1 at angle 0, about their centroids.

    Parameters
    ----------
    p, l_ratio : (g,) float64 array
    level : (g,) float64 array
        Mean log radius.
    terms : (g, m) float64 array
        Coefficients d, 2d, …: real, as shapes are symmetric.
    offset : (g,) float64 array
        From the centre to the centroid, along the direction of the angle.
    """

    p: Floats
    l_ratio: Floats
    level: Floats
    terms: Floats
    offset: Floats


@lru_cache(maxsize=8)
def table(d: int) -> Table:
    """Return the harmonics of a grid of shapes of one symmetry, p below 2 first."""
    p, l_ratio = (a.ravel() for a in np.meshgrid(_P, _L, indexing="ij"))
    angle = np.arange(_VERTICES) * (2 * np.pi / _VERTICES)
    c, s = np.abs(np.cos(0.5 * d * angle)), np.abs(np.sin(0.5 * d * angle))
    first = (l_ratio[:, None] * c) ** p[:, None]
    radius = (first + s ** p[:, None]) ** (-1.0 / p[:, None])
    y, x = radius * np.sin(angle), radius * np.cos(angle)
    cross = x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y
    middle = (x + np.roll(x, -1, axis=1)) / 3.0
    offset = (cross * middle).sum(axis=1) / cross.sum(axis=1)
    if d != 1:
        offset[:] = 0.0
    x = x - offset[:, None]
    direction = np.unwrap(np.arctan2(y, x), axis=1)
    seen = np.diff(direction, axis=1, append=direction[:, :1] + 2 * np.pi)
    half = direction + 0.5 * seen
    log_radius = np.log(np.hypot(y, x))
    log_radius = 0.5 * (log_radius + np.roll(log_radius, -1, axis=1))
    n_terms = N_HARMONICS // d if d > 1 else N_HARMONICS // 2
    terms = [
        (log_radius * np.cos(m * d * half) * seen).sum(axis=1) / (2 * np.pi)
        for m in range(n_terms + 1)
    ]
    return Table(p, l_ratio, terms[0], np.stack(terms[1:], axis=1), offset)


def starts(outlines: Outlines, guess: Floats | None) -> tuple[Ints, Ints, Floats]:
    """Return region, order and parameters (m, N_FREE) of every start.

    Parameters
    ----------
    outlines : Outlines
    guess : (n, orders, branches, 2) float64 array or None
        p and L by d and branch, NaN where that is not to be tried: then one start has these
        and one those that the harmonics want. None: all are tried by their harmonics.
    """
    n = len(outlines.begin) - 1
    found = []
    for first in range(0, n, _BLOCK):
        rows = np.arange(first, min(first + _BLOCK, n))
        part = None if guess is None else guess[rows]
        for place, d in enumerate(ORDERS):
            found += _starts_of(outlines, rows, d, None if part is None else part[:, place])
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, N_FREE))
    region, order, theta = (np.concatenate(column) for column in zip(*found, strict=True))
    usable = np.isfinite(theta).all(axis=1)
    return region[usable], order[usable], theta[usable]


def _starts_of(
    outlines: Outlines, rows: Ints, d: int, guess: Floats | None
) -> list[tuple[Ints, Ints, Floats]]:
    """Return the starts of one d: by harmonics for both branches, then the guesses."""
    if guess is not None:
        tried: Any = np.isfinite(guess).all(axis=2)
        some = tried.any(axis=1)
        rows, guess, tried = rows[some], guess[some], tried[some]
    if not len(rows):
        return []
    rest = _rest(outlines.harmonics[rows], d)
    n_low = _N_LOW * len(_L)
    found = []
    for branch, part in enumerate((rest[:, :, :n_low], rest[:, :, n_low:])):
        at = part.reshape(len(part), -1).argmin(axis=1)
        phase, grid = np.divmod(at, part.shape[2])
        theta = _theta(outlines, rows, d, grid + n_low * branch, phase)
        if guess is None:
            found.append((rows, np.full(len(rows), d), theta))
            continue
        here = tried[:, branch]
        given = _from_guess(outlines, rows[here], d, guess[here, branch], rest[here])
        both = np.concatenate([theta[here], given])
        found.append((np.tile(rows[here], 2), np.full(len(both), d), both))
    return found


def _from_guess(outlines: Outlines, rows: Ints, d: int, guess: Floats, rest: Any) -> Floats:
    """Return starts with p and L of a guess (m, 2), turned as the harmonics want."""
    log_p = np.clip(np.log(guess[:, 0]), LOW[4], HIGH[4])
    log_l = np.clip(np.abs(np.log(guess[:, 1])), 0.0, HIGH[5])
    grid = np.abs(np.log(_P) - log_p[:, None]).argmin(axis=1) * len(_L)
    grid += np.abs(np.log(_L) - log_l[:, None]).argmin(axis=1)
    phase = rest[np.arange(len(rows)), :, grid].argmin(axis=1)
    theta = _theta(outlines, rows, d, grid, phase)
    theta[:, 4], theta[:, 5] = log_p, log_l
    return theta


def _rest(harmonics: Floats, d: int) -> Any:
    """Return (n, phases, grid) what shapes leave of the harmonics, but for a constant."""
    t = table(d)
    terms = t.terms.astype(np.float32)
    measured = (harmonics[:, 0] + 1j * harmonics[:, 1]).astype(np.complex64)
    turns = np.exp(1j * d * np.outer(np.arange(1, terms.shape[1] + 1), _angles(d)))
    n_terms = terms.shape[1]
    turned = measured[:, d : d * n_terms + 1 : d, None] * turns.astype(np.complex64)
    flat = np.ascontiguousarray(turned.real.transpose(0, 2, 1)).reshape(-1, n_terms)
    rest = (terms**2).sum(axis=1) - 2.0 * (flat @ terms.T)
    return rest.reshape(len(harmonics), N_PHASES, -1)


def _angles(d: int) -> Floats:
    """Return the angles that are tried, over one turn of the symmetry."""
    return np.asarray(np.arange(N_PHASES) * (2 * np.pi / N_PHASES / d))


def _theta(outlines: Outlines, rows: Ints, d: int, grid: Ints, phase: Ints) -> Floats:
    t = table(d)
    level = np.nan_to_num(outlines.harmonics[rows, 0, 0])
    log_radius = level - t.level[grid]
    angle = _angles(d)[phase]
    shift = t.offset[grid] * np.exp(log_radius)
    centre = outlines.centroid[rows]
    return np.stack(
        [
            centre[:, 0] - shift * np.sin(angle),
            centre[:, 1] - shift * np.cos(angle),
            log_radius,
            angle,
            np.log(t.p[grid]),
            np.log(t.l_ratio[grid]),
        ],
        axis=-1,
    )
