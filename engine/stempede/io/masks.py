"""Masks that people drew: PNG or TIFF files and sets of ImageJ outlines, read as labels."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from stempede.errors import InputError
from stempede_kernels.label import label

PICTURES = (".png", ".tif", ".tiff", ".bmp")
OUTLINES = (".zip", ".roi")

# particles are larger; values between black and white that smoothing left are not
_SPECK_PX = 12


def pair(images: list[Path], masks: Path) -> dict[Path, Path]:
    """Return each image's mask, by the name without its ending; images without one are left out.

    Raises
    ------
    InputError
        If there is no such folder, two masks have one name, a mask has no image, or no image a
        mask.
    """
    if not masks.is_dir():
        raise InputError(f"--masks wants a folder of masks; found no folder '{masks}'; correct it")
    found: dict[str, Path] = {}
    for path in sorted(p for p in masks.iterdir() if p.suffix.lower() in PICTURES + OUTLINES):
        if path.stem in found:
            raise InputError(
                f"'{found[path.stem].name}' and '{path.name}' are masks of one image; remove one"
            )
        found[path.stem] = path
    pairs = {image: found.pop(image.stem) for image in images if image.stem in found}
    if found:
        names = ", ".join(sorted(p.name for p in found.values()))
        raise InputError(f"masks without an image of their name: {names}; name each like its image")
    if not pairs:
        raise InputError(
            f"found no mask in '{masks}' named like an image; masks are PNG or TIFF pictures, or "
            "ImageJ sets of ROIs (.zip), each named like its image"
        )
    return pairs


def read_mask(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Return the particles of a mask as labels, 0 elsewhere.

    Two values are a mask: the smaller is background, and each connected region of the other
    one particle. More are labels: 0 is background, each other value one particle, so that
    particles may touch. Of outlines each is one particle; later ones lie on top.

    Parameters
    ----------
    path : Path
        A picture, or a ``.zip`` or ``.roi`` of ImageJ.
    shape : tuple of int
        Height and width of its image.

    Returns
    -------
    (h, w) int32 array
        1 ... n.

    Raises
    ------
    InputError
        If it cannot be read, has another size, is empty, or is neither mask nor labels.
    """
    labels = _from_outlines(path, shape) if path.suffix.lower() in OUTLINES else _picture(path)
    if labels.shape != shape:
        raise InputError(
            f"mask '{path.name}' has {labels.shape[0]} x {labels.shape[1]} px, its image "
            f"{shape[0]} x {shape[1]}; export it at the image's own size"
        )
    return labels


def _picture(path: Path) -> np.ndarray:
    """Return the labels of a picture."""
    values, numbers = np.unique(_grey(path), return_inverse=True)
    numbers = numbers.reshape(numbers.shape[-2:]).astype(np.int32)
    if len(values) == 1:
        raise InputError(
            f"mask '{path.name}' is empty: all its pixels are {values[0]}; outline the particles, "
            "or leave the image's mask out"
        )
    if len(values) == 2:
        return np.asarray(label(numbers > 0)[0], np.int32)
    if values[0] != 0:
        numbers += 1
    small = np.bincount(numbers.ravel())[1:] < _SPECK_PX
    if small.mean() > 0.5 or _beside_others(numbers) > 0.5:
        raise InputError(
            f"mask '{path.name}' has {len(values)} values, most of them on a few pixels or among "
            "others: neither two values nor a label for each particle; threshold it, and save it "
            "without compression losses"
        )
    return numbers


def _beside_others(numbers: np.ndarray) -> float:
    """Return the share of labelled pixels that have a pixel of another label beside them."""
    other = np.zeros(numbers.shape, bool)
    for lines, marks in ((numbers, other), (numbers.T, other.T)):
        meet = (lines[1:] != lines[:-1]) & (lines[1:] > 0) & (lines[:-1] > 0)
        marks[1:] |= meet
        marks[:-1] |= meet
    return float(other[numbers > 0].mean())


def _grey(path: Path) -> np.ndarray:
    """Return the (y, x) values of a picture; colours that differ become numbers."""
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            import tifffile

            values = np.asarray(tifffile.imread(path))
        else:
            from PIL import Image

            with Image.open(path) as picture:
                kept = (
                    picture if picture.mode in ("L", "I", "I;16", "P") else picture.convert("RGB")
                )
                values = np.asarray(kept)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"mask '{path.name}' cannot be read ({error}); save it again") from error
    if values.ndim == 3 and values.shape[2] in (3, 4):
        # a code for each colour; black stays 0
        values = values[..., :3].astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    if values.ndim != 2:
        raise InputError(
            f"mask '{path.name}' has {values.ndim} axes; a mask is one picture, (y, x)"
        )
    return values


def _from_outlines(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Return the labels of ImageJ outlines."""
    from PIL import Image, ImageDraw
    from roifile import roiread

    try:
        rois = roiread(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"'{path.name}' is no set of ImageJ ROIs ({error}); save it from the ROI manager"
        ) from error
    picture = Image.new("I", (shape[1], shape[0]))
    draw = ImageDraw.Draw(picture)
    rois = list(rois) if isinstance(rois, list) else [rois]
    number = 0
    for roi in rois:
        corners = roi.coordinates()
        if len(corners) < 3:
            continue
        number += 1
        # outlines run between pixels, polygons through their centres
        draw.polygon([(x - 0.5, y - 0.5) for x, y in corners.tolist()], fill=number)
    labels = np.asarray(picture, np.int32)
    values, numbers = np.unique(labels, return_inverse=True)
    if not values[-1]:
        raise InputError(
            f"'{path.name}' is empty: {len(rois)} ROIs, none with an area inside the image; draw "
            "outlines, not points or lines"
        )
    first = 0 if values[0] == 0 else 1
    return (numbers.reshape(shape) + first).astype(np.int32)
