"""Crystal: what the cell of a projected lattice holds, and how bright each column is.

A cell is the pseudo-cubic one seen down its axis; sites stand at fractional positions
(along a, along b). The first site is the origin of the numbering and the centre of the
octahedra; the site whose role is ``X`` is what its neighbours are joined by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stempede.errors import RecipeError

ROLES = ("B", "A", "X")
"""Octahedron's centre (with X above and below it), corner cation, bridging anion."""


@dataclass(frozen=True)
class Site:
    """One column of the cell.

    Parameters
    ----------
    species : str
        Name in the tables (``Pb+X``).
    role : {"B", "A", "X"}
    i, j : float
        Fractional position along a and b, in [0, 1).
    brightness : float
        HAADF intensity relative to the brightest site; a start, never a constraint.
    """

    species: str
    role: str
    i: float
    j: float
    brightness: float


@dataclass(frozen=True)
class Crystal:
    """A projected cell.

    Parameters
    ----------
    name : str
    sites : tuple of Site
        The octahedron's centre first, at (0, 0).
    a_nm : float or None
        Nominal cell edge. Used to tell a harmonic from the cell where frames are
        calibrated, never to fix a length.
    """

    name: str
    sites: tuple[Site, ...]
    a_nm: float | None = None

    @property
    def species(self) -> tuple[str, ...]:
        """Names of the species, each once, in order of the sites."""
        return tuple(dict.fromkeys(s.species for s in self.sites))

    def named(self, role: str) -> str:
        """Return the species of a role."""
        return next(s.species for s in self.sites if s.role == role)

    def positions(self) -> np.ndarray:
        """Return the (n, 2) fractional positions (i, j)."""
        return np.array([(s.i, s.j) for s in self.sites])


def _perovskite(
    name: str, species: tuple[str, str, str], a_nm: float, *, bright: tuple[float, float]
) -> Crystal:
    b, a, x = species
    return Crystal(
        name,
        (
            Site(b, "B", 0.0, 0.0, 1.0),
            Site(a, "A", 0.5, 0.5, bright[0]),
            Site(x, "X", 0.5, 0.0, bright[1]),
            Site(x, "X", 0.0, 0.5, bright[1]),
        ),
        a_nm,
    )


_HALIDE = ("Pb+X", "Cs", "X")

SHIPPED: dict[str, Crystal] = {
    c.name: c
    for c in (
        # brightness: sum of Z^1.7 along the column over that of B+X
        _perovskite("CsPbI3", _HALIDE, 0.629, bright=(0.34, 0.32)),
        _perovskite("CsPbBr3", _HALIDE, 0.587, bright=(0.41, 0.19)),
        _perovskite("CsPbCl3", _HALIDE, 0.561, bright=(0.47, 0.06)),
        _perovskite("SrTiO3", ("Ti+O", "Sr", "O"), 0.3905, bright=(1.91, 0.14)),
        _perovskite("BaTiO3", ("Ti+O", "Ba", "O"), 0.4, bright=(3.66, 0.14)),
    )
}


def crystal_of(value: str | Mapping[str, Any] | Crystal) -> Crystal:
    """Return the crystal a recipe means: a shipped name, or its ``[crystal]`` table.

    The table has ``name``, optionally ``a_nm``, and ``sites``: a list of tables with
    ``species role i j brightness``.

    Raises
    ------
    RecipeError
        Unknown name, or a table that is no cell; every mistake is named.
    """
    if isinstance(value, Crystal):
        return value
    if isinstance(value, str):
        if value not in SHIPPED:
            raise RecipeError(
                f"unknown crystal '{value}'; shipped are {', '.join(SHIPPED)}, "
                f"or give your own cell as a [crystal] table"
            )
        return SHIPPED[value]
    return _from_table(value)


def _from_table(table: Mapping[str, Any]) -> Crystal:
    mistakes = [f"crystal has no key '{k}'" for k in sorted(set(table) - {"name", "a_nm", "sites"})]
    sites = []
    for k, row in enumerate(table.get("sites", ())):
        try:
            site = Site(**dict(row))
        except TypeError as error:
            mistakes.append(f"crystal site {k}: {error}")
            continue
        mistakes += _site_mistakes(k, site)
        sites.append(site)
    roles = [s.role for s in sites]
    if not mistakes and ("B" not in roles or roles[0] != "B" or (sites[0].i, sites[0].j) != (0, 0)):
        mistakes.append("crystal wants its first site to be the octahedron's: role 'B' at i=0, j=0")
    if mistakes:
        raise RecipeError("\n".join(mistakes))
    return Crystal(str(table.get("name", "crystal")), tuple(sites), table.get("a_nm"))


def _site_mistakes(k: int, site: Site) -> list[str]:
    mistakes = []
    if site.role not in ROLES:
        mistakes.append(f"crystal site {k}: role is one of {', '.join(ROLES)}; found '{site.role}'")
    if not (0 <= site.i < 1 and 0 <= site.j < 1):
        mistakes.append(f"crystal site {k}: i and j lie in [0, 1); found {site.i}, {site.j}")
    if not site.brightness > 0:
        mistakes.append(f"crystal site {k}: brightness is above 0; found {site.brightness}")
    return mistakes
