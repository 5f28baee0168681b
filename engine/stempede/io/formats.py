"""The formats that are read, by file extension, each as three functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stempede.errors import InputError
from stempede.io import raster, ser, tiff, vendor
from stempede.io.image import Opened
from stempede.io.listing import suffix_of


@dataclass(frozen=True)
class Format:
    """How files of one kind are read.

    Parameters
    ----------
    describe : callable (path, signal) -> Opened
        Reads headers only.
    load : callable (path, page, signal) -> (y, x) array
    facts : callable (path, signal) -> mapping
        The file's own metadata.
    """

    describe: Callable[[str, str | None], Opened]
    load: Callable[[str, int, str | None], np.ndarray]
    facts: Callable[[str, str | None], Mapping[str, Any]]


def _no_facts(path: str, signal: str | None) -> Mapping[str, Any]:
    return {}


_TIFF = Format(tiff.describe_tiff, tiff.load_tiff, tiff.tiff_facts)
_PICTURE = Format(raster.describe_picture, raster.load_picture, raster.picture_facts)
_NPY = Format(raster.describe_npy, raster.load_npy, _no_facts)
_SER = Format(ser.describe_ser, ser.load_ser, ser.ser_facts)
_VENDOR = Format(vendor.describe_vendor, vendor.load_vendor, vendor.vendor_facts)

FORMATS: dict[str, Format] = {
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".btf": _TIFF,
    ".png": _PICTURE,
    ".jpg": _PICTURE,
    ".jpeg": _PICTURE,
    ".bmp": _PICTURE,
    ".npy": _NPY,
    **dict.fromkeys(vendor.PLUGINS, _VENDOR),
    ".ser": _SER,
}
"""Formats by lower-case extension."""


def format_of(path: str) -> Format:
    """Return how a file is read, by its extension."""
    suffix = suffix_of(path)
    if suffix not in FORMATS:
        raise InputError(
            f"an image wanted, found a '{suffix}' file; readable are {', '.join(sorted(FORMATS))}"
        )
    return FORMATS[suffix]
