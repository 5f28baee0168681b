"""Lattice: the crystals of each frame, their nodes and where the fit of each should start."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from stempede.columns.crystal import Crystal, crystal_of
from stempede.columns.growth import Anchors, Candidates, grow
from stempede.columns.outline import Scene, beside, in_one_piece, outline, scene_of
from stempede.columns.peaks import response_of
from stempede.columns.response import Response
from stempede.columns.spectrum import Cell, find_cell, likeness
from stempede.columns.starts import Nodes, place_nodes
from stempede.columns.tables import COLUMNS, CRYSTALS
from stempede.frames import Batch, Problem
from stempede.tables import Table

_MOST_CRYSTALS = 12
_SURE = 4.5
_LEAST_LIKENESS = 0.65
"""Likeness to the basis below which the spots are another structure's, or another view's."""
_EDGE_OFF = 0.12
"""Relative distance from the nominal edge that a wrong scale does not explain any more."""
_STRONG = 3.0
"""Significance of a peak that is likely a column."""


@dataclass(frozen=True)
class Found:
    """A crystal: its straight cell and its nodes."""

    cell: Cell
    nodes: Nodes


@dataclass(frozen=True)
class Lattice:
    """Find each crystal of a frame and number its columns.

    Parameters
    ----------
    crystal : str, table or Crystal
        The cell's basis.
    min_columns : int
        Crystals with fewer columns are no crystals.
    off_lattice_significance : float
        Peaks above it that lie on no lattice are listed, not accepted.
    """

    crystal: Any = "CsPbI3"
    min_columns: int = 12
    off_lattice_significance: float = 5.0

    name: ClassVar[str] = "columns.lattice"
    reads: ClassVar[tuple[str, ...]] = ("electrons", "peaks")
    writes: ClassVar[tuple[str, ...]] = ("columns", "crystals")

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with ``columns`` (starts of the fits) and ``crystals``."""
        basis = crystal_of(self.crystal)
        columns, crystals, problems = [Table.empty(COLUMNS)], [Table.empty(CRYSTALS)], []
        for k, frame in enumerate(batch.frames):
            found, seen, candidates = self._of_frame(batch, k, basis)
            reason = _doubt(found, candidates, basis, float(np.sqrt(batch.pixel_size_nm[k].prod())))
            if reason:
                problems.append(Problem(int(frame), self.name, reason))
            if seen is not None:
                columns.append(self._columns(int(frame), found, candidates, seen, basis))
                crystals.append(_crystals(int(frame), found))
        return batch.with_(
            tables={"columns": Table.concat(columns), "crystals": Table.concat(crystals)},
            problems=problems,
        )

    def _of_frame(
        self, batch: Batch, k: int, basis: Crystal
    ) -> tuple[list[Found], Response | None, Candidates]:
        peaks = batch.tables["peaks"]
        own = peaks.take(peaks["frame"] == batch.frames[k])
        candidates = Candidates(
            np.stack([own["y_px"], own["x_px"]], 1), own["height"], own["significance"]
        )
        if not len(own):
            return [], None, candidates
        seen = response_of(batch, k, sigma_px=float(own["sigma_px"][0]))
        if seen is None:
            return [], None, candidates
        pixel_nm = float(np.sqrt(batch.pixel_size_nm[k].prod()))
        edge = basis.a_nm / pixel_nm if basis.a_nm and np.isfinite(pixel_nm) else 0.0
        found = self._crystals_of(seen, candidates, basis, batch, edge)
        if edge and _share_taken(found, candidates) < 0.5:
            # the scale or the recipe's edge may be wrong: let the spots alone speak
            other = self._crystals_of(seen, candidates, basis, batch, 0.0)
            if _share_taken(other, candidates) > 1.2 * _share_taken(found, candidates):
                found = other
        return found, seen, candidates

    def _crystals_of(
        self, seen: Response, candidates: Candidates, basis: Crystal, batch: Batch, edge: float
    ) -> list[Found]:
        backend, xp = batch.backend, batch.backend.xp
        found: list[Found] = []
        free = xp.ones(seen.counts.shape, dtype=xp.float32)
        taken = np.zeros(len(candidates.yx), bool)
        strong = candidates.significance > _STRONG
        scene = scene_of(seen, candidates.yx[strong], backend)
        for _ in range(_MOST_CRYSTALS):
            if (strong & ~taken).sum() < self.min_columns / 4:
                break
            mean = float((seen.counts * free).sum() / xp.maximum(free.sum(), 1))
            image = (seen.counts - mean) * free
            cell = find_cell(image, seen, basis, backend, edge_px=edge)
            if cell is None:
                break
            left = candidates.without(taken)
            scene = beside(scene, [f.nodes for f in found])
            crystal = self._crystal(cell, grow(cell, left, basis), left, scene, basis)
            if crystal is None:
                break
            nodes = crystal.nodes
            which = np.flatnonzero(~taken)
            taken[which[nodes.candidate[nodes.candidate >= 0]]] = True
            rest = free.copy()
            _clear(rest, nodes, crystal.cell)
            own = (seen.counts - mean) * (free - rest)
            own -= own.sum() / xp.maximum((free - rest).sum(), 1) * (free - rest)
            free = rest
            if likeness(own, crystal.cell, basis, seen.sigma_px, backend) > _LEAST_LIKENESS:
                found.append(crystal)
        return sorted(found, key=lambda f: tuple(f.nodes.start.mean(0)))

    def _crystal(
        self,
        cell: Cell,
        anchors: Anchors,
        candidates: Candidates,
        scene: Scene,
        basis: Crystal,
    ) -> Found | None:
        if len(anchors) < 4:
            return None
        nodes = place_nodes(anchors, cell, candidates, basis)
        kept = outline(nodes, scene, basis, edge_px=cell.edge_px) > 0.5
        nodes = nodes.take(in_one_piece(nodes, kept, self.min_columns))
        if len(nodes) < self.min_columns:
            return None
        return numbered(cell, nodes, basis)

    def _columns(
        self,
        frame: int,
        found: list[Found],
        candidates: Candidates,
        seen: Response,
        basis: Crystal,
    ) -> Table:
        species = np.array([s.species for s in basis.sites])
        parts = [
            {
                "crystal": np.full(len(f.nodes), k),
                "y_px": f.nodes.start[:, 0],
                "x_px": f.nodes.start[:, 1],
                "i": f.nodes.ij[:, 0],
                "j": f.nodes.ij[:, 1],
                "species": species[f.nodes.site],
                "intensity": f.nodes.height / (seen.scale or 1.0),
                "significance": f.nodes.significance,
                "accepted": np.ones(len(f.nodes), bool),
                "reject_reason": np.full(len(f.nodes), ""),
            }
            for k, f in enumerate(found)
        ]
        parts.append(_loose(found, candidates, seen, self.off_lattice_significance))
        rows = {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}
        order = np.lexsort((rows["x_px"], rows["y_px"]))
        rows = {n: v[order] for n, v in rows.items()}
        n = len(order)
        background = seen.background[
            np.rint(rows["y_px"]).astype(int).clip(0, seen.counts.shape[0] - 1),
            np.rint(rows["x_px"]).astype(int).clip(0, seen.counts.shape[1] - 1),
        ]
        sigma = seen.sigma_px
        return Table(
            COLUMNS,
            rows
            | {
                "frame": np.full(n, frame),
                "column": np.arange(n),
                "sigma_major_px": np.full(n, sigma),
                "sigma_minor_px": np.full(n, sigma),
                "angle_deg": np.zeros(n),
                "amplitude": rows["intensity"] / (2 * np.pi * sigma**2),
                "offset": (np.asarray(background, dtype=np.float64) - seen.shift)
                / (seen.scale or 1.0),
                "state": np.full(n, "NOT_RUN"),
            },
        )


def numbered(cell: Cell, nodes: Nodes, basis: Crystal) -> Found:
    """Turn a crystal's axes and origin to the convention of the tables, cell fitted anew."""
    turns = [
        np.array(t)
        for t in ([[1, 0], [0, 1]], [[0, 1], [-1, 0]], [[-1, 0], [0, -1]], [[0, -1], [1, 0]])
    ]
    vectors = cell.vectors
    # (y, x) rows: b lies towards +y of a where ax·by - ay·bx > 0
    if vectors[0, 1] * vectors[1, 0] - vectors[0, 0] * vectors[1, 1] < 0:
        turns = [t @ np.array([[0, 1], [1, 0]]) for t in turns]
    options = [t @ vectors for t in turns]
    best = int(np.argmax([v[0, 1] / np.hypot(*v[0]) for v in options]))
    ij = nodes.ij @ np.linalg.inv(turns[best])
    centres = nodes.site == 0
    middle = nodes.start.mean(0)
    if centres.any():
        off = np.where(centres, np.hypot(*(nodes.start - middle).T), np.inf)
        ij = ij - np.rint(ij[int(np.argmin(off))])
    nodes = replace(nodes, ij=np.rint(ij * 24) / 24)
    design = np.concatenate([np.ones((len(ij), 1)), nodes.ij], 1)
    fit = np.linalg.lstsq(design, nodes.start, rcond=None)[0]
    return Found(Cell(fit[0], fit[1:], cell.score), nodes)


def _share_taken(found: list[Found], candidates: Candidates) -> float:
    """Return the share of the likely columns' significance that crystals took."""
    strong = candidates.significance[candidates.significance > _SURE].sum()
    taken = sum(float(f.nodes.significance[f.nodes.significance > _SURE].sum()) for f in found)
    return taken / max(float(strong), 1e-12)


def _doubt(found: list[Found], candidates: Candidates, basis: Crystal, pixel_nm: float) -> str:
    """Return what is wrong with the lattices of a frame, empty where nothing is."""
    if not found:
        return f"no lattice of {basis.name} found" if len(candidates.yx) else ""
    edge = max(found, key=lambda f: len(f.nodes)).cell.edge_px * pixel_nm
    if not basis.a_nm or not np.isfinite(edge) or abs(edge / basis.a_nm - 1) < _EDGE_OFF:
        return ""
    return (
        f"cell of {edge:.3f} nm found where {basis.name} has {basis.a_nm:.3f} nm; "
        f"check the recipe's crystal and the pixel size"
    )


def _clear(free: Any, nodes: Nodes, cell: Cell) -> None:
    """Zero the free area in a square of 1.2 cells about every node."""
    radius = max(1, round(0.6 * cell.edge_px))
    for y, x in np.rint(nodes.place).astype(int):
        free[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1] = 0


def _loose(
    found: list[Found], candidates: Candidates, seen: Response, least: float
) -> dict[str, np.ndarray]:
    """Return the rows of strong peaks that no crystal took."""
    loose = candidates.significance >= least
    if found and len(candidates.yx):
        from scipy.spatial import cKDTree

        starts = np.concatenate([f.nodes.start for f in found])
        loose &= cKDTree(starts).query(candidates.yx)[0] > 3 * seen.sigma_px
    n = int(loose.sum())
    return {
        "crystal": np.full(n, -1),
        "y_px": candidates.yx[loose, 0],
        "x_px": candidates.yx[loose, 1],
        "i": np.full(n, np.nan),
        "j": np.full(n, np.nan),
        "species": np.full(n, ""),
        "intensity": candidates.height[loose] / (seen.scale or 1.0),
        "significance": candidates.significance[loose],
        "accepted": np.zeros(n, bool),
        "reject_reason": np.full(n, "off lattice"),
    }


def _crystals(frame: int, found: list[Found]) -> Table:
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
