"""What a format tells of a file before its pixels are read, and how pixels become one plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stempede.backend import host_free_bytes
from stempede.errors import InputError
from stempede.frames import Box, Calibration

LUMINANCE = (19595, 38470, 7471)
"""ITU-R BT.601 weights of red, green and blue (0.299, 0.587, 0.114), in 65536ths."""
_UNIT = 65536

NO_CALIBRATION = Calibration()

RGB_NOTE = "colour images were read as luminance"
BIT_NOTE = "1-bit images were read as 0 and 255"


@dataclass(frozen=True)
class Image:
    """One 2-D image of a file; its place in ``Opened.images`` is its page.

    Parameters
    ----------
    shape : (int, int)
    dtype : str
        As the reader will return it.
    calibration : Calibration
    instrument : mapping
        Facts with the names of the ``frames`` table.
    exclude : tuple of (y0, x0, y1, x1)
        Caption bands that the file declares.
    problem : str
        Why this image cannot be read, empty where it can.
    """

    shape: tuple[int, int]
    dtype: str
    calibration: Calibration = NO_CALIBRATION
    instrument: Mapping[str, Any] = field(default_factory=dict)
    exclude: tuple[Box, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Opened:
    """The images of a file, and sentences worth saying once for all files."""

    images: tuple[Image, ...]
    notes: tuple[str, ...] = ()


def luminance(rgb: np.ndarray) -> np.ndarray:
    """Return the luminance of a (y, x, 3 or 4) array in its own dtype; alpha is dropped.

    Equal channels keep their value exactly.
    """
    if not np.issubdtype(rgb.dtype, np.unsignedinteger) or rgb.dtype.itemsize > 4:
        grey = rgb[..., :3].astype(np.float64) @ (np.array(LUMINANCE) / _UNIT)
        return (np.rint(grey) if rgb.dtype.kind == "i" else grey).astype(rgb.dtype)
    wide = np.uint32 if rgb.dtype.itemsize == 1 else np.uint64
    total: np.ndarray = rgb[..., 0] * wide(LUMINANCE[0])
    for k in (1, 2):
        total += rgb[..., k] * wide(LUMINANCE[k])
    total += wide(_UNIT // 2)
    total >>= wide(16)
    return total.astype(rgb.dtype)


def plane(image: np.ndarray) -> np.ndarray:
    """Return pixels as one native-endian plane: bits as 0/255, structured RGB as luminance."""
    if image.dtype.names:
        names = [n for n in ("R", "G", "B") if n in image.dtype.names]
        if len(names) != 3:
            raise InputError(f"holds structured pixels {image.dtype.names}; save it as grey values")
        image = luminance(np.stack([image[n] for n in names], axis=-1))
    if image.dtype == np.bool_:
        image = image.astype(np.uint8) * np.uint8(255)
    if not image.dtype.isnative:
        image = image.astype(image.dtype.newbyteorder("="))
    return image


def plane_dtype(dtype: Any) -> str:
    """Return the dtype ``plane`` will give, or raise where pixels are no grey values."""
    found = np.dtype(dtype)
    if found.names:
        found = found[found.names[0]]
    if found == np.bool_:
        return "uint8"
    if found.kind not in "uif":
        kind = "complex values (a Fourier transform?)" if found.kind == "c" else f"'{found}' values"
        raise InputError(f"real grey values wanted, found {kind}; save the image as real numbers")
    return found.newbyteorder("=").name


def check_memory(shape: tuple[int, ...], itemsize: int) -> None:
    """Raise where reading an array of this shape would take more memory than there is.

    Counts the native pixels and their float32 copy, the least that reading a frame takes.
    """
    n_pixels = 1
    for size in shape:
        n_pixels *= int(size)
    needed = n_pixels * (itemsize + 4)
    free = host_free_bytes()
    if needed > 0.9 * free:
        extent = " x ".join(str(s) for s in shape)
        raise InputError(
            f"is {extent} px and needs {needed / 2**30:.1f} GiB to read; "
            f"{free / 2**30:.1f} GiB are free; crop or bin it"
        )
