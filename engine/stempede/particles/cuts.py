"""Cuts: evidence of lines between touching particles, and cuts taken back.

All images here are frames of blocks, particles bright.
"""

from __future__ import annotations

import numpy as np

from stempede.particles.blocks import Blocks, closing

# a part is round enough to be a particle of its own where its border with the next is
# shorter than this share of its own width
NARROW = 0.4


def find_gaps(blocks: Blocks, valley: float, step: float) -> np.ndarray:
    """Return the blocks of lines that lie between touching particles.

    A line is what a closing by ``REACH`` blocks fills, or the crest of a step in thickness;
    either counts above a share of the contrast between particles and background, and above
    what noise does where no particle is, or inside particles where it is louder.

    Parameters
    ----------
    blocks : Blocks
    valley, step : float
        Shares of the contrast for dark lines and for steps; 0 turns either off.

    Returns
    -------
    (y, x) bool array
    """
    smooth = blocks.smooth
    gaps = np.zeros(smooth.shape, bool)
    if not blocks.comparable:
        return gaps
    louder = max(1.0, blocks.louder)
    if valley > 0:
        # noise and speckle make bright lines as well as dark ones: seen where no particle is
        ridges = smooth + closing(-smooth)
        least = max(valley * blocks.contrast, louder * blocks.noise(ridges))
        gaps |= closing(smooth) - smooth > least
    if step > 0:
        least = max(step * blocks.contrast, louder * blocks.noise(blocks.rise))
        gaps |= blocks.crest(least)
    return gaps


def rejoin(parts: np.ndarray, owner: np.ndarray, smallest: float) -> tuple[np.ndarray, np.ndarray]:
    """Take back cuts that leave splinters.

    A part much smaller than the typical one joins the part of the same region it shares most
    border with, smallest first; unless that border is narrow, as between two particles.

    Parameters
    ----------
    parts : (y, x) int array
        0 on the background.
    owner : (n + 1,) int array
        Region of each part; 0 for the background and for parts that are not there.
    smallest : float
        Least area as a share of the typical part's, above which half of the summed widths lie.

    Returns
    -------
    parts : (y, x) int array
    owner : (n + 1,) int array
        0 for parts that have joined others.
    """
    area = np.bincount(parts.ravel(), minlength=len(owner)).astype(np.float64)
    sizes = np.sort(area[1:])
    if smallest <= 0 or not sizes.any():
        return parts, owner
    # as acceptance has it: half of the summed widths; of areas, one large clump would be half
    summed = np.cumsum(np.sqrt(sizes))
    least = smallest * sizes[np.searchsorted(summed, 0.5 * summed[-1])]
    links = _borders(parts, owner)
    into = np.arange(len(owner))
    # only cut regions have links: few parts, however many regions there are
    for i in sorted(links, key=lambda k: float(area[k])):
        if area[i] >= least:
            continue
        j = max(links[i], key=lambda k: links[i][k], default=0)
        if j == 0 or links[i][j] < NARROW * np.sqrt(area[i]):
            continue
        into[into == i] = j
        area[j] += area[i]
        for k, length in links.pop(i).items():
            del links[k][i]
            if k != j:
                links[j][k] = links[k][j] = links[j].get(k, 0) + length
        links[i] = {}
    return into[parts].astype(parts.dtype), np.where(into == np.arange(len(owner)), owner, 0)


def _borders(parts: np.ndarray, owner: np.ndarray) -> dict[int, dict[int, int]]:
    """Return, for each part, its neighbours in the same region and the px they share."""
    found = []
    for lines in (parts, parts.T):
        meet = (lines[1:] != lines[:-1]) & (lines[1:] > 0) & (lines[:-1] > 0)
        found.append(np.stack([lines[1:][meet], lines[:-1][meet]]))
    both = np.sort(np.concatenate(found, axis=1).astype(np.int64), axis=0)
    both = both[:, owner[both[0]] == owner[both[1]]]
    pairs, length = np.unique(both[0] * len(owner) + both[1], return_counts=True)
    links: dict[int, dict[int, int]] = {}
    for i, j, n in zip(*(v.tolist() for v in (pairs // len(owner), pairs % len(owner), length))):
        links.setdefault(i, {})[j] = n
        links.setdefault(j, {})[i] = n
    return links
