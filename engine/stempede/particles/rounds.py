"""Rounds: discs as the parts of clumps of round particles.

All lengths are in blocks, all images frames of blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stempede.particles.blocks import Blocks, extreme
from stempede.particles.discs import CLEAR, NEAR

# what is within this factor of the area of a typical disc is one particle by its size
ONE = 1.5
# overlap over union from which a part and a disc agree, and share of the parts that must
AGREE, MANY = 0.8, 1 / 3
# share of a disc that its own part holds, and how large, in discs, two that overlap are
MOST, TWO = 0.6, 1.5
# edges inside a part, as a share of a disc's circle, that show it to be more than one piece, and
# share of the circle on edges from which that is not asked
INNER, ALL_ROUND = 0.05, 0.7


@dataclass(frozen=True)
class Painted:
    """Discs painted over the parts of a frame as cut without them.

    Parameters
    ----------
    discs : (n, 4) float64 array
        As of ``find_discs``.
    parts : (y, x) int array
        0 on the background.
    map : (y, x) int32 array
        Disc 1..n of each block, 0 in none.
    area : (m + 1,) int array
        Blocks of each part.
    disc, part, shared : (k,) int arrays
        Pairs that overlap, and the blocks that they share; part 0 is the background.
    """

    discs: np.ndarray
    parts: np.ndarray
    map: np.ndarray
    area: np.ndarray
    disc: np.ndarray
    part: np.ndarray
    shared: np.ndarray

    @classmethod
    def of(cls, discs: np.ndarray, parts: np.ndarray, coarse: np.ndarray) -> Painted:
        """Paint discs over parts of (y, x) regions, all in blocks."""
        painted = paint_discs(discs, coarse)
        area = np.bincount(parts.ravel())
        found = painted > 0
        blocks = np.bincount(painted[found].astype(np.int64) * len(area) + parts[found])
        pairs = np.flatnonzero(blocks)
        return cls(discs, parts, painted, area, *np.divmod(pairs, len(area)), blocks[pairs])

    @property
    def are_particles(self) -> bool:
        """Whether many of the parts that are as large as one disc are one.

        Corners and caps fit circles too, but then the particles whose outlines are plain to
        see are none.
        """
        agree = np.zeros(len(self.area))
        union = self.area[self.part] + np.bincount(self.map.ravel())[self.disc] - self.shared
        np.maximum.at(agree, self.part, self.shared / union)
        typical = np.pi * np.median(self.discs[self.discs[:, 3] >= CLEAR, 2]) ** 2
        single = (self.area > typical / ONE) & (self.area < typical * ONE)
        single[0] = False
        return bool((agree[single] > AGREE).sum() > MANY * single.sum())

    def lacking(self, blocks: Blocks) -> np.ndarray:
        """Return the map of the discs that have no part of their own, but should.

        A part that holds most of a disc and is too small for another one is that disc's
        already. One that shows no edge inside is a single piece, of which no disc is cut
        unless it is seen nearly all round: the end of a rod and the core of a star lie on
        circles too, but where particles overlap their thicknesses add.
        """
        rows, columns = self.parts.shape
        inside = ~extreme(self.parts == 0, np.maximum) & blocks.edges[:rows, :columns]
        edges = np.bincount(self.parts[inside], minlength=len(self.area))
        radius, seen = np.concatenate([[[np.inf, 0]], self.discs[:, 2:]])[self.disc].T
        alone = self.area[self.part] < TWO * np.pi * radius**2
        alone |= (edges[self.part] < INNER * 2 * np.pi * radius) & (seen < ALL_ROUND)
        alone &= self.shared > MOST * np.pi * radius**2
        kept = np.arange(len(self.discs) + 1)
        kept[self.disc[alone]] = 0
        return kept[self.map]


def with_discs(
    painted: Painted, owner: np.ndarray, coarse: np.ndarray, blocks: Blocks
) -> tuple[np.ndarray, np.ndarray]:
    """Return parts and their regions with a part of its own for each disc that lacks one.

    Parameters
    ----------
    painted : Painted
    owner : (n + 1,) int array
        Region of each part.
    coarse : (y, x) int array
        Regions.
    blocks : Blocks
        The view that all these are seen in.
    """
    lacking = painted.lacking(blocks)
    found = lacking > 0
    regions = np.zeros(len(painted.discs), np.int64)
    regions[lacking[found] - 1] = coarse[found]
    joined = np.where(found, lacking + (len(owner) - 1), painted.parts)
    return joined, np.concatenate([owner, regions])


def paint_discs(discs: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Return (y, x) int32, at each block of a region the disc 1..n it belongs to, 0 in none.

    Where discs overlap the first, which is seen best, is whole: better one size that is right
    than two that are not. A disc keeps to the region of its centre.

    Parameters
    ----------
    discs : (n, 4) float64 array
    coarse : (y, x) int array
        Regions, 0 on the background.
    """
    painted = np.zeros(coarse.shape, np.int32)
    height, width = coarse.shape
    for k, (y, x, r, _) in enumerate(discs, start=1):
        reach = r * (1 + NEAR)
        rows = slice(max(0, int(y - reach)), min(height, int(y + reach) + 2))
        columns = slice(max(0, int(x - reach)), min(width, int(x + reach) + 2))
        here = coarse[min(max(round(y), 0), height - 1), min(max(round(x), 0), width - 1)]
        dy = np.arange(rows.start, rows.stop)[:, None] - y
        dx = np.arange(columns.start, columns.stop) - x
        own = (dy * dy + dx * dx <= reach * reach) & (painted[rows, columns] == 0)
        own &= (coarse[rows, columns] == here) & (here > 0)
        painted[rows, columns][own] = k
    return painted
