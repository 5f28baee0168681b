"""Crops of particles from the source images, for montages and outlines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stempede.errors import StempedeError
from stempede.report.groups.findings import Grouped
from stempede.report.overlays import grey
from stempede.report.pixels import Pixels

MOST = 210
MOST_FRAMES = 30
CELL_PX = 56
_MARGIN = 1.12


@dataclass(frozen=True)
class Crops:
    """Square crops at common scales.

    Parameters
    ----------
    rows : (n,) int array
        Rows of ``Grouped.particles``.
    images : (n, side, side) uint8 array
        Grey, stretched frame by frame.
    side : (n,) float64 array
        Side of each window, in the unit of lengths (px or nm).
    centre : (n, 2) float64 array
        (y, x) of each window's middle in its frame, px.
    step_px : (n,) float64 array
        Pixels of the frame per pixel of the crop.
    unit : str
        ``nm`` or ``px``.
    n_frames : int
        Frames that were read.
    """

    rows: np.ndarray
    images: np.ndarray
    side: np.ndarray
    centre: np.ndarray
    step_px: np.ndarray
    unit: str
    n_frames: int

    def take(self, keep: np.ndarray) -> Crops:
        """Return some of them."""
        return Crops(
            self.rows[keep],
            self.images[keep],
            self.side[keep],
            self.centre[keep],
            self.step_px[keep],
            self.unit,
            self.n_frames,
        )


def read_crops(grouped: Grouped, pixels: Pixels, seed: int = 0) -> tuple[Crops, Crops] | None:
    """Read up to 210 particles of each group and 210 of all, by seeded choice.

    At most 30 frames are read. Every group is cut at one scale of its own, so that its particles
    compare; where the groups' scales lie within a factor of 1.6 one scale serves all. The
    population has one scale. None where no frame can be read.

    Parameters
    ----------
    grouped : Grouped
    pixels : Pixels
        Where the images are.
    seed : int
        Of the choice.

    Returns
    -------
    by group, population : Crops
    """
    frame, number = np.asarray(grouped.particles["frame"], np.int64), grouped.number
    rng = np.random.default_rng(seed)
    inside = np.isin(frame, _frames(frame, number))
    length = _box_px(grouped)
    size = {int(f): s for f, s in zip(*_pixel_sizes(grouped), strict=True)}
    scale = np.array([size.get(int(f), np.nan) for f in frame])
    in_nm = grouped.found.unit == "nm" and bool(np.isfinite(scale).all())
    per_px = scale if in_nm else np.ones(len(frame))
    length = length * per_px
    sides = _sides(length, number)
    whole = _MARGIN * float(np.nanquantile(length, 0.98))
    per_group = [
        rng.permutation(np.flatnonzero(inside & (number == g)))[:MOST] for g in np.unique(number)
    ]
    everyone = np.sort(rng.permutation(np.flatnonzero(inside))[:MOST])
    of_groups = np.sort(np.concatenate(per_group))
    side = np.array([sides[int(n)] for n in number])
    wanted = [(of_groups, side), (everyone, np.full(len(frame), whole))]
    cells = [np.zeros((len(rows), CELL_PX, CELL_PX), np.uint8) for rows, _ in wanted]
    there = [np.zeros(len(rows), bool) for rows, _ in wanted]
    centre = _centres(grouped)
    for f in np.unique(frame[np.concatenate([of_groups, everyone])]):
        try:
            shown = grey(pixels.image(int(f)))
        except (StempedeError, OSError):
            continue
        blank = np.uint8(np.median(shown[::7, ::7]))
        for k, (rows, sides_) in enumerate(wanted):
            for at in np.flatnonzero(frame[rows] == f):
                row = rows[at]
                cells[k][at] = _cut(shown, centre[row], sides_[row] / per_px[row], blank)
                there[k][at] = True
    if not all(t.any() for t in there):
        return None
    made = []
    for k, (rows, sides_) in enumerate(wanted):
        rows = rows[there[k]]
        step = sides_[rows] / per_px[rows] / CELL_PX
        n_frames = len(np.unique(frame[rows]))
        unit = "nm" if in_nm else "px"
        made.append(
            Crops(rows, cells[k][there[k]], sides_[rows], centre[rows], step, unit, n_frames)
        )
    return made[0], made[1]


def _frames(frame: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Return the frames to read: an even choice, then those of groups still short."""
    known = np.unique(frame)
    if len(known) <= MOST_FRAMES:
        return known
    chosen = set(known[np.linspace(0, len(known) - 1, MOST_FRAMES // 2).astype(int)].tolist())
    for group in np.unique(number):
        mine, counts = np.unique(frame[number == group], return_counts=True)
        have = counts[np.isin(mine, list(chosen))].sum()
        for f, n in sorted(zip(mine.tolist(), counts.tolist(), strict=True), key=lambda m: -m[1]):
            if have >= MOST or len(chosen) >= MOST_FRAMES:
                break
            if f not in chosen:
                chosen.add(f)
                have += n
    return np.array(sorted(chosen))


def _box_px(grouped: Grouped) -> np.ndarray:
    box = [np.asarray(grouped.particles[f"bbox_{k}_px"], float) for k in ("y0", "x0", "y1", "x1")]
    longest = np.maximum(box[2] - box[0], box[3] - box[1])
    spare = np.asarray(grouped.particles["major_axis_px"], float) * 1.1
    return np.where(np.isfinite(longest) & (longest > 0), longest, spare)


def _centres(grouped: Grouped) -> np.ndarray:
    """Return the middle of the bounding box of each particle, or its centroid, (n, 2) px."""
    y0, x0, y1, x1 = (
        np.asarray(grouped.particles[f"bbox_{k}_px"], float) for k in ("y0", "x0", "y1", "x1")
    )
    middle = np.stack([(y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2], axis=1)
    centroid = np.stack([grouped.particles["y_px"], grouped.particles["x_px"]], axis=1)
    boxed = (y1 > y0) & (x1 > x0)
    return np.where(boxed[:, None], middle, centroid)


def _pixel_sizes(grouped: Grouped) -> tuple[np.ndarray, np.ndarray]:
    frames = grouped.found.run.frames
    return np.asarray(frames["frame"], np.int64), np.asarray(frames["pixel_size_nm"], float)


def _sides(length: np.ndarray, number: np.ndarray) -> Mapping[int, float]:
    """Return the side of the windows of each group: nearly all of its particles fit in."""
    sides = {
        int(g): _MARGIN * float(np.nanquantile(length[number == g], 0.98))
        for g in np.unique(number)
    }
    largest = max(sides.values())
    if largest <= 1.6 * min(sides.values()):
        return dict.fromkeys(sides, largest)
    return sides


def _cut(image: np.ndarray, centre: np.ndarray, side_px: float, blank: np.uint8) -> np.ndarray:
    """Return a square window as a cell; what lies outside the frame is blank."""
    from PIL import Image

    half = side_px / 2
    y0, x0 = centre[0] + 0.5 - half, centre[1] + 0.5 - half
    top, left = int(np.floor(y0)), int(np.floor(x0))
    n = int(np.ceil(side_px)) + 2
    block = np.full((n, n), blank, np.uint8)
    h, w = image.shape
    ys, xs = slice(max(top, 0), min(top + n, h)), slice(max(left, 0), min(left + n, w))
    if ys.start < ys.stop and xs.start < xs.stop:
        block[ys.start - top : ys.stop - top, xs.start - left : xs.stop - left] = image[ys, xs]
    box = (x0 - left, y0 - top, x0 - left + side_px, y0 - top + side_px)
    small = side_px > CELL_PX
    resample = Image.Resampling.BOX if small else Image.Resampling.BICUBIC
    picture = Image.fromarray(block).resize((CELL_PX, CELL_PX), resample, box=box)
    return np.asarray(picture)
