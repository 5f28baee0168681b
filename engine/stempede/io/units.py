"""Pixel sizes as files spell them, in nm; what cannot be believed is no calibration."""

from __future__ import annotations

import math
from typing import Any

from stempede.frames import Calibration

LARGEST_PIXEL_NM = 1e6
SMALLEST_PIXEL_NM = 1e-5

_NM_PER_UNIT = {
    "m": 1e9,
    "meter": 1e9,
    "meters": 1e9,
    "metre": 1e9,
    "metres": 1e9,
    "mm": 1e6,
    "millimeter": 1e6,
    "millimetre": 1e6,
    "um": 1e3,
    "micron": 1e3,
    "microns": 1e3,
    "micrometer": 1e3,
    "micrometers": 1e3,
    "micrometre": 1e3,
    "micrometres": 1e3,
    "nm": 1.0,
    "nanometer": 1.0,
    "nanometers": 1.0,
    "nanometre": 1.0,
    "nanometres": 1.0,
    "a": 0.1,
    "ang": 0.1,
    "angstrom": 0.1,
    "angstroms": 0.1,
    "ångström": 0.1,
    "å": 0.1,
    "pm": 1e-3,
    "picometer": 1e-3,
    "picometre": 1e-3,
}
# micro sign, Greek mu, ImageJ's escape of it, and the angstrom sign
_SPELLINGS = (("\\u00b5", "u"), ("\u00b5", "u"), ("\u03bc", "u"), ("\u212b", "å"), ("_", ""))
_PIXEL_UNITS = {"", "px", "pixel", "pixels", "<undefined>", "undefined", "none", "arb.units"}


def unit_text(unit: Any) -> str:
    """Return a unit as lower-case text in one spelling; empty for none."""
    if unit is None or type(unit).__name__ == "t_Undefined":
        return ""
    text = unit.decode("utf-8", "replace") if isinstance(unit, bytes) else str(unit)
    text = text.strip().strip("\x00").lower()
    for found, ours in _SPELLINGS:
        text = text.replace(found, ours)
    return text


def nm_per_unit(unit: Any) -> float | None:
    """Return how many nm one unit of length is; None where it is not a length."""
    return _NM_PER_UNIT.get(unit_text(unit))


def calibration(
    scale_y: Any, unit_y: Any, scale_x: Any = None, unit_x: Any = None
) -> tuple[Calibration, str]:
    """Return a file's calibration, and why it is not used where it is not.

    Parameters
    ----------
    scale_y, scale_x : number
        Length per pixel along y and x; x defaults to y.
    unit_y, unit_x : str, bytes or None
        Their units as the file spells them.

    Returns
    -------
    Calibration
        Source ``file``; empty where the file gives none that can be believed.
    str
        A sentence for the notes of the session; empty where there is nothing to say.
    """
    if scale_x is None:
        scale_x, unit_x = scale_y, unit_y
    sizes: list[float] = []
    for scale, unit in ((scale_y, unit_y), (scale_x, unit_x)):
        size, note = _size_nm(scale, unit)
        if size is None:
            return Calibration(), note
        sizes.append(size)
    return Calibration(sizes[0], sizes[1], "file"), ""


def _size_nm(scale: Any, unit: Any) -> tuple[float | None, str]:
    """Return one axis' pixel size in nm, or why there is none."""
    try:
        value = float(scale)
    except (TypeError, ValueError):
        return None, ""
    text = unit_text(unit)
    factor = _NM_PER_UNIT.get(text)
    if factor is None:
        if text in _PIXEL_UNITS:
            if value in (0.0, 1.0, -1.0):
                return None, ""
            return None, "the file's pixel size has no unit and is not used"
        if text.startswith(("1/", "1 /")) or "^-1" in text or text == "mrad":
            return None, f"the file's axes are reciprocal ('{unit}'): no pixel size"
        return None, f"the file's pixel size is in '{unit}', not a length, and is not used"
    size = value * factor
    if not math.isfinite(size) or not SMALLEST_PIXEL_NM <= size <= LARGEST_PIXEL_NM:
        return None, f"the file's pixel size ({value:g} {text}) cannot be right and is not used"
    return size, ""
