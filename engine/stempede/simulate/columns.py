"""Frames of halide perovskite dots down [001] whose every column and tilt is known.

Frame k of a session depends on the scene, the seed and k alone. Columns are Gaussians (see
``scan`` for what a pixel holds), placed by ``dot``; nothing is shared with what measures them.

Examples
--------
>>> scene = Scene((Dot(cells=(6, 5)),), Scan(height_px=300, width_px=320, dose_e_per_A2=500))
>>> image, truth = render(scene, frame=0, seed=1)
>>> image.shape, len(truth["truth_sites"])
((300, 320), 30)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from stempede.errors import InputError
from stempede.simulate.dot import SPECIES, Dot, build
from stempede.simulate.lattice_truth import TRUTH_COLUMNS, TRUTH_CRYSTALS, TRUTH_SITES
from stempede.simulate.scan import Gaussians, Scan, expected, record, support
from stempede.simulate.tilt_field import Tilt
from stempede.tables import Table

__all__ = ["Dot", "Scan", "Scene", "Tilt", "frames", "lay_out", "render", "series"]

_ATTEMPTS = 300


@dataclass(frozen=True)
class Scene:
    """What a frame shows.

    Parameters
    ----------
    dots : tuple of Dot
        A single dot without a centre stands in the middle; several are strewn without overlap.
    scan : Scan
    amorphous : int
        Patches of columns without order, each about two cells wide.
    """

    dots: tuple[Dot, ...] = field(default_factory=lambda: (Dot(),))
    scan: Scan = field(default_factory=Scan)
    amorphous: int = 0


def render(scene: Scene, frame: int, seed: int = 0) -> tuple[np.ndarray, dict[str, Table]]:
    """Make one frame with its truth.

    Returns
    -------
    image : (h, w) uint16 or float32 array
    truth : dict of Table
        ``truth_columns truth_sites truth_crystals``. Positions hold the drift, not the jitter.
    """
    rng = np.random.default_rng([seed, frame])
    built = [build(dot, scene.scan.pixel_size_nm, rng) for dot in scene.dots]
    centres = _centres(scene, built, rng)
    disorder = _disorder(scene, built, centres, rng)
    return _record(scene, frame, built, centres, disorder, rng)


def lay_out(scene: Scene, frame: int, seed: int = 0) -> dict[str, Table]:
    """Return the truth that ``render`` gives for this frame, without its image."""
    rng = np.random.default_rng([seed, frame])
    built = [build(dot, scene.scan.pixel_size_nm, rng) for dot in scene.dots]
    centres = _centres(scene, built, rng)
    parts = [_placed(scene.scan, b["columns"], c) for b, c in zip(built, centres, strict=True)]
    return _truth(scene.scan, frame, built, centres, parts)


def frames(
    scene: Scene, n: int, seed: int = 0, start: int = 0
) -> Iterator[tuple[np.ndarray, dict[str, Table]]]:
    """Yield what ``render`` returns for frames ``start`` to ``start + n - 1``."""
    for frame in range(start, start + n):
        yield render(scene, frame, seed)


def series(
    scene: Scene, n: int, seed: int = 0, *, drift_nm: float = 1.0, walk_nm: float = 0.02
) -> Iterator[tuple[np.ndarray, dict[str, Table], np.ndarray]]:
    """Yield n fast frames of one and the same dots.

    Parameters
    ----------
    scene : Scene
        ``scan`` describes one of the fast frames; its own drift adds within each.
    n : int
    seed : int
    drift_nm : float
        Length of the straight part of the drift from the first to the last frame.
    walk_nm : float
        Step of the random walk per frame and axis.

    Yields
    ------
    tuple
        Image, truth of that frame, and (2,) float64 shift ``(dy, dx)`` px of the specimen's
        image against frame 0.
    """
    rng = np.random.default_rng([seed, 0])
    built = [build(dot, scene.scan.pixel_size_nm, rng) for dot in scene.dots]
    centres = _centres(scene, built, rng)
    disorder = _disorder(scene, built, centres, rng)
    turn = rng.uniform(0, 2 * np.pi)
    straight = drift_nm * np.array([np.sin(turn), np.cos(turn)]) / max(1, n - 1)
    steps = straight + walk_nm * rng.standard_normal((n, 2))
    shifts = np.cumsum(np.where(np.arange(n)[:, None] > 0, steps, 0.0), axis=0)
    for k, shift in enumerate(shifts / scene.scan.pixel_size_nm):
        moved = replace(disorder, y=disorder.y + shift[0], x=disorder.x + shift[1])
        own = np.random.default_rng([seed, 1, k])
        image, truth = _record(scene, k, built, centres + shift, moved, own)
        yield image, truth, shift


def _record(
    scene: Scene,
    frame: int,
    built: list[dict[str, Any]],
    centres: np.ndarray,
    disorder: Gaussians,
    rng: np.random.Generator,
) -> tuple[np.ndarray, dict[str, Table]]:
    scan = scene.scan
    parts = [_placed(scan, b["columns"], c) for b, c in zip(built, centres, strict=True)]
    halves = [_halves(p, b["columns"]) for p, b in zip(parts, built, strict=True)]
    every = [*halves, disorder]
    drawn = Gaussians(
        *(np.concatenate([getattr(p, k) for p in every]) for k in ("y", "x", "intensity", "sigma"))
    )
    electrons = expected(scan, drawn, scan.sampling(rng)) + support(scan, rng)
    image = record(scan, electrons, rng)
    return image, _truth(scan, frame, built, centres, parts)


def _placed(scan: Scan, columns: dict[str, np.ndarray], centre: np.ndarray) -> Gaussians:
    species = columns["species"]
    return Gaussians(
        columns["dy"] + centre[0],
        columns["dx"] + centre[1],
        scan.intensities()[species] * columns["strength"],
        scan.sigmas_px()[species],
    )


def _halves(part: Gaussians, columns: dict[str, np.ndarray]) -> Gaussians:
    """Return what is drawn of a dot: two Gaussians for a column whose halves stand apart."""
    dy, dx = columns["spread_dy"], columns["spread_dx"]
    apart = np.hypot(dy, dx) > 0
    strength = part.intensity * np.where(apart, 0.5, 1.0)
    one = part.y + dy, part.x + dx, strength, part.sigma
    two = part.y - dy, part.x - dx, strength, part.sigma
    return Gaussians(*(np.concatenate([p, q[apart]]) for p, q in zip(one, two)))


def _centres(scene: Scene, built: list[dict[str, Any]], rng: np.random.Generator) -> np.ndarray:
    """Return (n, 2) centres: given, in the middle, or at random clear of each other."""
    h, w = scene.scan.shape
    reach = [float(np.hypot(b["columns"]["dy"], b["columns"]["dx"]).max()) for b in built]
    reach = [r + 4 * float(scene.scan.sigmas_px().max()) for r in reach]
    centres = np.empty((len(built), 2))
    for k, dot in enumerate(scene.dots):
        if dot.centre_px is not None:
            centres[k] = dot.centre_px
        elif len(built) == 1:
            centres[k] = np.array([h - 1, w - 1]) / 2 + rng.uniform(-0.5, 0.5, 2)
        else:
            centres[k] = _clear(centres[:k], reach[: k + 1], (h, w), rng)
    return centres


def _clear(
    there: np.ndarray, reach: list[float], shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Draw a centre whose circle lies in the frame and apart from those there."""
    own = reach[-1]
    room = np.array(shape) - 1 - 2 * own
    for _ in range(_ATTEMPTS if room.min() >= 0 else 0):
        centre = own + rng.random(2) * room
        if np.all(np.hypot(*(there - centre).T) >= np.array(reach[:-1]) + own):
            return centre
    raise InputError(
        f"simulated frame of {shape[0]} x {shape[1]} px has no room for {len(reach)} dots "
        f"of about {2 * own:.0f} px; take fewer or smaller dots, or a larger frame"
    )


def _disorder(
    scene: Scene, built: list[dict[str, Any]], centres: np.ndarray, rng: np.random.Generator
) -> Gaussians:
    """Draw columns without order, clear of the dots' own."""
    scan = scene.scan
    spacing = 0.31 / scan.pixel_size_nm
    taken = [
        np.stack([b["columns"]["dy"], b["columns"]["dx"]], axis=1) + c
        for b, c in zip(built, centres, strict=True)
    ]
    points = np.concatenate([*taken, np.empty((0, 2))])
    n_own = len(points)
    for _ in range(scene.amorphous):
        middle = rng.random(2) * scan.shape
        for offset in rng.normal(0, 2 * spacing, (40, 2)):
            trial = middle + offset
            if not len(points) or np.hypot(*(points - trial).T).min() >= 0.8 * spacing:
                points = np.vstack([points, trial])
    y, x = points[n_own:].T
    intensity = scan.intensities()[0] * rng.uniform(0.2, 1.0, len(y))
    return Gaussians(y, x, intensity, np.full(len(y), scan.sigmas_px()[0]))


def _truth(
    scan: Scan,
    frame: int,
    built: list[dict[str, Any]],
    centres: np.ndarray,
    parts: list[Gaussians],
) -> dict[str, Table]:
    columns, sites, crystals = [], [], []
    for k, (b, centre, part) in enumerate(zip(built, centres, parts, strict=True)):
        c, s = b["columns"], b["sites"]
        key = {"frame": np.full(len(part.y), frame), "crystal": np.full(len(part.y), k)}
        y, x = scan.recorded(part.y, part.x)
        kept = {"intensity": part.intensity, "sigma_px": part.sigma}
        named = {"species": np.array(SPECIES)[c["species"]], "i": c["i"], "j": c["j"]}
        inside = (y >= 0) & (y <= scan.height_px - 1) & (x >= 0) & (x <= scan.width_px - 1)
        kept["spread_px"] = np.hypot(c["spread_dy"], c["spread_dx"])
        row = {**key, "y_px": y, "x_px": x, **named, **kept, "br_fraction": c["br_fraction"]}
        columns.append(Table(TRUTH_COLUMNS, {**row, "inside": inside}))
        y, x = scan.recorded(s["dy"] + centre[0], s["dx"] + centre[1])
        here = {n: s[n] for n in ("i", "j", "tilt_deg", "layer", "domain")}
        key = {"frame": np.full(len(y), frame), "crystal": np.full(len(y), k)}
        sign = np.where((s["i"] + s["j"]) % 2, -1.0, 1.0)
        staggered = sign * s["tilt_deg"]
        row = {**key, "y_px": y, "x_px": x, **here, "staggered_tilt_deg": staggered}
        sites.append(Table(TRUTH_SITES, row))
        crystals.append(_crystal_row(scan, frame, k, b, centre))
    return {
        "truth_columns": Table.concat([Table.empty(TRUTH_COLUMNS), *columns]),
        "truth_sites": Table.concat([Table.empty(TRUTH_SITES), *sites]),
        "truth_crystals": Table.from_rows(TRUTH_CRYSTALS, crystals),
    }


def _crystal_row(
    scan: Scan, frame: int, k: int, built: dict[str, Any], centre: np.ndarray
) -> dict[str, Any]:
    """Cell and vectors as recorded: the drift is part of them."""
    zero = np.array(scan.recorded(*centre))
    a = np.array(scan.recorded(*(centre + built["a_px"]))) - zero
    b = np.array(scan.recorded(*(centre + built["b_px"]))) - zero
    lengths = np.hypot(*a), np.hypot(*b)
    turn = np.rad2deg(np.arctan2(b[0], b[1]) - np.arctan2(a[0], a[1])) % 360
    row = {"frame": frame, "crystal": k, "y_px": zero[0], "x_px": zero[1]}
    row |= {"a_y_px": a[0], "a_x_px": a[1], "b_y_px": b[0], "b_x_px": b[1], "gamma_deg": turn}
    row |= {"a_px": lengths[0], "b_px": lengths[1], "rotation_deg": built["rotation_deg"]}
    nm = scan.pixel_size_nm
    return {**row, "a_nm": lengths[0] * nm, "b_nm": lengths[1] * nm}


def with_dose(scene: Scene, dose_e_per_A2: float) -> Scene:
    """Return the scene at another dose."""
    return replace(scene, scan=replace(scene.scan, dose_e_per_A2=dose_e_per_A2))
