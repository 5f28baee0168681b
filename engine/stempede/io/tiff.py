"""TIFF files and stacks through tifffile; memory-mapped where their pixels lie contiguous."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from stempede.errors import InputError
from stempede.io.handles import opened
from stempede.io.image import (
    BIT_NOTE,
    RGB_NOTE,
    Image,
    Opened,
    check_memory,
    luminance,
    plane,
    plane_dtype,
)
from stempede.io.tiff_scale import caption_band, channel_names, tiff_calibration, tiff_instrument

_MINISWHITE, _PALETTE, _SEPARATED = 0, 3, 5


@dataclass(frozen=True)
class _Layout:
    """How the axes of a series make frames: ``lines`` are the leading indices, in page order."""

    series: int
    lines: tuple[int, ...]
    n_lines: int
    shape: tuple[int, int]
    samples: int
    planar: bool


def describe_tiff(path: str, signal: str | None) -> Opened:
    """Return the images of a TIFF file; reads its tags, never its pixels.

    Raises
    ------
    InputError
        Not a TIFF, no image in it, or data of more than three dimensions.
    """
    with opened("tiff", path, _open) as tif:
        size = Path(path).stat().st_size
        images: list[Image] = []
        notes: list[str] = []
        for layout in _layouts(tif, signal, notes):
            series = tif.series[layout.series]
            images += _images(tif, series, layout, size, notes)
    if not images:
        raise InputError("a TIFF with an image wanted, found none in it; check the file")
    return Opened(tuple(images), tuple(dict.fromkeys(notes)))


def load_tiff(path: str, page: int, signal: str | None) -> np.ndarray:
    """Return the (y, x) pixels of one page of a TIFF file."""
    with opened("tiff", path, _open) as tif:
        for layout in _layouts(tif, signal, []):
            if page < len(layout.lines):
                series = tif.series[layout.series]
                raw = _pixels(path, tif, series, layout, layout.lines[page])
                return _grey(series.keyframe, raw)
            page -= len(layout.lines)
    raise InputError(f"has no page {page}; the file has changed since it was opened")


def tiff_facts(path: str, signal: str | None) -> Mapping[str, Any]:
    """Return the tags of a TIFF's first page and the metadata blocks of its writer."""
    with opened("tiff", path, _open) as tif:
        page = tif.pages[0]
        skip = {"StripOffsets", "StripByteCounts", "TileOffsets", "TileByteCounts", "ColorMap"}
        facts: dict[str, Any] = {t.name: t.value for t in page.tags if t.name not in skip}
        for name in ("imagej_metadata", "fei_metadata", "tvips_metadata", "sem_metadata"):
            if found := getattr(tif, name):
                facts[name] = found
        return facts


def _open(path: str) -> tifffile.TiffFile:
    try:
        return tifffile.TiffFile(path)
    except tifffile.TiffFileError as error:
        raise InputError(f"a TIFF file wanted, found something else ({error})") from error


def _layouts(tif: Any, signal: str | None, notes: list[str]) -> list[_Layout]:
    """Return the series that hold images, full resolution only, in file order."""
    layouts = []
    for k, series in enumerate(tif.series):
        page = series.keyframe
        if page is None or page.is_reduced or 0 in series.shape:
            continue
        layouts.append(_layout(tif, k, signal, notes))
    return layouts


def _layout(tif: Any, k: int, signal: str | None, notes: list[str]) -> _Layout:
    series = tif.series[k]
    page = series.keyframe
    axes, shape = series.axes, tuple(int(n) for n in series.shape)
    planar = "S" in axes and not axes.endswith("S")
    samples = shape[axes.index("S")] if "S" in axes else 1
    if samples > 4 or page.photometric == _SEPARATED:
        raise InputError(
            f"grey or RGB pixels wanted, found {samples} samples per pixel; save it as grey values"
        )
    plain = [(a, n) for a, n in zip(axes, shape) if a != "S"]
    leading, (height, width) = plain[:-2], (plain[-2][1], plain[-1][1])
    deep = [a for a, n in leading if a != "C" and n > 1]
    if len(deep) > 1:
        raise InputError(
            f"images or a stack (n, y, x) wanted, found {len(deep) + 2}-D data {shape} "
            f"with axes {axes}; make virtual images of it or save one stack"
        )
    n_lines = math.prod(n for _, n in leading)
    index: np.ndarray = np.arange(n_lines).reshape([n for _, n in leading])
    n_channels = dict(leading).get("C", 1)
    if n_channels > 1 and (deep or _has_channels(tif, series)):
        axis = [a for a, _ in leading].index("C")
        names = channel_names(tif, k, n_channels)
        index = np.take(index, choose(names, signal, notes), axis=axis)
    lines = tuple(int(i) for i in index.ravel())
    return _Layout(k, lines, n_lines, (height, width), samples, planar)


def _has_channels(tif: Any, series: Any) -> bool:
    """Whether a C axis means channels: some writers name the frames of a plain stack so."""
    if series.kind == "imagej":
        return (tif.imagej_metadata or {}).get("mode") in ("composite", "color")
    return bool(series.kind == "ome")


def choose(names: list[str], signal: str | None, notes: list[str]) -> int:
    """Return which of several signals is meant: by name, or the first, with a note.

    Raises
    ------
    InputError
        No signal of this name; the message lists those there are.
    """
    listed = ", ".join(f"'{n}'" for n in names)
    if signal is None:
        if len(names) > 1:
            notes.append(f"several signals ({listed}): '{names[0]}' is read; choose with --signal")
        return 0
    wanted = signal.strip().lower()
    for k, name in enumerate(names):
        if name.strip().lower() == wanted:
            return k
    raise InputError(f"signal '{signal}' wanted, found {listed}; name one of these with --signal")


def _images(
    tif: Any, series: Any, layout: _Layout, file_size: int, notes: list[str]
) -> list[Image]:
    page = series.keyframe
    scale, note = tiff_calibration(tif, layout.series)
    if note:
        notes.append(note)
    if layout.samples > 2 or (page.photometric == _PALETTE and not _grey_map(page)):
        notes.append(RGB_NOTE)
    if series.dtype == np.bool_:
        notes.append(BIT_NOTE)
    image = Image(
        layout.shape,
        plane_dtype(series.dtype),
        scale,
        tiff_instrument(tif, page),
        caption_band(tif, page),
    )
    ends = _ends(series, layout)
    return [
        image
        if ends(line) <= file_size
        else Image(
            layout.shape,
            image.dtype,
            problem=(
                f"is truncated: its pixels end at byte {ends(line)}, the file at {file_size}; "
                f"copy it again"
            ),
        )
        for line in layout.lines
    ]


def _ends(series: Any, layout: _Layout) -> Any:
    """Return a function: the byte where the pixels of a line end, as its tags say."""
    start = series.dataoffset
    if start is not None:
        nbytes = series.nbytes // max(1, layout.n_lines)
        return lambda line: start + (line + 1) * nbytes
    if len(series.pages) == layout.n_lines:
        return lambda line: _page_end(series.pages[line])
    return lambda line: max((_page_end(p) for p in series.pages), default=0)


def _page_end(page: Any) -> int:
    if page is None:
        return 0
    return max((o + n for o, n in zip(page.dataoffsets, page.databytecounts)), default=0)


def _pixels(path: str, tif: Any, series: Any, layout: _Layout, line: int) -> np.ndarray:
    """Return the samples of one line as (y, x) or (y, x, s)."""
    height, width = layout.shape
    samples, itemsize = layout.samples, series.dtype.itemsize
    check_memory((height, width, samples) if samples > 1 else (height, width), itemsize)
    frame = (height, width, samples)
    if layout.planar:
        frame = (samples, height, width)
    start = series.dataoffset
    if start is not None and not (layout.planar and layout.n_lines > 1):
        dtype = np.dtype(tif.byteorder + series.dtype.char)
        count = height * width * samples
        offset = start + line * count * itemsize
        raw = np.fromfile(path, dtype=dtype, count=count, offset=offset)
        if raw.size < count:
            raise InputError("is truncated: its pixels end before the image does; copy it again")
        raw = raw.reshape(frame)
    elif len(series.pages) == layout.n_lines:
        page = series.pages[line]
        if page is None:
            raise InputError(f"holds no pixels for page {line}; the file is incomplete")
        raw = np.asarray(page.asarray()).reshape(frame)
    else:
        check_memory(series.shape, itemsize)
        raw = np.asarray(series.asarray()).reshape(layout.n_lines, *frame)[line]
    if layout.planar:
        raw = np.moveaxis(raw, 0, -1)
    return raw[..., 0] if samples == 1 else raw


def _grey(page: Any, raw: np.ndarray) -> np.ndarray:
    """Return grey values: palette and RGB as luminance, white-is-zero turned round."""
    if raw.ndim == 3:
        raw = raw[..., 0] if raw.shape[-1] == 2 else luminance(raw)
    elif page.photometric == _PALETTE and page.colormap is not None and not _grey_map(page):
        raw = luminance(np.moveaxis(page.colormap >> 8, 0, -1).astype(raw.dtype))[raw]
    image = plane(raw)
    if page.photometric == _MINISWHITE and image.dtype.kind == "u":
        top = np.array((1 << min(page.bitspersample, 8 * image.dtype.itemsize)) - 1, image.dtype)
        image = (top if raw.dtype != np.bool_ else np.uint8(255)) - image
    return image


def _grey_map(page: Any) -> bool:
    """Whether a palette is the plain ramp of grey values."""
    table = page.colormap
    if table is None:
        return True
    ramp = np.arange(table.shape[1])
    return bool((table == table[:1]).all() and (np.abs((table[0] >> 8) - ramp) <= 1).all())
