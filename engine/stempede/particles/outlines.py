"""Outlines: the scale a frame is seen at, and the regions with the sharpest outlines there.

A frame is looked at through coarser to finer blocks. At each, the gradient of the smoothed
signal is measured in units of what is usual around it (noise, speckle, grain of the support),
and the disjoint regions with the strongest outlines are taken from the tree of all level sets.
The scale whose outlines stand out most is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stempede.backend import Backend
from stempede.particles.verify import contrasts, significant
from stempede.particles.windows import masked_quantiles, sample_tiles, stretch
from stempede_kernels.component_tree import sharp_regions
from stempede_kernels.order import median, quantiles
from stempede_kernels.smooth import block_mean, gaussian

SMOOTH_PX = 1.05
"""Smoothing in pixels of the decimated frame: just enough for its gradient."""

FACTORS = (8, 6, 4, 3, 2, 1)
# faint outlines need more smoothing: finer views show the texture
FAINT_FACTORS = (8, 6, 4)
LEVELS = 512
# what may be a support, as a share of the frame, and what stands on it
SUPPORT, STRONGEST_ON_SUPPORT, CLEARLY_STRONGER = 0.01, 24.0, 1.4
# share of a strength beyond ``strongest`` that counts
BEYOND_KNEE = 0.25
# what counts towards a scale: outlines well above noise, and beyond some point no more
CLEAR, FULL = 3.5, 8.0
# mean radius in blocks above which a view resolves its particles
RESOLVED = 3.0
FINER_GAIN, GIVE_UP = 1.05, 0.4
# blocks beyond which a finer view must be worth its time
ENOUGH = 1 << 17
SETTLED, LITTLE_MORE = 5.0, 1.05
SMALLEST_PX = 12
# share of the frame and number from which faint regions are more than specks of texture
FAINT_COVERED, FAINT_FEWEST, SAME_SIZE = 0.01, 8, 1.25


@dataclass(frozen=True)
class Sharpness:
    """What makes an outline sharp.

    Parameters
    ----------
    floor : float
        Mean gradient along an outline, in units of the surroundings, below which it is noise.
    faint_floor : float
        The floor of a second look at frames in which no outline is clear.
    share : float
        Outlines weaker than this share of the frame's typical one are dropped.
    window : float
        Side of the windows, in smoothing lengths, in which the usual gradient is measured.
    quantile : float
        Quantile of the gradient taken there: low, so that outlines hardly count.
    local : float
        Weight of the window against the frame, 0 to 1, geometric.
    largest : float
        Largest area of a particle as a share of the frame.
    thickness : float
        A larger region is a clump of particles, not a support, where its mean thickness is
        below this share of the radius of the largest particle.
    doubt : float
        Share of the gain left to regions that touch the rim of the frame or are larger than
        ``largest``, against smaller ones inside them.
    contrast : float
        Least contrast of a region against the background beside it, as a share of the highest
        excursion that texture alone makes in a frame of that many pixels.
    contrast_share : float
        And as a share of the frame's typical contrast.
    strongest : float
        Strength beyond which more counts for a quarter only.
    frame_px : int
        Pixels of the whole frame, of which a tile may be looked at.
    """

    floor: float = 2.5
    faint_floor: float = 1.8
    share: float = 0.5
    window: float = 40.0
    quantile: float = 0.1
    local: float = 0.5
    largest: float = 0.08
    thickness: float = 0.75
    doubt: float = 0.9
    contrast: float = 0.75
    contrast_share: float = 0.3
    strongest: float = 8.0
    frame_px: int = 0

    def for_frame(self, frame_px: int) -> Sharpness:
        """Return this for a frame of so many px."""
        return replace(self, frame_px=frame_px)


@dataclass(frozen=True)
class View:
    """Regions of one frame, seen through blocks of ``factor`` px.

    Parameters
    ----------
    factor : int
    smooth : (y, x) float32 array
        Smoothed block means.
    labels : (y, x) int32 array
    regions : (n, 3) float64 array
        Area, perimeter and strength, in blocks (``component_tree``).
    support : float
        Strength of the outline of what may be a support, 0 where there is none.
    """

    factor: int
    smooth: Any
    labels: Any
    regions: np.ndarray
    support: float = 0.0

    def score(self, clear: float = CLEAR, full: float = FULL) -> float:
        """Clear outline, in blocks of length, weighted by how clear and how resolved it is."""
        if not len(self.regions):
            return 0.0
        mean = self.regions[:, 2] / self.regions[:, 1]
        excess = np.clip(np.minimum(mean, full) - clear, 0, None)
        resolved = min(1.0, self.radius / RESOLVED) ** 2
        return resolved * float(np.sum(excess * self.regions[:, 1]))

    @property
    def covered(self) -> float:
        """Share of the frame that lies in regions."""
        return float(self.regions[:, 0].sum()) / self.labels.size

    @property
    def faint(self) -> bool:
        """Whether half of the outline, by length, or all of it is too weak to be clear."""
        length = self.regions[:, 1]
        mean = self.regions[:, 2] / length
        return bool(length[mean >= CLEAR].sum() <= 0.5 * length.sum())

    @property
    def radius(self) -> float:
        """Typical mean radius in blocks: half of it lies in thinner regions, by area."""
        if not len(self.regions):
            return 0.0
        thick = 2 * self.regions[:, 0] / self.regions[:, 1]
        rank = np.argsort(thick, kind="stable")
        covered = np.cumsum(self.regions[rank, 0])
        return float(thick[rank[np.searchsorted(covered, covered[-1] / 2)]])


@dataclass(frozen=True)
class Look:
    """How a frame is searched: factors from coarse to fine, and what counts as clear."""

    sharp: Sharpness
    factors: tuple[int, ...]
    clear: float
    full: float = FULL


def typical_diameter(view: View) -> float:
    """Return the diameter in px of the disc as thick as the view's typical region, NaN if none."""
    # the crack perimeter of a disc is 8 radii
    return float(view.radius * view.factor * 8 / np.pi) if len(view.regions) else float("nan")


def best_view(image: Any, valid: Any, sharp: Sharpness, stage: str, backend: Backend) -> View:
    """Return the view of a (y, x) frame in which most outline stands out.

    Where there may be a support, the frame is looked at again with strong outlines at their
    full weight; that is kept if what it shows, no coarser, is clearly sharper than the support.
    A frame whose outlines are faint is looked at once more with a lower floor; that is what
    is kept if it shows more than the few specks that texture alone makes, and of one size
    with what was seen before.
    """
    whole = sharp.for_frame(image.size)
    view, support = _search(image, valid, Look(whole, FACTORS, CLEAR), stage, backend)
    if support:
        strong = replace(whole, strongest=STRONGEST_ON_SUPPORT)
        look = Look(strong, FACTORS, CLEAR, STRONGEST_ON_SUPPORT)
        above, _ = _search(image, valid, look, stage, backend)
        clearer = typical_strength(above.regions) >= CLEARLY_STRONGER * support
        if clearer and above.factor <= view.factor:
            return above
    if not view.faint or sharp.faint_floor >= sharp.floor:
        return view
    lower = replace(whole, floor=sharp.faint_floor)
    faint = Look(lower, FAINT_FACTORS, sharp.faint_floor)
    second, _ = _search(image, valid, faint, stage, backend)
    return second if _adds(view, second) else view


def _adds(view: View, second: View) -> bool:
    """Whether a second look shows more, of the kind that the first has shown if it has any."""
    if len(second.regions) < FAINT_FEWEST or second.covered < max(FAINT_COVERED, view.covered):
        return False
    change = typical_diameter(second) / typical_diameter(view)
    return len(view.regions) < FAINT_FEWEST or 1 / SAME_SIZE < change < SAME_SIZE


def _search(image: Any, valid: Any, look: Look, stage: str, backend: Backend) -> tuple[View, float]:
    """Return the view of highest score, and the strength of a support in the last with one.

    Views are tried from coarse to fine, on tiles of the frame where it is large. Once a finer
    view has shown less, a still finer one must show clearly more than the best: it may be
    speckle. The search ends where two views running have lost most of what was seen, or where
    particles are well resolved and the last step has shown little more of them.
    """
    best, best_score, last, fell, lost, support = 0, 0.0, 0.0, False, 0, 0.0
    whole: View | None = None
    for factor in look.factors:
        if min(image.shape) < 16 * factor and factor > look.factors[-1]:
            continue
        views, score, radius = _judge(image, valid, factor, look, stage, backend)
        support = max(v.support for v in views) or support
        if not best or score > best_score * (FINER_GAIN if fell else 1.0):
            best, best_score, fell = factor, score, False
            whole = views[0] if len(views) == 1 else None
        else:
            fell = True
        lost = lost + 1 if score < GIVE_UP * best_score else 0
        settled = radius >= SETTLED and 0 < score * factor < LITTLE_MORE * last
        settled &= image.size > ENOUGH * factor**2
        if lost == 2 or settled:
            break
        last = score * factor
    return whole or view_through(image, valid, best, look.sharp, stage, backend), support


def _judge(
    image: Any, valid: Any, factor: int, look: Look, stage: str, backend: Backend
) -> tuple[list[View], float, float]:
    """Return views of the frame or its tiles, score for the frame, typical radius in blocks."""
    tiles = sample_tiles(image.shape, factor)
    views = [view_through(image[t], valid[t], factor, look.sharp, stage, backend) for t in tiles]
    covered = sum(image[t].size for t in tiles)
    score = sum(v.score(look.clear, look.full) for v in views) * image.size / covered
    return views, score, float(np.median([v.radius for v in views]))


def view_through(
    image: Any, valid: Any, factor: int, sharp: Sharpness, stage: str, backend: Backend
) -> View:
    """Return the sharpest regions of a (y, x) frame seen through blocks of ``factor`` px."""
    xp = backend.xp
    seen = blocks_seen(valid, factor, xp)
    smooth = gaussian(shrink(image, factor, xp), smoothing(factor), truncate=3)
    strength = gradient(smooth, xp)
    strength *= seen
    strength /= usual_gradient(strength, seen, sharp, xp)
    levels = quantise(smooth, seen, xp)
    frame = sharp.frame_px / factor**2
    area = sharp.largest * frame
    labels, regions = backend.through_host(
        stage,
        sharp_regions,
        levels,
        soften(strength, sharp.strongest, xp),
        floor=sharp.floor,
        share=sharp.share,
        min_area_px=SMALLEST_PX,
        max_area_px=int(area),
        doubt=sharp.doubt,
        max_thickness_px=sharp.thickness * float(np.sqrt(area / np.pi)),
    )
    regions = np.asarray(regions.get() if hasattr(regions, "get") else regions)
    bounded = soften(strength, STRONGEST_ON_SUPPORT, xp)
    support = support_strength(labels, regions, bounded, SUPPORT * frame, backend)
    if len(regions):
        contrast = contrasts(smooth, labels, len(regions), xp)
        # the highest speck that texture alone makes over the frame
        highest = np.sqrt(2 * np.log(max(2.0, frame / SMALLEST_PX)))
        kept = significant(contrast, sharp.contrast * highest, sharp.contrast_share)
        table = xp.asarray(np.concatenate([[0], np.cumsum(kept) * kept]).astype(np.int32))
        labels, regions = table[labels], regions[kept]
    return View(factor, smooth, labels, regions, support)


def soften(strength: Any, knee: float, xp: Any = np) -> Any:
    """Return strengths of which what lies above the knee counts for a quarter.

    A few very strong outlines do not make the others look weak then, and yet an outline is
    strongest where it is steepest, not equally so over the width of its blur.
    """
    below = xp.minimum(strength, np.float32(knee))
    return below + np.float32(BEYOND_KNEE) * (strength - below)


def support_strength(
    labels: Any, regions: np.ndarray, strength: Any, least_px: float, backend: Backend
) -> float:
    """Return the mean strength along what may be a support: large, and cut by the frame's rim."""
    xp, ndimage = backend.xp, backend.ndimage
    if not np.any(regions[:, 0] > least_px):
        return 0.0
    met = xp.unique(xp.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    met = np.asarray(met.get() if hasattr(met, "get") else met)
    met = met[met > 0]
    large = met[regions[met - 1, 0] > least_px]
    if not len(large):
        return 0.0
    edge = xp.isin(labels, xp.asarray(large))
    edge &= ~ndimage.binary_erosion(edge, border_value=1)
    return float(strength[edge].mean())


def typical_strength(regions: np.ndarray) -> float:
    """Return the median of the regions' mean strengths, by length of outline; 0 if none."""
    if not len(regions):
        return 0.0
    mean = regions[:, 2] / regions[:, 1]
    rank = np.argsort(mean, kind="stable")
    length = np.cumsum(regions[rank, 1])
    return float(mean[rank[np.searchsorted(length, length[-1] / 2)]])


def smoothing(factor: int) -> float:
    """Return the Gaussian, in blocks, that with the blocks' own width smooths by SMOOTH_PX."""
    return float(np.sqrt(SMOOTH_PX**2 - (factor**2 - 1) / (12 * factor**2)))


def blocks_seen(valid: Any, factor: int, xp: Any = np) -> Any:
    """Return which factor x factor blocks of a (y, x) bool array are valid throughout."""
    if valid.all():
        return xp.ones([-(-length // factor) for length in valid.shape], bool)
    return shrink(valid.astype(xp.float32), factor, xp) > 0.99


def shrink(image: Any, factor: int, xp: Any = np) -> Any:
    """Return the means of factor x factor blocks; a rim that fills no block is repeated."""
    if factor == 1:
        return image
    if xp is np:
        return block_mean(image, factor)
    h, w = image.shape
    rows, columns = -(-h // factor), -(-w // factor)
    total = xp.zeros((rows, w), image.dtype)
    for dy in range(factor):
        part = image[dy::factor]
        total[: len(part)] += part
    if len(part) < rows:
        total[-1] += image[-1] * np.float32(-h % factor)
    means = xp.zeros((rows, columns), image.dtype)
    for dx in range(factor):
        part = total[:, dx::factor]
        means[:, : part.shape[1]] += part
    if part.shape[1] < columns:
        means[:, -1] += total[:, -1] * np.float32(-w % factor)
    means *= np.float32(1 / factor**2)
    return means


def gradient(smooth: Any, xp: Any = np) -> Any:
    """Return the length of the central-difference gradient of a (y, x) float32 array."""
    padded = xp.pad(smooth, 1, mode="edge")
    along_y = padded[2:, 1:-1] - padded[:-2, 1:-1]
    along_x = padded[1:-1, 2:] - padded[1:-1, :-2]
    along_y *= along_y
    along_x *= along_x
    along_y += along_x
    xp.sqrt(along_y, out=along_y)
    along_y *= np.float32(0.5)
    return along_y


def quantise(smooth: Any, seen: Any, xp: Any = np) -> Any:
    """Return uint16 levels between the 0.1 and 99.9 % quantiles; 0 where nothing is seen."""
    sample = smooth[::2, ::2][seen[::2, ::2]]
    if not sample.size:
        return xp.zeros(smooth.shape, xp.uint16)
    low, high = quantiles(sample, (0.001, 0.999), xp)
    scale = np.float32((LEVELS - 1) / max(high - low, 1e-12))
    levels = (smooth - np.float32(low)) * scale
    xp.clip(levels, 0, LEVELS - 1, out=levels)
    levels *= seen
    return levels.astype(xp.uint16)


def usual_gradient(strength: Any, seen: Any, sharp: Sharpness, xp: Any = np) -> Any:
    """Return the scale of the gradient around each pixel, as of Rayleigh-distributed noise.

    A low quantile in windows, drawn towards its median over the frame: dense particles
    raise it little, a bare support is not taken for noise-free.
    """
    side = max(8, round(sharp.window * SMOOTH_PX))
    (found,), size = masked_quantiles(strength, seen, side, (sharp.quantile,), xp)
    known = found[xp.isfinite(found) & (found > 0)]
    typical = median(known, xp) if known.size else 1.0
    found = xp.where(xp.isfinite(found), xp.maximum(found, 0.2 * typical), typical)
    found = found**sharp.local * typical ** (1 - sharp.local)
    found /= np.sqrt(-2 * np.log(1 - sharp.quantile))
    return stretch(found.astype(xp.float32), size, strength.shape, xp)
