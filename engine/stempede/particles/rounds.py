"""Rounds: discs as the parts of clumps of round particles.

All lengths are in blocks, all images frames of blocks.
"""

from __future__ import annotations

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


def are_discs(parts: np.ndarray, discs: np.ndarray) -> bool:
    """Whether many of the parts that are as large as one disc are one.

    Corners and caps fit circles too, but then the particles whose outlines are plain to see
    are none.

    Parameters
    ----------
    parts : (y, x) int array
        As cut without the discs; 0 on the background.
    discs : (n, 4) float64 array
        As of ``find_discs``.
    """
    painted = paint_discs(discs, parts > 0)
    area = np.bincount(parts.ravel())
    disc, part, shared = _overlaps(painted, parts)
    agree = np.zeros(len(area))
    union = area[part] + np.bincount(painted.ravel())[disc] - shared
    np.maximum.at(agree, part, shared / union)
    typical = np.pi * np.median(discs[discs[:, 3] >= CLEAR, 2]) ** 2
    single = (area > typical / ONE) & (area < typical * ONE)
    single[0] = False
    return bool((agree[single] > AGREE).sum() > MANY * single.sum())


def with_discs(
    parts: np.ndarray, owner: np.ndarray, coarse: np.ndarray, discs: np.ndarray, blocks: Blocks
) -> tuple[np.ndarray, np.ndarray]:
    """Return parts and their regions with a part of its own for each disc that lacks one.

    A part that holds most of a disc and is too small for another one is that disc's already.
    One that shows no edge inside is a single piece, of which no disc is cut unless it is seen
    nearly all round: the end of a rod and the core of a star lie on circles too, but where
    particles overlap their thicknesses add.

    Parameters
    ----------
    parts : (y, x) int array
        0 on the background.
    owner : (n + 1,) int array
        Region of each part.
    coarse : (y, x) int array
        Regions.
    discs : (n, 4) float64 array
    blocks : Blocks
        The view that all these are seen in.
    """
    painted = paint_discs(discs, coarse)
    area = np.bincount(parts.ravel(), minlength=len(owner))
    inside = ~extreme(parts == 0, np.maximum) & blocks.edges[: parts.shape[0], : parts.shape[1]]
    edges = np.bincount(parts[inside], minlength=len(owner))
    disc, part, shared = _overlaps(painted, parts)
    radius, seen = np.concatenate([[[np.inf, 0]], discs[:, 2:]])[disc].T
    alone = area[part] < TWO * np.pi * radius**2
    alone |= (edges[part] < INNER * 2 * np.pi * radius) & (seen < ALL_ROUND)
    alone &= shared > MOST * np.pi * radius**2
    painted[np.isin(painted, disc[alone])] = 0
    found = painted > 0
    regions = np.zeros(len(discs), np.int64)
    regions[painted[found] - 1] = coarse[found]
    joined = np.where(found, painted + (len(owner) - 1), parts)
    return joined, np.concatenate([owner, regions])


def _overlaps(painted: np.ndarray, parts: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return disc, part and blocks shared of each pair that overlaps."""
    found = painted > 0
    n = int(parts.max(initial=0)) + 1
    pairs, shared = np.unique(
        painted[found].astype(np.int64) * n + parts[found], return_counts=True
    )
    disc, part = np.divmod(pairs, n)
    return disc, part, shared


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
        distance = np.hypot(dy, np.arange(columns.start, columns.stop) - x) / r
        own = (painted[rows, columns] == 0) & (distance <= 1 + NEAR)
        own &= (coarse[rows, columns] == here) & (here > 0)
        painted[rows, columns][own] = k
    return painted
