"""Split: touching particles, by distance transform, h-maxima markers and watershed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import ndimage

from stempede.frames import Batch
from stempede.particles.outlines import shrink
from stempede_kernels.distance import distance
from stempede_kernels.label import renumber
from stempede_kernels.maxima import label_h_maxima
from stempede_kernels.pieces import whole_pieces
from stempede_kernels.watershed import watershed

SMOOTH = 0.8
REACH = 5
NOISE = 1.5
BARE = 50
AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


@dataclass(frozen=True)
class Split:
    """Cut regions at their necks.

    Necks are looked for in blocks of a fixed share of the frame's typical particle, so that
    the rough outline of a large particle makes none.

    Parameters
    ----------
    depth : float
        A neck is cut where the distance to the background falls by this share of the
        smaller part's greatest distance.
    least : float
        And by this many blocks at least.
    blocks : float
        Blocks across the typical particle (``frames.scale_px``); smaller ones are looked at
        pixel by pixel.
    valley : float
        Lines narrower than a quarter of the typical particle that are darker than both of
        their sides by this share of the particles' contrast are gaps; 0 turns this off.
    """

    depth: float = 0.18
    least: float = 0.75
    blocks: float = 18.0
    valley: float = 0.15

    name: ClassVar[str] = "particles.split"
    reads: ClassVar[tuple[str, ...]] = ("images", "regions", "frames")
    writes: ClassVar[tuple[str, ...]] = ("labels",)

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with ``labels``: int32, 0 background, 1..n per frame in raster order."""
        scales = np.nan_to_num(batch.tables["frames"]["scale_px"], nan=1.0)
        labels = batch.backend.through_host(
            self.name,
            split_regions,
            batch.images,
            batch.maps["regions"],
            factors=np.maximum(1, scales / self.blocks).astype(int).tolist(),
            depth=self.depth,
            least=self.least,
            valley=self.valley,
        )
        return batch.with_(maps={"labels": labels})


def split_regions(
    images: np.ndarray,
    regions: np.ndarray,
    factors: list[int],
    depth: float,
    least: float,
    valley: float,
) -> np.ndarray:
    """Return (b, y, x) int32 labels of regions cut at their necks.

    Labels run from 1 in raster order of each particle's first pixel, per frame; each is one
    piece without holes.
    """
    labels = np.empty(regions.shape, np.int32)
    for k, (image, frame, factor) in enumerate(zip(images, regions, factors)):
        gaps = valleys(image, frame > 0, factor, valley)
        labels[k] = renumber(whole_pieces(cut(frame, gaps, factor, depth, least)))[0]
    return labels


def valleys(image: np.ndarray, inside: np.ndarray, factor: int, share: float) -> np.ndarray:
    """Return the blocks of narrow dark lines of a (y, x) frame whose particles are bright.

    A line is what a closing by ``REACH`` blocks fills by more than ``share`` of the contrast
    between particles and background, and by more than noise.
    """
    smooth = ndimage.gaussian_filter(shrink(image, factor), SMOOTH)
    mask = shrink(inside.astype(np.float32), factor) > 0.5
    if share <= 0 or not mask.any() or mask.all():
        return np.zeros(smooth.shape, bool)
    contrast = float(np.median(smooth[mask]) - np.median(smooth[~mask]))
    filled = ndimage.grey_closing(smooth, (REACH, REACH)) - smooth
    # noise and speckle make bright lines as well as dark ones: seen where no particle is
    bare = ~ndimage.binary_dilation(mask, iterations=2)
    bare[[0, -1]] = bare[:, [0, -1]] = False
    noise = 0.0
    if np.count_nonzero(bare) >= BARE:
        ridges = smooth - ndimage.grey_opening(smooth, (REACH, REACH))
        noise = NOISE * float(np.quantile(ridges[bare], 0.99))
    gaps: np.ndarray = filled > max(share * contrast, noise)
    return gaps


def cut(
    regions: np.ndarray, gaps: np.ndarray, factor: int, depth: float, least: float
) -> np.ndarray:
    """Return a (y, x) frame's regions with a label of its own for each part of a cut one."""
    start = factor // 2
    coarse = regions[start::factor, start::factor]
    # blocks that are mostly inside: a rough outline makes no neck
    share = shrink((regions > 0).astype(np.float32), factor)
    mask = (share[: coarse.shape[0], : coarse.shape[1]] > 0.5) & (coarse > 0)
    coarse = np.where(mask, coarse, 0)
    if not mask.any():
        return regions
    gaps = gaps[: coarse.shape[0], : coarse.shape[1]]
    inside = distance(mask & ~borders(coarse) & ~gaps)
    markers, _ = label_h_maxima(inside, least, mask, h_relative=depth)
    parts = watershed(-inside, markers, mask)
    # a part is a pair of region and basin
    width = int(parts.max()) + 1
    pairs, part = np.unique(coarse.astype(np.int64) * width + parts, return_inverse=True)
    owner = pairs // width
    owner[pairs % width == 0] = 0
    n_parts = np.bincount(owner, minlength=int(regions.max()) + 1)
    n_parts[0] = 0
    if n_parts.max() < 2:
        return regions
    first = np.arange(len(pairs), dtype=np.int32) + int(regions.max()) + 1
    first[n_parts[owner] < 2] = 0
    return _paint(regions, first[part.reshape(coarse.shape)], factor, n_parts > 1)


def _paint(regions: np.ndarray, parts: np.ndarray, factor: int, is_cut: np.ndarray) -> np.ndarray:
    """Return regions with the coarse parts painted over those that are cut."""
    h, w = regions.shape
    start = factor // 2
    y, x = np.nonzero(is_cut[regions])
    rows = np.minimum(y // factor, parts.shape[0] - 1)
    columns = np.minimum(x // factor, parts.shape[1] - 1)
    owner = np.zeros(int(parts.max()) + 1, np.int64)
    owner[parts.ravel()] = regions[start::factor, start::factor].ravel()
    own = regions[y, x]
    value = parts[rows, columns]
    value[owner[value] != own] = 0
    out = regions.copy()
    out[y, x] = value
    left = value == 0
    y, x, own = y[left], x[left], own[left]
    for _ in range(2 * factor + 2):
        if not len(y):
            break
        value = np.zeros(len(y), out.dtype)
        for dy, dx in AROUND:
            near = out[np.clip(y + dy, 0, h - 1), np.clip(x + dx, 0, w - 1)]
            same = (near < len(owner)) & (owner[np.minimum(near, len(owner) - 1)] == own)
            value = np.where(same & (near > 0), np.maximum(value, near), value)
        out[y, x] = value
        left = value == 0
        y, x, own = y[left], x[left], own[left]
    return out


def borders(regions: np.ndarray) -> np.ndarray:
    """Return the pixels of a (y, x) label map that touch another label by an edge."""
    touch = np.zeros(regions.shape, bool)
    for lines, marks in ((regions, touch), (regions.T, touch.T)):
        meet = (lines[1:] != lines[:-1]) & (lines[1:] > 0) & (lines[:-1] > 0)
        marks[1:] |= meet
        marks[:-1] |= meet
    return touch
