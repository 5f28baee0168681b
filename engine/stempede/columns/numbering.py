"""Numbering: crystals in the convention of the tables, and their rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stempede.columns.crystal import Crystal
from stempede.columns.growth import Candidates
from stempede.columns.response import Response
from stempede.columns.spectrum import Cell
from stempede.columns.starts import Nodes
from stempede.columns.tables import COLUMNS, CRYSTALS
from stempede.tables import Table

_QUARTER = np.array([[0, 1], [-1, 0]])
_SWAP = np.array([[0, 1], [1, 0]])


@dataclass(frozen=True)
class Found:
    """A crystal: its straight cell and its nodes."""

    cell: Cell
    nodes: Nodes


def numbered(cell: Cell, nodes: Nodes) -> Found:
    """Turn a crystal's axes and origin to the convention of the tables, cell fitted anew.

    Parameters
    ----------
    cell : Cell
    nodes : Nodes
        Numbered along the cell's own axes.
    """
    turns = [np.linalg.matrix_power(_QUARTER, k) for k in range(4)]
    (ay, ax), (by, bx) = cell.vectors
    if ax * by - ay * bx < 0:
        turns = [t @ _SWAP for t in turns]
    turn = max(turns, key=lambda t: _along_x(t @ cell.vectors))
    ij = nodes.ij @ np.linalg.inv(turn)
    centres = np.flatnonzero(nodes.site == 0)
    if len(centres):
        off = np.hypot(*(nodes.start[centres] - nodes.start.mean(0)).T)
        ij = ij - np.rint(ij[centres[int(np.argmin(off))]])
    # twenty-fourths hold halves, thirds and quarters free of rounding
    nodes = replace(nodes, ij=np.rint(ij * 24) / 24)
    design = np.concatenate([np.ones((len(ij), 1)), nodes.ij], 1)
    fit = np.linalg.lstsq(design, nodes.start, rcond=None)[0]
    return Found(replace(cell, origin=fit[0], vectors=fit[1:]), nodes)


def _along_x(vectors: np.ndarray) -> float:
    """Return the cosine of a's angle to +x."""
    return float(vectors[0, 1] / np.hypot(*vectors[0]))


def column_rows(
    frame: int, found: list[Found], loose: Candidates, seen: Response, basis: Crystal
) -> Table:
    """Return the ``columns`` rows of a frame: starts of the fits, and peaks on no lattice.

    Parameters
    ----------
    frame : int
    found : list of Found
    loose : Candidates
        Peaks on no lattice.
    seen : Response
    basis : Crystal
    """
    species = np.array([s.species for s in basis.sites])
    parts = [_node_rows(k, f.nodes, species) for k, f in enumerate(found)]
    parts.append(_loose_rows(loose))
    rows = {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}
    order = np.lexsort((rows["x_px"], rows["y_px"]))
    rows = {n: v[order] for n, v in rows.items()}
    n, sigma, unit = len(order), seen.sigma_px, seen.scale or 1.0
    rows["intensity"] = rows["intensity"] / unit
    rows |= {
        "frame": np.full(n, frame),
        "column": np.arange(n),
        "sigma_major_px": np.full(n, sigma),
        "sigma_minor_px": np.full(n, sigma),
        "angle_deg": np.zeros(n),
        "amplitude": rows["intensity"] / (2 * np.pi * sigma**2),
        "state": np.full(n, "NOT_RUN"),
    }
    return Table(COLUMNS, rows)


def _node_rows(crystal: int, nodes: Nodes, species: np.ndarray) -> dict[str, np.ndarray]:
    n = len(nodes)
    return {
        "crystal": np.full(n, crystal),
        "y_px": nodes.start[:, 0],
        "x_px": nodes.start[:, 1],
        "i": nodes.ij[:, 0],
        "j": nodes.ij[:, 1],
        "species": species[nodes.site],
        "intensity": nodes.height,
        "significance": nodes.significance,
        "accepted": np.ones(n, bool),
        "reject_reason": np.full(n, ""),
    }


def _loose_rows(loose: Candidates) -> dict[str, np.ndarray]:
    n = len(loose.yx)
    return {
        "crystal": np.full(n, -1),
        "y_px": loose.yx[:, 0],
        "x_px": loose.yx[:, 1],
        "i": np.full(n, np.nan),
        "j": np.full(n, np.nan),
        "species": np.full(n, ""),
        "intensity": loose.height,
        "significance": loose.significance,
        "accepted": np.zeros(n, bool),
        "reject_reason": np.full(n, "off lattice"),
    }


def crystal_rows(frame: int, found: list[Found]) -> Table:
    """Return the ``crystals`` rows of a frame."""
    rows = []
    for k, f in enumerate(found):
        (ay, ax), (by, bx) = f.cell.vectors
        y, x = f.nodes.start.mean(0)
        rows.append(
            {
                "frame": frame,
                "crystal": k,
                "y_px": y,
                "x_px": x,
                "n_columns": len(f.nodes),
                "origin_y_px": f.cell.origin[0],
                "origin_x_px": f.cell.origin[1],
                "a_y_px": ay,
                "a_x_px": ax,
                "b_y_px": by,
                "b_x_px": bx,
                "a_px": np.hypot(ay, ax),
                "b_px": np.hypot(by, bx),
            }
        )
    return Table.from_rows(CRYSTALS, rows)
