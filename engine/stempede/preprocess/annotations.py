"""Annotations: what was written into an image is kept out of the particles, and calibrates it.

Micrographs exported as 8-bit or RGB pictures carry a scale bar, its text, sometimes a box
behind them or a caption band along an edge. These pixels are marked as not valid; where the
user gave the bar's length, its measured length becomes the pixel size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from stempede.errors import RecipeError
from stempede.frames import Batch, Box, Calibration, FrameRecord, Problem
from stempede.preprocess.bar import Bar
from stempede.preprocess.lettering import find_backing, find_bands, find_text
from stempede.preprocess.scalebar import find_bars

SEARCHES = ("auto", "always", "never")
THIN_ROWS = 2
RISE_PX = 2
"""Bars of so few rows, or of softer edges, count only with their text, or where the user
says that there is a bar."""
BARS_MAX = 6
"""Most bars of one image whose text is looked for."""


@dataclass(frozen=True)
class Found:
    """What is written into one image.

    Parameters
    ----------
    bars : tuple of Bar
        Scale bars, those with a text first, then by score.
    boxes : tuple of (y0, x0, y1, x1)
        Bars, texts, boxes behind them and caption bands, ends exclusive, without margin.
    """

    bars: tuple[Bar, ...] = ()
    boxes: tuple[Box, ...] = ()

    @property
    def bar(self) -> Bar | None:
        """The best bar whose length can be measured."""
        return next((b for b in self.bars if b.whole), None)


@dataclass(frozen=True)
class Annotations:
    """Mark burned-in bars, text and captions as not valid; calibrate from a bar of known length.

    Parameters
    ----------
    search : {"auto", "always", "never"}
        ``auto`` searches images of 8-bit sources, and those for which a bar length was given.
    margin_px : int
        Rim around each annotation that is left out as well.
    """

    search: str = "auto"
    margin_px: int = 4

    name: ClassVar[str] = "preprocess.annotations"
    reads: ClassVar[tuple[str, ...]] = ("images", "valid", "frames")
    writes: ClassVar[tuple[str, ...]] = ("valid", "frames")

    def __post_init__(self) -> None:
        if self.search not in SEARCHES:
            raise RecipeError(
                f"preprocess.annotations: search is one of {', '.join(SEARCHES)}; "
                f"found '{self.search}'"
            )

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with annotations cleared from ``valid`` and bars made pixel sizes."""
        wanted = [k for k, r in enumerate(batch.records) if self._searches(r)]
        if not wanted:
            return batch
        valid = batch.maps["valid"].copy()
        records, problems = list(batch.records), []
        for k in wanted:
            image = batch.backend.download(batch.images[k], self.name)
            known = batch.records[k].scale_bar_nm is not None
            found = find_annotations(to_grey(image), bar_expected=known)
            for y0, x0, y1, x1 in found.boxes:
                m = self.margin_px
                valid[k, max(y0 - m, 0) : y1 + m, max(x0 - m, 0) : x1 + m] = False
            records[k], problem = calibrated(records[k], found.bar)
            problems += [problem] if problem is not None else []
        frames = batch.tables["frames"].with_columns(calibration_columns(records))
        return batch.with_(
            records=tuple(records),
            maps={"valid": valid},
            tables={"frames": frames},
            problems=problems,
        )

    def _searches(self, record: FrameRecord) -> bool:
        if self.search == "auto":
            return record.dtype == "uint8" or record.scale_bar_nm is not None
        return self.search == "always"


def to_grey(image: np.ndarray) -> np.ndarray:
    """Return an image as (y, x) uint8; counts outside 0..255 are scaled by their range."""
    low, high = float(image.min()), float(image.max())
    if low >= 0 and 1 < high <= 255:
        return (image + np.float32(0.5)).astype(np.uint8)
    return ((image - low) * (255 / max(high - low, 1e-30))).astype(np.uint8)


def find_annotations(grey: np.ndarray, *, bar_expected: bool = False) -> Found:
    """Find scale bars, their text and boxes, and caption bands.

    Parameters
    ----------
    grey : (y, x) uint8 array
    bar_expected : bool
        The user says that there is a bar: a line of two rows without text will do.

    Returns
    -------
    Found
    """
    boxes = find_bands(grey)
    named: list[Bar] = []
    bare: list[Bar] = []
    for bar in find_bars(grey)[:BARS_MAX]:
        text, backing = find_text(grey, bar), find_backing(grey, bar)
        banded = any(_within(bar.box, band) for band in boxes)
        doubtful = bar.box[2] - bar.box[0] <= THIN_ROWS or bar.rise_px > RISE_PX
        if doubtful and text is None and not banded and not bar_expected:
            continue
        (bare if text is None else named).append(bar)
        boxes.append(bar.box)
        boxes += [_joined(text, bar.box)] if text is not None else []
        boxes += [backing] if backing is not None else []
    return Found((*named, *bare), tuple(boxes))


def _within(inner: Box, outer: Box) -> bool:
    return outer[0] <= inner[0] and inner[2] <= outer[2]


def _joined(text: Box, bar: Box) -> Box:
    """Return a text's box, reaching to the bar where it stands beside it."""
    y0, x0, y1, x1 = text
    if x0 >= bar[3]:
        return (y0, bar[3], y1, x1)
    if x1 <= bar[1]:
        return (y0, x0, y1, bar[1])
    return text


def calibrated(record: FrameRecord, bar: Bar | None) -> tuple[FrameRecord, Problem | None]:
    """Return a record with the pixel size that its scale bar gives, or why there is none.

    A bar that the user announced and that is not there leaves the calibration of the file, and
    is a problem where the file has none either.
    """
    if record.scale_bar_nm is None:
        return record, None
    if bar is None:
        if record.calibration.pixel_size_nm is not None:
            return record, None
        reason = (
            f"no scale bar found, though its length was given as {record.scale_bar_nm:g} nm; "
            f"give --pixel-size-nm instead"
        )
        return record, Problem(record.frame, Annotations.name, reason)
    size = record.scale_bar_nm / bar.length_px
    calibration = Calibration(size, size, "scale bar", bar.u_px / bar.length_px)
    return replace(record, calibration=calibration), None


def calibration_columns(records: Sequence[FrameRecord]) -> dict[str, Any]:
    """Return the pixel size fields of the ``frames`` table."""
    found = [r.calibration for r in records]

    def column(values: list[float | None]) -> np.ndarray:
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)

    return {
        "pixel_size_nm": column([c.pixel_size_nm for c in found]),
        "pixel_size_y_nm": column([c.pixel_size_y_nm for c in found]),
        "pixel_size_x_nm": column([c.pixel_size_x_nm for c in found]),
        "pixel_size_source": np.array([c.source for c in found], np.dtypes.StringDType()),
        "pixel_size_rel_u": column([c.rel_u for c in found]),
    }
