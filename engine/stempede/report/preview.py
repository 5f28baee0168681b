"""Preview: what a recipe finds in one frame, drawn over it and kept as a PNG.

Accepted regions have teal outlines, those set aside orange ones with the reason written in;
pixels that were not searched are hatched. The three differ in kind as well as in colour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from stempede.errors import ResultsError
from stempede.frames import Batch
from stempede.report.overlays import fit, grey

MAX_SIDE_PX = 1600
SMALL_SIDE_PX = 700
"""Frames below this are enlarged by whole numbers, so that outlines do not hide particles."""
TEAL = (0, 200, 160)
ORANGE = (240, 140, 0)
HATCH = (204, 121, 167)
HATCH_PERIOD_PX = 12
DARK = (20, 20, 20)
REASONS_MAX = 60
LETTER_PX = 5
"""Width per letter that a region must offer to have its reason written in."""
BAR_SHARE = 0.2
NICE = (1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Regions:
    """What was found in a frame.

    Parameters
    ----------
    labels : (h, w) integer array
        0 is background.
    label : (n,) integer array
        Labels of the rows below.
    accepted : (n,) bool array
    reason : sequence of n str
        Why a region was set aside, empty where it was not.
    """

    labels: np.ndarray
    label: np.ndarray
    accepted: np.ndarray
    reason: Sequence[str] = ()


def overlay(
    image: np.ndarray,
    regions: Regions,
    *,
    valid: np.ndarray | None = None,
    pixel_size_nm: float | None = None,
    max_side_px: int = MAX_SIDE_PX,
) -> np.ndarray:
    """Draw the regions of a frame over its image.

    Parameters
    ----------
    image : (h, w) array
        Counts; stretched between its 0.3 and 99.7 % quantiles.
    regions : Regions
    valid : (h, w) bool array, optional
        False where nothing was searched; hatched.
    pixel_size_nm : float, optional
        Adds a scale bar.
    max_side_px : int
        Longest side of the picture.

    Returns
    -------
    (y, x, 3) uint8 array

    Raises
    ------
    ResultsError
        The maps are not of the image's shape.
    """
    from PIL import Image, ImageDraw

    for name, found in (("labels", regions.labels), ("valid", valid)):
        if found is not None and found.shape != image.shape:
            raise ResultsError(
                f"map '{name}' of {image.shape} px wanted, found {found.shape}; give one frame's"
            )
    small, scale = fit(image, max_side_px)
    times = max(1, min(-(-SMALL_SIDE_PX // max(small.shape)), max_side_px // max(small.shape)))
    rgb = np.repeat(grey(small)[..., None], 3, axis=2).repeat(times, axis=0).repeat(times, axis=1)
    scale *= times
    near = nearest(regions.labels, rgb.shape[:2])
    hidden = np.zeros(near.shape, bool) if valid is None else ~nearest(valid, rgb.shape[:2])
    _hatch(rgb, hidden)
    accepted = np.isin(near, regions.label[np.asarray(regions.accepted, dtype=bool)])
    edge = rim(near)
    rgb[edge & accepted] = TEAL
    rgb[edge & ~accepted] = ORANGE
    canvas = Image.fromarray(rgb)
    pen = ImageDraw.Draw(canvas)
    _write_reasons(pen, near, regions)
    if pixel_size_nm:
        _scale_bar(pen, hidden, pixel_size_nm / scale)
    return np.asarray(canvas)


def nearest(full: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return a map at the picture's size, by the nearest pixel."""
    index = [((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(shape, full.shape)]
    sampled: np.ndarray = full[np.ix_(*index)]
    return sampled


def rim(labels: np.ndarray) -> np.ndarray:
    """Return the pixels of regions that lie within two pixels of another label."""
    padded = np.pad(labels, 2, mode="edge")
    edge = np.zeros(labels.shape, dtype=bool)
    height, width = labels.shape
    for dy, dx in ((-2, 0), (2, 0), (0, -2), (0, 2), (-1, -1), (-1, 1), (1, -1), (1, 1)):
        edge |= padded[2 + dy : 2 + dy + height, 2 + dx : 2 + dx + width] != labels
    return edge & (labels > 0)


def _hatch(rgb: np.ndarray, zone: np.ndarray) -> None:
    """Darken a zone and draw diagonal lines over it, in place."""
    if not zone.any():
        return
    y, x = np.ogrid[: zone.shape[0], : zone.shape[1]]
    rgb[zone] = rgb[zone] // 2 + 40
    rgb[zone & ((y + x) % HATCH_PERIOD_PX < 2)] = HATCH


def _write_reasons(pen: Any, near: np.ndarray, regions: Regions) -> None:
    """Write into regions why they were set aside; into small ones nothing."""
    from scipy import ndimage

    reasons = {
        int(n): r
        for n, r, good in zip(regions.label, regions.reason, regions.accepted)
        if r and not good
    }
    boxes = ndimage.find_objects(near.astype(np.int32))
    wide = {
        n: boxes[n - 1][1].stop - boxes[n - 1][1].start
        for n in reasons
        if 0 < n <= len(boxes) and boxes[n - 1] is not None
    }
    for n in sorted(wide, key=lambda n: -wide[n])[:REASONS_MAX]:
        if wide[n] < LETTER_PX * len(reasons[n]):
            continue
        rows, columns = boxes[n - 1]
        middle = ((columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2)
        _write(pen, middle, reasons[n], 13, ORANGE)


def _write(
    pen: Any,
    at: tuple[float, float],
    text: str,
    size_px: int,
    colour: tuple[int, int, int],
    anchor: str = "mm",
) -> None:
    """Write text with a dark rim at (x, y), moved inside the picture where it would stick out."""
    from PIL import ImageFont

    font = ImageFont.load_default(size_px)
    left, top, right, bottom = pen.textbbox(at, text, font=font, anchor=anchor, stroke_width=2)
    width, height = pen.im.size
    x = at[0] - min(left, 0) - max(right - width, 0)
    y = at[1] - min(top, 0) - max(bottom - height, 0)
    pen.text((x, y), text, colour, font=font, anchor=anchor, stroke_width=2, stroke_fill=DARK)


def nice_length(longest: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above a length."""
    power = 10.0 ** np.floor(np.log10(longest))
    return float(max(n * power for n in NICE if n * power <= longest * (1 + 1e-9)))


def _scale_bar(pen: Any, hidden: np.ndarray, nm_per_px: float) -> None:
    """Draw a bar of a round length into the first corner that the picture's own does not hold."""
    height, width = hidden.shape
    length_nm = nice_length(BAR_SHARE * width * nm_per_px)
    length = length_nm / nm_per_px
    margin, thick, tall = max(10, width // 50), max(4, height // 150), max(14, height // 45)
    deep = margin + thick + tall + 8
    corners = [
        (x0, y1)
        for y1 in (height - margin, deep)
        for x0 in (width - margin - length, float(margin))
        if not hidden[y1 - deep + margin : y1, int(x0) : int(x0 + length)].any()
    ]
    x, y = (corners or [(width - margin - length, height - margin)])[0]
    pen.rectangle((x - 2, y - thick - 2, x + length + 2, y + 2), fill=DARK)
    pen.rectangle((x, y - thick, x + length, y), fill=(255, 255, 255))
    text = f"{length_nm / 1000:g} µm" if length_nm >= 1000 else f"{length_nm:g} nm"
    _write(pen, (x + length / 2, y - thick - 6), text, tall, (255, 255, 255), "mb")


def batch_overlay(batch: Batch, index: int = 0, **options: Any) -> np.ndarray:
    """Draw one frame of a finished batch; returns what ``overlay`` does."""
    record = batch.records[index]
    regions = batch_regions(batch, index)
    image, valid = (
        batch.backend.download(m[index], "preview") for m in (batch.images, batch.maps["valid"])
    )
    return overlay(
        image,
        regions,
        valid=valid,
        pixel_size_nm=record.calibration.pixel_size_nm,
        **options,
    )


def batch_regions(batch: Batch, index: int = 0) -> Regions:
    """Return what a finished batch holds of one frame, on the host."""

    def host(column: Any) -> np.ndarray:
        on_host = isinstance(column, np.ndarray)
        return column if on_host else batch.backend.download(column, "preview")

    particles = batch.tables["particles"]
    mine = host(particles["frame"]) == batch.records[index].frame
    return Regions(
        labels=batch.backend.download(batch.maps["labels"][index], "preview"),
        label=host(particles["label"])[mine],
        accepted=host(particles["accepted"])[mine],
        reason=host(particles["reject_reason"])[mine].tolist(),
    )


def legend(regions: Regions) -> list[tuple[str, tuple[int, int, int]]]:
    """Return the words below a picture and their colours: counts by reason."""
    accepted = np.asarray(regions.accepted, dtype=bool)
    words = [(f"{int(accepted.sum())} accepted", TEAL)]
    aside = Counter(r or "set aside" for r, good in zip(regions.reason, accepted) if not good)
    return words + [(f"{n} {reason}", ORANGE) for reason, n in aside.most_common()]


def preview_png(path: Path | str, batch: Batch, index: int = 0) -> Path:
    """Write the overlay of one frame of a finished batch, with a legend below it.

    Raises
    ------
    ResultsError
        The file cannot be written.
    """
    from PIL import Image, ImageDraw

    picture = batch_overlay(batch, index)
    words = legend(batch_regions(batch, index))
    if not batch.backend.download(batch.maps["valid"][index], "preview").all():
        words.append(("not searched", HATCH))
    placed, height = _flow(words, picture.shape[1])
    canvas = Image.new("RGB", (picture.shape[1], picture.shape[0] + height), (24, 24, 24))
    canvas.paste(Image.fromarray(picture), (0, 0))
    pen = ImageDraw.Draw(canvas)
    for x, y, text, colour in placed:
        top = picture.shape[0] + y
        pen.rectangle((x, top + 3, x + 11, top + 14), fill=colour)
        _write(pen, (x + 18, top + 9), text, 15, (235, 235, 235), "lm")
    target = Path(path)
    temporary = target.with_name(f".{target.name}-{uuid4().hex}")
    try:
        canvas.save(temporary, format="PNG", optimize=False, compress_level=4)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ResultsError(f"cannot write {target} ({error}); choose another --out") from error
    return target


def _flow(
    words: Sequence[tuple[str, tuple[int, int, int]]], width_px: int
) -> tuple[list[tuple[int, int, str, tuple[int, int, int]]], int]:
    """Return where each word of the legend goes, broken into lines, and the height."""
    from PIL import ImageFont

    font = ImageFont.load_default(15)
    placed, x, y = [], 12, 10
    for text, colour in words:
        long = 18 + int(font.getlength(text)) + 22
        if x > 12 and x + long > width_px:
            x, y = 12, y + 24
        placed.append((x, y, text, colour))
        x += long
    return placed, y + 28
