"""A finite dot of a halide perovskite seen down [001]: its columns and its tilts, in closed form.

Lattice coordinates (i, j) count cells along a and b from the B site nearest the dot's centroid.
Angles are in array coordinates, ``atan2(dy, dx)``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from stempede.errors import InputError
from stempede.simulate.tilt_field import Tilt

SPECIES = ("Pb+X", "Cs", "X")
RIMS = ("full", "bare")
# Z^1.7 of Br over I, and of Pb+Br over Pb+I
_BR_IN_X, _BR_IN_PBX = 0.494, 0.837
_BONDS = ((1, 0), (0, 1), (-1, 0), (0, -1))


@dataclass(frozen=True)
class Dot:
    """A dot on a CsPbX3 lattice.

    Parameters
    ----------
    cells : (int, int)
        B sites along a and b before corners are cut.
    a_nm, b_nm : float
    gamma_deg : float
        Angle from a to b.
    rotation_deg : float or None
        Direction of a; None draws it.
    centre_px : (y, x) or None
        None: the middle of the frame, less than one pixel off at random.
    tilt : Tilt
    cut_corners : int
        Cells taken off each corner along its diagonal (1 takes one site).
    rounded : bool
        The outline is the superellipse of exponent 3 inscribed in the rectangle.
    rim : {"full", "bare"}
        Full: outermost B sites keep all their X and Cs. Bare: X stand between two B sites and
        Cs among four only.
    missing_x : float
        Share of the X columns left out at random.
    vacancies : int
        B sites left out at random, in the inside.
    thickness : float
        Electrons per column relative to the scan's ``electrons``.
    thin_rim : float
        Thickness of layer 0 relative to the rest.
    br_low, br_high : float
        Share of Br at low and high a; columns scatter binomially when ``br_atoms`` > 0.
    br_atoms : int
        X atoms in a column, for that scatter.
    x_spread_pm : float
        Tilt that alternates along the beam: half of each X column stands this far to one side
        across its bond, half to the other.
    pbx_spread_pm, pbx_spread_deg : float
        The same of the B columns, along a direction against a.
    """

    cells: tuple[int, int] = (8, 8)
    a_nm: float = 0.6212
    b_nm: float = 0.6212
    gamma_deg: float = 90.0
    rotation_deg: float | None = None
    centre_px: tuple[float, float] | None = None
    tilt: Tilt = field(default_factory=Tilt)
    cut_corners: int = 0
    rounded: bool = False
    rim: str = "full"
    missing_x: float = 0.0
    vacancies: int = 0
    thickness: float = 1.0
    thin_rim: float = 1.0
    br_low: float = 0.0
    br_high: float = 0.0
    br_atoms: int = 0
    x_spread_pm: float = 0.0
    pbx_spread_pm: float = 0.0
    pbx_spread_deg: float = 0.0

    def __post_init__(self) -> None:
        if self.rim not in RIMS:
            raise InputError(f"rim is one of {', '.join(RIMS)}; found '{self.rim}'; correct it")
        if min(self.cells) < 1:
            raise InputError(f"cells are at least 1 along a and b; found {self.cells}")

    def outline(self) -> np.ndarray:
        """Return the (n_b, n_a) bool grid of B sites."""
        n_a, n_b = self.cells
        u, v = np.arange(n_a)[None], np.arange(n_b)[:, None]
        corner = np.minimum(u, n_a - 1 - u) + np.minimum(v, n_b - 1 - v)
        keep = corner >= self.cut_corners
        if self.rounded:
            p = abs(2 * u - n_a + 1) / n_a, abs(2 * v - n_b + 1) / n_b
            keep = keep & (p[0] ** 3 + p[1] ** 3 <= 1.0)
        return keep


def layers_of(outline: np.ndarray) -> np.ndarray:
    """Return the layer of each site of a grid: chessboard distance to the outside; -1 outside."""
    distance = ndimage.distance_transform_cdt(np.pad(outline, 1), metric="chessboard")
    return distance[1:-1, 1:-1] - 1


def build(dot: Dot, pixel_size_nm: float, rng: np.random.Generator) -> dict[str, Any]:
    """Lay out a dot about (0, 0).

    Returns
    -------
    dict
        ``columns``: species index, i, j, dy, dx (px from the dot's centre), strength (relative to
        the species), br_fraction, spread_dy and spread_dx (px, from the column's middle to
        that of one of its halves). ``sites``: i, j, dy, dx, tilt_deg, layer, domain.
        ``a_px``, ``b_px``: (dy, dx). ``rotation_deg``.
    """
    outline = dot.outline()
    v, u = np.nonzero(outline)
    middle = np.array([u.mean(), v.mean()])
    origin = np.argmin((u - middle[0]) ** 2 + (v - middle[1]) ** 2)
    grid_j, grid_i = np.indices(outline.shape)
    grid_i, grid_j = grid_i - u[origin], grid_j - v[origin]
    layer = layers_of(outline)
    staggered = dot.tilt.staggered(grid_i, layer, rng)
    signed = np.where((grid_i + grid_j) % 2, -staggered, staggered)
    centre = middle - (u[origin], v[origin])
    rotation = rng.uniform(-45, 45) if dot.rotation_deg is None else dot.rotation_deg
    vectors = _vectors(dot, pixel_size_nm, rotation)
    gone = _vacancies(dot, layer, rng)
    shape = _Shape(outline, layer, signed, grid_i, grid_j, vectors, centre)
    x, angles = _bridges(dot, shape)
    columns = _columns(dot, shape, x, gone, rng)
    columns |= _spread(dot, shape, columns, pixel_size_nm)
    here = np.nonzero(outline & ~gone)
    sites = {
        "i": grid_i[here].astype(float),
        "j": grid_j[here].astype(float),
        **shape.places(grid_i[here], grid_j[here]),
        "tilt_deg": angles[here],
        "layer": layer[here],
        "domain": np.zeros(len(here[0]), int)
        if dot.tilt.boundary is None
        else (grid_i[here] > dot.tilt.boundary).astype(int),
    }
    return {
        "columns": columns,
        "sites": sites,
        "a_px": vectors[0],
        "b_px": vectors[1],
        "rotation_deg": rotation,
    }


@dataclass(frozen=True)
class _Shape:
    """Grids of the B sites and the frame they stand in."""

    outline: np.ndarray
    layer: np.ndarray
    signed: np.ndarray
    i: np.ndarray
    j: np.ndarray
    vectors: np.ndarray  # (2, 2): a, b as (dy, dx)
    centre: np.ndarray  # (i, j) of the outline's centroid

    def places(self, i: np.ndarray, j: np.ndarray) -> dict[str, np.ndarray]:
        """Return dy, dx of lattice coordinates."""
        at = np.stack([i - self.centre[0], j - self.centre[1]], axis=-1) @ self.vectors
        return {"dy": at[..., 0], "dx": at[..., 1]}


def _vectors(dot: Dot, pixel_size_nm: float, rotation_deg: float) -> np.ndarray:
    turn = np.deg2rad([rotation_deg, rotation_deg + dot.gamma_deg])
    lengths = np.array([dot.a_nm, dot.b_nm]) / pixel_size_nm
    return np.stack([lengths * np.sin(turn), lengths * np.cos(turn)], axis=1)


def _vacancies(dot: Dot, layer: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    gone = np.zeros(layer.shape, bool)
    if dot.vacancies:
        inside = np.flatnonzero(layer >= 1)
        chosen = rng.choice(inside, min(dot.vacancies, len(inside)), replace=False)
        gone.ravel()[chosen] = True
    return gone


def _bridges(dot: Dot, shape: _Shape) -> tuple[dict[tuple[float, float], Any], np.ndarray]:
    """Return the X columns by (i, j), each (displacement, layer), and the tilt of each B site.

    An X between two B sites moves across their bond by half the bond times the tangent of the
    mean of what both sites ask for; where one site only holds it, that site decides.
    """
    padded = np.pad(shape.signed, 1)
    there = np.pad(shape.outline, 1)
    bridges: dict[tuple[float, float], Any] = {}
    angles = np.zeros(shape.signed.shape)
    for v, u in zip(*np.nonzero(shape.outline), strict=True):
        for di, dj in _BONDS:
            other = (v + 1 + dj, u + 1 + di)
            own = shape.signed[v, u]
            # seen from the other end of the bond the same shift is a turn of the other sign
            turn = 0.5 * (own - padded[other]) if there[other] else own
            angles[v, u] += 0.25 * turn
            if dot.rim == "bare" and not there[other]:
                continue
            bond = 0.5 * np.array([di, dj]) @ shape.vectors
            across = np.array([bond[1], -bond[0]])
            key = (shape.i[v, u] + 0.5 * di, shape.j[v, u] + 0.5 * dj)
            neighbour = shape.layer[v + dj, u + di] if there[other] else -1
            layer = max(shape.layer[v, u], neighbour)
            bridges[key] = (across * np.tan(np.deg2rad(turn)), layer)
    return bridges, angles


def _columns(
    dot: Dot,
    shape: _Shape,
    bridges: dict[tuple[float, float], Any],
    gone: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Return every column: B sites, then Cs, then X; each in raster order of the lattice."""
    b = np.nonzero(shape.outline & ~gone)
    cs, cs_layer = _corners(dot, shape)
    keys = sorted(bridges, key=lambda k: (k[1], k[0]))
    keys = [k for k in keys if rng.random() >= dot.missing_x]
    x = np.array(keys, dtype=float).reshape(-1, 2)
    shift = np.array([bridges[k][0] for k in keys]).reshape(-1, 2)
    n = [len(b[0]), len(cs), len(x)]
    i = np.concatenate([shape.i[b], cs[:, 0], x[:, 0]])
    j = np.concatenate([shape.j[b], cs[:, 1], x[:, 1]])
    layer = np.concatenate(
        [shape.layer[b], cs_layer, np.array([bridges[k][1] for k in keys], dtype=int)]
    )
    species = np.repeat([0, 1, 2], n)
    place = shape.places(i, j)
    place["dy"][n[0] + n[1] :] += shift[:, 0]
    place["dx"][n[0] + n[1] :] += shift[:, 1]
    br = _bromine(dot, i, species, rng)
    strength = dot.thickness * np.where(layer == 0, dot.thin_rim, 1.0)
    drop = np.select([species == 0, species == 2], [1 - _BR_IN_PBX, 1 - _BR_IN_X], 0.0)
    strength = strength * (1.0 - drop * br)
    return {"species": species, "i": i, "j": j, **place, "strength": strength, "br_fraction": br}


def _spread(
    dot: Dot, shape: _Shape, columns: dict[str, np.ndarray], pixel_size_nm: float
) -> dict[str, np.ndarray]:
    """Return how far, along y and x, one half of each column stands from its middle."""
    a, b = shape.vectors / np.hypot(*shape.vectors.T)[:, None]
    # X at half i bridge along a, the others along b; across turns (dy, dx) to (dx, -dy)
    along_a = columns["i"] % 1 > 0
    across = np.where(along_a[:, None], [a[1], -a[0]], [b[1], -b[0]])
    turn = np.deg2rad(dot.pbx_spread_deg) + np.arctan2(a[0], a[1])
    ways = np.stack([np.broadcast_to([np.sin(turn), np.cos(turn)], across.shape), across])
    lengths = np.array([dot.pbx_spread_pm, 0.0, dot.x_spread_pm])[columns["species"]]
    own = ways[(columns["species"] == 2).astype(int), np.arange(len(across))]
    dy, dx = (own * (lengths * 1e-3 / pixel_size_nm)[:, None]).T
    return {"spread_dy": dy, "spread_dx": dx}


def _corners(dot: Dot, shape: _Shape) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, 2) coordinates of the Cs and the deepest layer among their B neighbours."""
    n_b, n_a = shape.outline.shape
    padded = np.pad(np.where(shape.outline, shape.layer, -1), 1, constant_values=-1)
    around = np.stack([padded[v : v + n_b + 1, u : u + n_a + 1] for v in (0, 1) for u in (0, 1)])
    wanted = 4 if dot.rim == "bare" else 1
    v, u = np.nonzero((around >= 0).sum(axis=0) >= wanted)
    at = np.stack([u - 0.5 + shape.i[0, 0], v - 0.5 + shape.j[0, 0]], axis=1)
    return at, around.max(axis=0)[v, u]


def _bromine(dot: Dot, i: np.ndarray, species: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    share = dot.br_low + (dot.br_high - dot.br_low) * (i - i.min()) / max(1.0, np.ptp(i))
    if dot.br_atoms:
        share = rng.binomial(dot.br_atoms, np.clip(share, 0, 1)) / dot.br_atoms
    return np.where(species == 1, 0.0, share)
