"""Lattice: the crystals of each frame, their nodes and where the fit of each should start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.spatial import cKDTree

from stempede.columns.crystal import Crystal, crystal_of
from stempede.columns.growth import Anchors, Candidates, grow
from stempede.columns.numbering import Found, column_rows, crystal_rows, numbered
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
_LEAST_LIKENESS = 0.7
"""Likeness to the basis below which the spots are another structure's, or another view's."""
_LEAST_PATTERN = 0.5
"""Correlation of the nodes' counts with the basis' brightness; true crystals of seven electrons
per column reach 0.8, chance meetings of nodes with a support's grain stay below."""
_EDGE_OFF = 0.12
"""Relative distance from the nominal edge that a wrong scale does not explain any more."""
_STRONG = 3.0
"""Significance of a peak that is likely a column."""


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

    def __post_init__(self) -> None:
        crystal_of(self.crystal)

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
                loose = _loose(found, candidates, seen, self.off_lattice_significance)
                columns.append(column_rows(int(frame), found, loose, seen, basis))
                crystals.append(crystal_rows(int(frame), found))
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
        if len(nodes) < self.min_columns or _pattern(nodes, basis) < _LEAST_PATTERN:
            return None
        return numbered(cell, nodes)


def _pattern(nodes: Nodes, basis: Crystal) -> float:
    """Return the correlation of counts with the basis' brightness, 1 where it has one only."""
    brightness = np.array([s.brightness for s in basis.sites])[nodes.site]
    if np.ptp(brightness) == 0 or np.ptp(nodes.height) == 0:
        return float(np.ptp(brightness) == 0)
    return float(np.corrcoef(brightness, nodes.height)[0, 1])


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


def _loose(found: list[Found], candidates: Candidates, seen: Response, least: float) -> Candidates:
    """Return the strong peaks that no crystal took."""
    loose = candidates.significance >= least
    if found and len(candidates.yx):
        starts = np.concatenate([f.nodes.start for f in found])
        loose &= cKDTree(starts).query(candidates.yx)[0] > 3 * seen.sigma_px
    return candidates.without(~loose)
