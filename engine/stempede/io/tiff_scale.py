"""Pixel size, caption band and instrument facts that TIFF writers leave in their tags.

Printing resolution (dots per inch) is never a pixel size: it counts only where the writer
names its unit (ImageJ) or where the tags of an instrument give a magnification for it.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

from stempede.frames import Box, Calibration
from stempede.io.units import calibration

_DM_UNIT_X, _DM_UNIT_Y, _DM_SCALE_X, _DM_SCALE_Y = 65003, 65004, 65009, 65010
_SIS_TAGS = (33471, 33560)
_INCH, _CENTIMETRE = 2, 3


def tiff_calibration(tif: Any, number: int) -> tuple[Calibration, str]:
    """Return the pixel size of a TIFF's series, and a note where one is not believed."""
    page = tif.series[number].keyframe
    note = ""
    for find in (_fei, _zeiss, _tvips, _sis, _ome, _digital_micrograph, _imagej, _jeol):
        try:
            found = find(tif, page, number)
        except (KeyError, ValueError, TypeError, IndexError, ZeroDivisionError, ET.ParseError):
            continue
        if found is None:
            continue
        scale, said = calibration(*found)
        if scale.source:
            return scale, ""
        note = note or said
    return Calibration(), note


def _fei(tif: Any, page: Any, number: int) -> tuple[Any, ...] | None:
    facts = tif.fei_metadata if page.is_fei else None
    if not facts:
        return None
    scan = facts.get("Scan", {})
    if "PixelWidth" in scan:
        return scan["PixelHeight"], "m", scan["PixelWidth"], "m"
    beam, image = facts["IRBeam"], facts["Image"]
    return (
        float(beam["VFW"]) / float(image["ResolutionY"]),
        "m",
        float(beam["HFW"]) / float(image["ResolutionX"]),
        "m",
    )


def _zeiss(tif: Any, page: Any, number: int) -> tuple[Any, ...] | None:
    if not page.is_sem:
        return None
    # the fourth unnamed number is m/px of the 1024 px wide display
    return tif.sem_metadata[""][3] * 1024 / page.imagewidth, "m"


def _tvips(tif: Any, page: Any, number: int) -> tuple[Any, ...] | None:
    if not page.is_tvips:
        return None
    facts = tif.tvips_metadata
    return facts["PixelSizeY"], "nm", facts["PixelSizeX"], "nm"


def _sis(tif: Any, page: Any, number: int) -> tuple[Any, ...] | None:
    for code in _SIS_TAGS:
        facts = page.tags.valueof(code)
        if isinstance(facts, Mapping) and "pixelsizex" in facts:
            return facts["pixelsizey"], "m", facts["pixelsizex"], "m"
    return None


def _ome(tif: Any, page: Any, number: int) -> tuple[Any, ...] | None:
    pixels = _ome_pixels(tif, number)
    if pixels is None:
        return None
    default = "µm"
    return (
        pixels.attrib["PhysicalSizeY"],
        pixels.get("PhysicalSizeYUnit", default),
        pixels.attrib["PhysicalSizeX"],
        pixels.get("PhysicalSizeXUnit", default),
    )


def _ome_pixels(tif: Any, number: int) -> ET.Element | None:
    """Return the Pixels element of a series; None where the file is no OME-TIFF."""
    text = tif.ome_metadata
    if tif.series[number].kind != "ome" or not text or "<!DOCTYPE" in text:
        return None
    found = [e for e in ET.fromstring(text).iter() if e.tag.endswith("}Pixels")]
    return found[number] if number < len(found) else None


def channel_names(tif: Any, number: int, n: int) -> list[str]:
    """Return the names of the channels of a series, as OME metadata give them or by number."""
    try:
        pixels = _ome_pixels(tif, number)
    except ET.ParseError:
        pixels = None
    channels = [] if pixels is None else [e for e in pixels if e.tag.endswith("}Channel")]
    names = [c.get("Name", "") for c in channels]
    if len(names) != n or not all(names):
        return [f"channel {k}" for k in range(n)]
    return names


def _digital_micrograph(tif: Any, page: Any, number: int) -> tuple[Any, ...] | None:
    tags = page.tags
    if _DM_SCALE_X not in tags or _DM_UNIT_X not in tags:
        return None
    scale_x, unit_x = tags.valueof(_DM_SCALE_X), tags.valueof(_DM_UNIT_X)
    return tags.valueof(_DM_SCALE_Y, scale_x), tags.valueof(_DM_UNIT_Y, unit_x), scale_x, unit_x


def _imagej(tif: Any, page: Any, number: int) -> tuple[Any, ...] | None:
    facts = tif.imagej_metadata if page.is_imagej else None
    if not facts or "unit" not in facts or "XResolution" not in page.tags:
        return None
    unit = facts["unit"]
    if str(unit).lower() in ("inch", "in"):
        return None
    pixels_y, pixels_x = (
        _ratio(page.tags.valueof(name)) for name in ("YResolution", "XResolution")
    )
    return 1 / pixels_y, facts.get("yunit", unit), 1 / pixels_x, unit


def _jeol(tif: Any, page: Any, number: int) -> tuple[Any, ...] | None:
    if page.tags.valueof("Make", "") != "JEOL Ltd." or "<!DOCTYPE" in page.description:
        return None
    root = ET.fromstring(page.description.strip(" \r\n\t\x01\x00"))
    text = {e.tag.rsplit("}")[-1]: (e.text or "").strip() for e in root.iter()}
    if text.get("EosMode") != "eosTEM" or text.get("ModeString") != "MAG":
        return None
    magnification = float(text["SelectorValue"])
    unit = page.tags.valueof("ResolutionUnit", _INCH)
    length_m = 0.0254 if unit == _INCH else 0.01
    sizes = [
        length_m / _ratio(page.tags.valueof(name)) / magnification
        for name in ("YResolution", "XResolution")
    ]
    return sizes[0], "m", sizes[1], "m"


def _ratio(value: Any) -> float:
    return float(value[0]) / float(value[1]) if isinstance(value, tuple) else float(value)


def caption_band(tif: Any, page: Any) -> tuple[Box, ...]:
    """Return the caption band below an image, where FEI's tags give its height."""
    if not page.is_fei:
        return ()
    try:
        facts = tif.fei_metadata
        scanned = int(facts["Image"]["ResolutionY"])
        band = int(facts.get("PrivateFei", {}).get("DatabarHeight", 0))
    except (KeyError, TypeError, ValueError, AttributeError):
        return ()
    height, width = page.imagelength, page.imagewidth
    top = scanned if scanned < height else height - band
    return ((top, 0, height, width),) if 0 < top < height else ()


def tiff_instrument(tif: Any, page: Any) -> dict[str, Any]:
    """Return instrument facts of FEI, TVIPS and dated TIFF files."""
    facts: dict[str, Any] = {}
    try:
        if page.is_fei and tif.fei_metadata:
            found = tif.fei_metadata
            facts["instrument"] = str(found.get("System", {}).get("SystemType", ""))
            facts["kV"] = float(found["Beam"]["HV"]) / 1e3
            facts["dwell_us"] = float(found["Scan"]["Dwelltime"]) * 1e6
        elif page.is_tvips and tif.tvips_metadata:
            found = tif.tvips_metadata
            facts["kV"] = float(found["TemHighTension"]) / 1e3
            facts["magnification"] = float(found["TemMagnification"])
    except (KeyError, TypeError, ValueError):
        pass
    date = page.datetime
    if date is not None:
        facts["acquired_at"] = date.isoformat()
    return {k: v for k, v in facts.items() if v not in ("", None)}
