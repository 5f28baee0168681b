"""PNG, JPEG and BMP through Pillow, and npy arrays through NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stempede.errors import InputError
from stempede.io.image import (
    BIT_NOTE,
    RGB_NOTE,
    Image,
    Opened,
    check_memory,
    plane,
    plane_dtype,
)

_GREY_DTYPES = {
    "1": "uint8",
    "L": "uint8",
    "I;16": "uint16",
    "I;16B": "uint16",
    "I;16L": "uint16",
    "I": "int32",
    "F": "float32",
}
_COLOUR_MODES = (
    "P",
    "PA",
    "LA",
    "La",
    "RGB",
    "RGBA",
    "RGBa",
    "RGBX",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
)


def describe_picture(path: str, signal: str | None) -> Opened:
    """Return the one image of a PNG, JPEG or BMP file; only its header is read.

    Raises
    ------
    InputError
        Not an image, or larger than Pillow takes from a compressed file.
    """
    with _picture(path) as picture:
        width, height = picture.size
        mode = picture.mode
        grey = "P" in mode and _grey_palette(picture)
    notes = [BIT_NOTE] if mode == "1" else []
    if mode in _COLOUR_MODES and mode not in ("LA", "La") and not grey:
        notes.append(RGB_NOTE)
    dtype = _GREY_DTYPES.get(mode, "uint8")
    return Opened((Image((height, width), dtype),), tuple(notes))


def load_picture(path: str, page: int, signal: str | None) -> np.ndarray:
    """Return the (y, x) pixels of a PNG, JPEG or BMP file."""
    with _picture(path) as picture:
        width, height = picture.size
        check_memory((height, width), 4)
        if picture.mode in _GREY_DTYPES:
            return plane(np.array(picture))
        if picture.mode in ("CMYK", "LAB", "HSV", "PA"):
            picture = picture.convert("RGB")
        # Pillow's weights are ours, and it drops alpha
        return np.array(picture.convert("L"))


def picture_facts(path: str, signal: str | None) -> Mapping[str, Any]:
    """Return the text entries of a picture's header."""
    with _picture(path) as picture:
        return {str(k): v for k, v in picture.info.items() if isinstance(v, str | int | float)}


def _picture(path: str) -> Any:
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
            return Pillow.open(path)
    except UnidentifiedImageError as error:
        raise InputError(
            f"a {Path(path).suffix} image wanted, found something else; check the file"
        ) from error
    except Pillow.DecompressionBombError as error:
        raise InputError(
            f"has more pixels than can be trusted from a compressed picture ({error}); "
            f"save it as TIFF"
        ) from error


def _grey_palette(picture: Any) -> bool:
    """Whether every colour of a palette is grey."""
    colours = np.array(picture.getpalette() or [], dtype=np.uint8).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def describe_npy(path: str, signal: str | None) -> Opened:
    """Return the images of a 2-D or 3-D ``.npy`` array; only its header is read."""
    array = _npy(path)
    return Opened(array_images(array.shape, array.dtype))


def load_npy(path: str, page: int, signal: str | None) -> np.ndarray:
    """Return one (y, x) page of a ``.npy`` array."""
    array = _npy(path)
    check_memory(array.shape[-2:], array.dtype.itemsize)
    return plane(np.array(array if array.ndim == 2 else array[page]))


def array_images(shape: tuple[int, ...], dtype: Any) -> tuple[Image, ...]:
    """Return one image per page of a plain (y, x) or (n, y, x) array."""
    if len(shape) not in (2, 3):
        raise InputError(
            f"(y, x) or (n, y, x) wanted, found {len(shape)}-D data {tuple(shape)}"
            + ("; make virtual images of it first" if len(shape) == 4 else "; reshape it")
        )
    n = 1 if len(shape) == 2 else int(shape[0])
    height, width = int(shape[-2]), int(shape[-1])
    return (Image((height, width), plane_dtype(dtype)),) * n


def _npy(path: str) -> np.ndarray:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"is not a complete .npy array of numbers ({error})") from error
    if not isinstance(found, np.ndarray):
        raise InputError("one array wanted, found an archive; save each array as .npy")
    return found
