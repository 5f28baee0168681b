"""Split: touching particles, by distance transform, h-maxima markers and watershed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stempede.frames import Batch
from stempede.particles.blocks import Blocks
from stempede.particles.cuts import find_gaps, rejoin
from stempede.particles.discs import Round, round_view
from stempede.particles.rounds import Painted, with_discs
from stempede_kernels.distance import distance
from stempede_kernels.label import renumber
from stempede_kernels.maxima import label_h_maxima
from stempede_kernels.pieces import paint_parts, whole_pieces
from stempede_kernels.watershed import watershed


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
    step : float
        So are lines where the image steps by this share of the contrast, as between crystals
        of unlike thickness; 0 turns this off.
    smallest : float
        Parts smaller than this share of the frame's typical part are not cut off, unless they
        hang by a narrow neck; 0 turns this off.
    circle : float
        Where many circles are seen in the image that lie on edges with this share of their
        length, particles are round, and each circle is one, however it overlaps others; 0
        turns this off.
    """

    depth: float = 0.18
    least: float = 0.75
    blocks: float = 20.0
    valley: float = 0.15
    step: float = 0.5
    smallest: float = 0.25
    circle: float = 0.75

    name: ClassVar[str] = "particles.split"
    reads: ClassVar[tuple[str, ...]] = ("images", "regions", "frames")
    writes: ClassVar[tuple[str, ...]] = ("labels",)

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with ``labels``: int32, 0 background, 1..n per frame in raster order.

        Regions of a network, which has a map ``probability``, are parted already and stay.
        """
        if "probability" in batch.maps:
            return batch.with_(maps={"labels": in_order(batch.maps["regions"])})
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
            step=self.step,
            smallest=self.smallest,
            circle=self.circle,
        )
        return batch.with_(maps={"labels": labels})


def in_order(regions: Any) -> Any:
    """Return (b, y, x) int32 regions, each one piece without holes, numbered in raster order."""
    return renumber(whole_pieces(regions))[0]


def split_regions(
    images: np.ndarray,
    regions: np.ndarray,
    factors: list[int],
    *,
    depth: float,
    least: float,
    valley: float,
    step: float,
    smallest: float,
    circle: float,
) -> np.ndarray:
    """Return (b, y, x) int32 labels of regions cut at their necks.

    Labels run from 1 in raster order of each particle's first pixel, per frame; each is one
    piece without holes.
    """
    labels = np.empty(regions.shape, np.int32)
    for k, (image, frame, factor) in enumerate(zip(images, regions, factors)):
        blocks = Blocks.of(image, frame, factor)
        view = round_view(image, frame, blocks, circle)
        coarse, parts, owner = parts_of(frame, view.blocks, depth, least, valley, step)
        painted = Painted.of(view.discs, parts, coarse) if len(view.discs) else None
        if painted and painted.are_particles:
            parts, owner = with_discs(painted, owner, coarse, view.blocks)
        elif view.blocks is not blocks:
            view = Round(blocks)
            coarse, parts, owner = parts_of(frame, blocks, depth, least, valley, step)
        parts, owner = rejoin(parts, owner, smallest)
        found = paint(frame, parts, owner, view.blocks.factor)
        labels[k] = renumber(whole_pieces(found))[0]
    return labels


def parts_of(
    regions: np.ndarray, blocks: Blocks, depth: float, least: float, valley: float, step: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (y, x) regions and the parts they are cut into, in blocks, and each part's region."""
    start, factor = blocks.factor // 2, blocks.factor
    coarse = regions[start::factor, start::factor]
    mask = blocks.mask[: coarse.shape[0], : coarse.shape[1]] & (coarse > 0)
    coarse = np.where(mask, coarse, 0)
    if not mask.any():
        return coarse, coarse, np.arange(1)
    gaps = find_gaps(blocks, valley, step)[: coarse.shape[0], : coarse.shape[1]]
    inside = distance(mask & ~borders(coarse) & ~gaps)
    markers, _ = label_h_maxima(inside, least, mask, h_relative=depth)
    return coarse, *split_pairs(coarse, watershed(-inside, markers, mask))


def paint(regions: np.ndarray, parts: np.ndarray, owner: np.ndarray, factor: int) -> np.ndarray:
    """Return (y, x) regions with a label of its own for each part of a cut one."""
    n_parts = np.bincount(owner)
    n_parts[0] = 0
    if n_parts.max(initial=0) < 2:
        return regions
    first = int(regions.max()) + 1
    number = np.arange(first - 1, first - 1 + len(owner), dtype=np.int32)
    number[n_parts[owner] < 2] = 0
    return paint_parts(regions, number[parts], factor)


def split_pairs(regions: np.ndarray, basins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (y, x) parts, one for each pair of a region and a basin, and each part's region.

    Basins may run over from one region to the next; part 0 belongs to region 0.
    """
    owner = np.zeros(int(basins.max()) + 1, np.int64)
    owner[basins] = regions
    owner[0] = 0
    strays = owner[basins] != regions
    strays &= basins > 0
    pairs, part = np.unique(
        regions[strays].astype(np.int64) * len(owner) + basins[strays], return_inverse=True
    )
    parts = basins.copy()
    parts[strays] = len(owner) + part
    return parts, np.concatenate([owner, pairs // len(owner)])


def borders(regions: np.ndarray) -> np.ndarray:
    """Return the pixels of a (y, x) label map that touch another label by an edge."""
    touch = np.zeros(regions.shape, bool)
    for lines, marks in ((regions, touch), (regions.T, touch.T)):
        meet = (lines[1:] != lines[:-1]) & (lines[1:] > 0) & (lines[:-1] > 0)
        marks[1:] |= meet
        marks[:-1] |= meet
    return touch
