"""Tilts: what the columns of a watched run say of staggered tilts, before its final pass.

The parity that a dot's staggered tilt is counted by has an arbitrary origin, so its sign has to
be chosen; a site's own sign never decides, for that folds noise into signal. Here the sign of a
row of sites is that of the sites of its domain that share no column with the row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable

import numpy as np

from stempede.live.stopping import Running
from stempede.tables import MISSING, Table

APART = 3
"""Sites so many cells apart share no column, nor a neighbour that their directions come from."""
LEAST_SITES = 4
"""Sites that orient a row."""
LEAST_Z = 3.0
"""Their mean over its error, below which they do not."""
SHARED = 1.4
"""The error of a mean of staggered tilts over that of sites without common columns, at most."""
TILT_FIELDS = ("frame", "crystal", "domain", "i", "staggered_tilt_deg", "se_tilt_deg")
"""Of ``octahedra``, what orienting them takes."""
CONTRAST = "oriented_core_minus_shell_deg"


def oriented_tilts(octahedra: Table, frame: int) -> np.ndarray:
    """Return the staggered tilts of a frame whose sign is known, deg, in no order.

    Parameters
    ----------
    octahedra : Table
    frame : int

    Returns
    -------
    (n,) float64 array
        About as many positive values as the sample's order asks for; negative ones are sites
        against the rest of their domain.
    """
    here = octahedra["frame"] == frame
    here &= np.isfinite(octahedra["staggered_tilt_deg"]) & np.isfinite(octahedra["se_tilt_deg"])
    crystal, domain, i, tilt, se = (octahedra[name][here] for name in TILT_FIELDS[1:])
    found = [np.zeros(0)]
    for part in {*zip(crystal.tolist(), domain.tolist(), strict=True)}:
        mine = (crystal == part[0]) & (domain == part[1])
        found.append(_oriented(i[mine], tilt[mine], se[mine]))
    return np.concatenate(found)


def _oriented(i: np.ndarray, tilt: np.ndarray, se: np.ndarray) -> np.ndarray:
    """Return the tilts of one domain, row by row turned by the sites that lie apart."""
    found = [np.zeros(0)]
    for row in np.unique(i).tolist():
        apart = np.abs(i - row) >= APART
        n = int(apart.sum())
        if n < LEAST_SITES:
            continue
        mean = float(tilt[apart].mean())
        error = SHARED * float(np.sqrt((se[apart] ** 2).sum())) / n
        if abs(mean) >= LEAST_Z * error:
            found.append(np.sign(mean) * tilt[i == row])
    return np.concatenate(found)


def core_shell(layers: Table | None, place: Callable[[int], Hashable]) -> Running:
    """Return core minus shell tilt over dots of the view that most of them show, deg.

    Parameters
    ----------
    layers : Table or None
        As the reductions made it so far; its dots are oriented.
    place : callable
        Of a frame: what frames that show the same dots have in common.
    """
    running = Running()
    if layers is None:
        return running
    rows = np.asarray(layers["quantity"] == CONTRAST) & (layers["frame"] != MISSING)
    dots = layers.take(rows & np.isfinite(layers["mean"]))
    views = Counter(dots["view"].tolist()).most_common(1)
    if views:
        dots = dots.take(np.asarray(dots["view"] == views[0][0]))
    for frame, crystal, value in zip(*(dots[n].tolist() for n in ("frame", "crystal", "mean"))):
        running.add((place(frame), crystal), (1.0, value))
    running.n_frames = len(set(dots["frame"].tolist()))
    return running
