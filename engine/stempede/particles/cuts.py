"""Cuts: evidence of lines between touching particles, and cuts taken back.

All images here are frames of blocks, particles bright.
"""

from __future__ import annotations

import numpy as np

REACH = 5
NOISE = 1.5
BARE = 50
SAMPLE = 20_000
# a part is round enough to be a particle of its own where its border with the next is
# shorter than this share of its own width
NARROW = 0.4


def find_gaps(
    smooth: np.ndarray, mask: np.ndarray, valley: float, step: float, louder: float = 1.0
) -> np.ndarray:
    """Return the blocks of lines that lie between touching particles.

    A line is what a closing by ``REACH`` blocks fills, or the crest of a step in thickness;
    either counts above a share of the contrast between particles and background, and above
    what noise does where no particle is.

    Parameters
    ----------
    smooth : (y, x) float32 array
        Smoothed image.
    mask : (y, x) bool array
        Inside of particles.
    valley, step : float
        Shares of the contrast for dark lines and for steps; 0 turns either off.
    louder : float
        Noise inside particles over that of the background.

    Returns
    -------
    (y, x) bool array
    """
    gaps = np.zeros(smooth.shape, bool)
    if not mask.any() or mask.all():
        return gaps
    contrast = float(np.median(_some(smooth[mask])) - np.median(_some(smooth[~mask])))
    # noise and speckle make bright lines as well as dark ones: seen where no particle is
    bare = ~_extreme(mask, np.maximum)
    bare[[0, -1]] = bare[:, [0, -1]] = False
    if valley > 0:
        ridges = smooth + closing(-smooth)
        least = max(valley * contrast, louder * _noise(ridges, bare))
        gaps |= closing(smooth) - smooth > least
    if step > 0:
        rise, crest = steps(smooth)
        gaps |= crest & (rise > max(step * contrast, louder * _noise(rise, bare)))
    return gaps


def louder_inside(image: np.ndarray, mask: np.ndarray, factor: int) -> float:
    """Return the noise inside particles over that of the background, 1 or more.

    Counting noise grows with the signal: a bright particle on a dark support has more of it
    than the support shows. Mixed second differences of neighbouring pixels see neither
    slopes nor the steps and bends that particles and their overlaps have across blocks.

    Parameters
    ----------
    image : (y, x) float32 array
        In pixels, not smoothed.
    mask : (rows, columns) bool array
        Inside of particles, in blocks.
    factor : int
        Pixels across a block.
    """
    corners = [image[dy::factor, dx::factor] for dy, dx in ((0, 0), (1, 1), (0, 1), (1, 0))]
    rows, columns = corners[1].shape
    first, last, *others = (corner[:rows, :columns] for corner in corners)
    bend = np.abs(first + last - others[0] - others[1])
    inside = bend[~_extreme(~mask, np.maximum)[:rows, :columns]]
    outside = bend[~_extreme(mask, np.maximum)[:rows, :columns]]
    if min(len(inside), len(outside)) < BARE:
        return 1.0
    return max(1.0, float(inside.mean()) / max(float(outside.mean()), 1e-12))


def _some(values: np.ndarray) -> np.ndarray:
    """Return evenly spread values, few enough for their quantiles to cost little."""
    return values[:: max(1, len(values) // SAMPLE)]


def _noise(values: np.ndarray, bare: np.ndarray) -> float:
    """Return what noise alone does not exceed; 0 where too little is bare to tell."""
    found = values[bare]
    return NOISE * float(np.quantile(_some(found), 0.99)) if len(found) >= BARE else 0.0


def closing(values: np.ndarray) -> np.ndarray:
    """Return a (y, x) image closed by a square of ``REACH``."""
    return _extreme(_extreme(values, np.maximum), np.minimum)


def _extreme(values: np.ndarray, pick: np.ufunc) -> np.ndarray:
    """Return the extreme of a square of ``REACH`` around each pixel, as far as in the frame."""
    for axis in (0, 1):
        lines = np.moveaxis(values, axis, 0)
        found = lines.copy(order="K")
        for k in range(1, REACH // 2 + 1):
            pick(found[k:], lines[:-k], out=found[k:])
            pick(found[:-k], lines[k:], out=found[:-k])
        values = np.moveaxis(found, 0, axis)
    return values


def steps(smooth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rise over two pixels of a (y, x) image, and where it is greatest across."""
    padded = np.pad(smooth, 1, mode="edge")
    down = padded[2:, 1:-1] - padded[:-2, 1:-1]
    right = padded[1:-1, 2:] - padded[1:-1, :-2]
    rise = np.sqrt(down * down + right * right)
    around = np.pad(rise, 1)
    by_row = (rise >= around[2:, 1:-1]) & (rise > around[:-2, 1:-1])
    by_column = (rise >= around[1:-1, 2:]) & (rise > around[1:-1, :-2])
    return rise, np.where(np.abs(down) >= np.abs(right), by_row, by_column)


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
