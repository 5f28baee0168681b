"""Tables of columns whose tilts are known: a dot of a perovskite, with any tilt and any errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stempede.backend import Backend
from stempede.columns.tables import COLUMNS, CRYSTALS
from stempede.frames import Batch, Calibration, FrameRecord, frames_table
from stempede.tables import Table

CELL_PX = 41.9
SE_200 = (0.64, 1.25, 1.36)
"""Position errors of Pb+X, Cs and X at 200 electrons per square Angstrom, px of 0.15 A."""


@dataclass(frozen=True)
class Dot:
    """A crystal without errors: B, A and X columns, and the tilt of each B site.

    Positions are (y, x). The tilt of a site turns its four X about it from +x towards +y; an X
    between two sites stands at the mean of what they ask for.
    """

    ij: np.ndarray
    yx: np.ndarray
    species: np.ndarray
    tilt: dict

    def columns(self, rng=None, se=SE_200, frame=0, crystal=0):
        """Return the columns table; positions get errors where a generator is given."""
        n = len(self.ij)
        sigma = np.array([dict(zip(("Pb+X", "Cs", "X"), se))[s] for s in self.species])
        # unequal and correlated errors: nothing may take y for x
        factor = np.array([[0.8, 0.0], [0.3, 1.1]])
        noise = rng.normal(size=(n, 2)) @ factor.T * sigma[:, None] if rng is not None else 0
        covariance = factor @ factor.T
        yx = self.yx + noise
        return Table(
            COLUMNS,
            {
                "frame": np.full(n, frame),
                "crystal": np.full(n, crystal),
                "column": np.arange(n),
                "y_px": yx[:, 0],
                "x_px": yx[:, 1],
                "se_y_px": sigma * np.sqrt(covariance[0, 0]),
                "se_x_px": sigma * np.sqrt(covariance[1, 1]),
                "cov_yx_px2": sigma**2 * covariance[0, 1],
                "state": ["CONVERGED"] * n,
                "species": self.species,
                "i": self.ij[:, 0],
                "j": self.ij[:, 1],
                "significance": np.full(n, 9.0),
                "accepted": np.ones(n, bool),
            },
        )


def dot(shape=(9, 8), tilt=9.0, *, turned_deg=23.0, gamma_deg=91.0, ratio=1.03, origin=(300, 340)):
    """Build a dot of ``shape`` B sites.

    ``tilt`` is the staggered tilt, or a function (i, j) of it; b is ``ratio`` times a.
    """
    along, other = np.radians(turned_deg), np.radians(turned_deg + gamma_deg)
    a = CELL_PX * np.array([np.sin(along), np.cos(along)])
    b = CELL_PX * ratio * np.array([np.sin(other), np.cos(other)])
    sites = [
        (i, j)
        for i in range(-(shape[0] // 2), shape[0] - shape[0] // 2)
        for j in range(-(shape[1] // 2), shape[1] - shape[1] // 2)
    ]

    def place(i, j):
        return np.array(origin) + i * a + j * b

    tilts = {(i, j): (tilt(i, j) if callable(tilt) else tilt) * (-1.0) ** (i + j) for i, j in sites}
    bridges = {}
    for (i, j), angle in tilts.items():
        t = np.tan(np.radians(angle))
        for di, dj, edge in ((1, 0, a), (0, 1, b), (-1, 0, -a), (0, -1, -b)):
            half = edge / 2
            moved = half + t * np.array([half[1], -half[0]])
            bridges.setdefault((i + di / 2, j + dj / 2), []).append(place(i, j) + moved)
    corners = sorted({(i + p, j + q) for i, j in sites for p in (-0.5, 0.5) for q in (-0.5, 0.5)})
    ij = np.array([*sites, *corners, *bridges], float)
    yx = np.array(
        [place(*s) for s in sites + corners] + [np.mean(v, axis=0) for v in bridges.values()]
    )
    species = np.array(["Pb+X"] * len(sites) + ["Cs"] * len(corners) + ["X"] * len(bridges))
    return Dot(ij, yx, species, tilts)


def batch_of(columns, pixel_size_nm=(0.015, 0.015), **crystals):
    """Return a batch with columns and an empty row of ``crystals`` per crystal."""
    keys = np.unique(np.column_stack([columns["frame"], columns["crystal"]]), axis=0)
    frames = np.unique(keys[:, 0])
    records = tuple(
        FrameRecord(int(k), "memory", 0, (640, 640), "float32", Calibration(*pixel_size_nm))
        for k in frames
    )
    rows = Table(CRYSTALS, {"frame": keys[:, 0], "crystal": keys[:, 1], **crystals})
    images = np.zeros((len(frames), 640, 640), np.float32)
    tables = {"frames": frames_table(records), "columns": columns, "crystals": rows}
    return Batch(images, records, Backend.choose("cpu"), {}, tables)
