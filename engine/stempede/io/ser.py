"""TIA series (SER): headers at open, one image at a time after that.

RosettaSciIO reads the pixels of a whole series to describe it; here a long series opens as fast
as a short one. The layout is the published one of TIA 4 and later. What the EMI file beside a
series tells of the instrument is taken from its text.
"""

from __future__ import annotations

import datetime
import re
import struct
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from stempede.errors import InputError
from stempede.io.image import Image, Opened, check_memory, plane, plane_dtype
from stempede.io.units import calibration

_HEAD = struct.Struct("<HHHLLLL")
_ELEMENT = struct.Struct("<ddLddLHLL")
_DTYPES = {1: "u1", 2: "<u2", 3: "<u4", 4: "i1", 5: "<i2", 6: "<i4", 7: "<f4", 8: "<f8", 9: "<c8"}
_BYTE_ORDER, _SERIES, _IMAGES, _SHORT_OFFSETS = 0x4949, 0x0197, 0x4122, 0x0210
_LARGEST_EMI = 256 << 20
_NUMBER = re.compile(r"_(\d+)$")


@dataclass(frozen=True)
class _Series:
    """Where the images of a series lie, and what the first one says of itself."""

    offsets: np.ndarray
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    scale_m: tuple[float, float]
    seconds: int


def describe_ser(path: str, signal: str | None) -> Opened:
    """Return the images of a SER file; an image that ends beyond the file is a problem.

    Raises
    ------
    InputError
        Not a series of images.
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        series = _read_series(file, size)
    scale, note = calibration(series.scale_m[0], "m", series.scale_m[1], "m")
    facts = {**_emi_facts(path), **_time(series.seconds)}
    dtype = plane_dtype(series.dtype)
    n_bytes = _ELEMENT.size + series.shape[0] * series.shape[1] * series.dtype.itemsize
    images = [
        Image(
            series.shape,
            dtype,
            scale,
            facts,
            problem=""
            if offset + n_bytes <= size
            else f"is truncated: its pixels end at byte {offset + n_bytes}, the file at {size}; "
            f"copy it again",
        )
        for offset in series.offsets.tolist()
    ]
    return Opened(tuple(images), (note,) if note else ())


def load_ser(path: str, page: int, signal: str | None) -> np.ndarray:
    """Return the (y, x) pixels of one image; TIA stores rows from the bottom up."""
    with Path(path).open("rb") as file:
        series = _read_series(file, Path(path).stat().st_size)
        check_memory(series.shape, series.dtype.itemsize)
        file.seek(int(series.offsets[page]))
        head = _ELEMENT.unpack(file.read(_ELEMENT.size))
        if (head[8], head[7]) != series.shape:
            raise InputError(f"images of {series.shape} px wanted, found {head[8]} x {head[7]} px")
        count = series.shape[0] * series.shape[1]
        pixels = np.fromfile(file, series.dtype, count)
    if pixels.size < count:
        raise InputError("is truncated: its pixels end before the image does; copy it again")
    return plane(np.ascontiguousarray(pixels.reshape(series.shape)[::-1]))


def ser_facts(path: str, signal: str | None) -> Mapping[str, Any]:
    """Return what the EMI file beside a series says, as label: value."""
    return {"emi": _emi_text(path)}


def _read_series(file: BinaryIO, size: int) -> _Series:
    try:
        return _parse(file, size)
    except (struct.error, IndexError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"a ser file wanted, found one whose header is cut short or damaged ({error}); "
            f"check that it was copied whole"
        ) from error


def _parse(file: BinaryIO, size: int) -> _Series:
    order, series_id, version, kind, _, total, valid = _HEAD.unpack(file.read(_HEAD.size))
    if (order, series_id) != (_BYTE_ORDER, _SERIES):
        raise InputError("a ser file of TIA wanted, found something else; check the file")
    if kind != _IMAGES:
        raise InputError("images wanted, found a series of spectra; choose an image series")
    word = "<L" if version <= _SHORT_OFFSETS else "<Q"
    (start,) = struct.unpack(word, file.read(struct.calcsize(word)))
    (n_axes,) = struct.unpack("<L", file.read(4))
    if n_axes > 1 and min(_axis_sizes(file, n_axes)) > 1:
        raise InputError(
            "images or a series wanted, found an image at each point of a scan (4-D data); "
            "make virtual images of it first"
        )
    if not 0 < valid <= total or start + 2 * total * struct.calcsize(word) > size:
        raise InputError(f"{total} images wanted, found {valid} whole ones; copy the file again")
    file.seek(start)
    words = np.dtype(f"<u{struct.calcsize(word)}")
    offsets = np.fromfile(file, words, 2 * total).astype(np.int64)
    file.seek(int(offsets[0]))
    head = _ELEMENT.unpack(file.read(_ELEMENT.size))
    file.seek(int(offsets[total]))
    tag = file.read(8)
    seconds = struct.unpack("<HHL", tag)[2] if len(tag) == 8 else 0
    dtype = np.dtype(_DTYPES.get(head[6], "V1"))
    return _Series(offsets[:valid], (head[8], head[7]), dtype, (head[4], head[1]), seconds)


def _axis_sizes(file: BinaryIO, n_axes: int) -> list[int]:
    sizes = []
    for _ in range(min(n_axes, 8)):
        sizes.append(struct.unpack("<LddL", file.read(24))[0])
        for _text in ("description", "unit"):
            file.seek(struct.unpack("<L", file.read(4))[0], 1)
    return sizes


def _time(seconds: int) -> dict[str, str]:
    if seconds <= 0:
        return {}
    return {"acquired_at": datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()}


def _emi_facts(path: str) -> dict[str, Any]:
    text = _emi_text(path)
    places = {
        "instrument": ("Microscope", None),
        "kV": ("High tension_kV", 1.0),
        "magnification": ("Magnification_x", 1.0),
        "detector": ("CameraNamePath", None),
        "dwell_us": ("DwellTimePath", 1e6),
    }
    facts: dict[str, Any] = {}
    for name, (label, factor) in places.items():
        value = text.get(label, "")
        try:
            found: Any = value if factor is None else float(value) * factor
        except ValueError:
            continue
        if found:
            facts[name] = found
    if "detector" in facts:
        # of a camera this is the exposure
        facts.pop("dwell_us", None)
    return facts


def _emi_text(path: str) -> dict[str, str]:
    """Return label: value of the EMI file a series belongs to; empty without one."""
    stem = Path(path).with_suffix("")
    number = _NUMBER.search(stem.name)
    emi = next(
        (e for s in (".emi", ".EMI") if (e := Path(_NUMBER.sub("", str(stem)) + s)).is_file()), None
    )
    if emi is None or number is None or emi.stat().st_size > _LARGEST_EMI:
        return {}
    found = re.findall(rb"<ObjectInfo>.*?</ObjectInfo>", emi.read_bytes(), re.DOTALL)
    if not found:
        return {}
    try:
        root = ET.fromstring(found[min(int(number[1]), len(found)) - 1].decode("utf-8", "replace"))
    except ET.ParseError:
        return {}
    text = {e.tag: (e.text or "").strip() for e in root.iter() if not len(e)}
    for entry in root.iter("Data"):
        label, value, unit = (entry.findtext(t, "").strip() for t in ("Label", "Value", "Unit"))
        text[f"{label}_{unit}" if unit else label] = value
    return {k: v for k, v in text.items() if v and k not in ("Label", "Value", "Unit")}
