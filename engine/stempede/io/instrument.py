"""Instrument facts out of vendor metadata, under the names of the ``frames`` table."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_TEM = "Acquisition_instrument.TEM."
_Convert = Callable[[Any], Any]


def mapped(
    metadata: Mapping[str, Any], original: Mapping[str, Any], mapping: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return RosettaSciIO metadata with its mapping from the file's own tags carried out.

    A tag that is missing or that its function cannot read is left out.
    """
    result = _copy(metadata)
    for source, target in (mapping or {}).items():
        value = lookup(original, source)
        if value is None:
            continue
        path, convert = target if isinstance(target, tuple) else (target, None)
        try:
            value = convert(value) if convert else value
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            continue
        if value is not None and isinstance(path, str):
            _put(result, path, value)
    return result


def lookup(tree: Any, path: str) -> Any:
    """Return the value at a dotted path of nested mappings; None where there is none.

    A name may be spelt with spaces or underscores.
    """
    for name in path.split("."):
        if not isinstance(tree, Mapping):
            return None
        if name not in tree:
            name = next((k for k in tree if str(k).replace(" ", "_") == name), name)
        tree = tree.get(name)
    return tree


def instrument_facts(metadata: Mapping[str, Any], original: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the ``frames`` table that the metadata knows, and only those."""
    facts: dict[str, Any] = {}
    for name, places in _PLACES.items():
        for path, convert in places:
            value = lookup(metadata, path)
            if value is None:
                value = lookup(original, path)
            if value is None:
                value = _in_dm_tags(original, path)
            found = _try(convert, value)
            if found is not None:
                facts[name] = found
                break
    if lookup(original, "ObjectInfo.AcquireInfo.CameraNamePath"):
        # of a TIA camera the dwell time is the exposure
        facts.pop("dwell_us", None)
    when = _acquired_at(metadata, original)
    if when:
        facts["acquired_at"] = when
    return facts


def _positive(scale: float) -> _Convert:
    def convert(value: Any) -> float | None:
        number = float(value) * scale
        return number if math.isfinite(number) and number > 0 else None

    return convert


def _text(value: Any) -> str | None:
    return str(value).strip() or None


_PLACES: dict[str, tuple[tuple[str, _Convert], ...]] = {
    "instrument": (
        (f"{_TEM}microscope", _text),
        ("Instrument.InstrumentModel", _text),
        ("Instrument.InstrumentClass", _text),
        ("ImageTags.Microscope Info.Name", _text),
    ),
    "kV": (
        (f"{_TEM}beam_energy", _positive(1)),
        ("Optics.AccelerationVoltage", _positive(1e-3)),
        ("ObjectInfo.ExperimentalDescription.High tension_kV", _positive(1)),
        ("fei_header.HT", _positive(1e-3)),
    ),
    "magnification": (
        (f"{_TEM}magnification", _positive(1)),
        ("CustomProperties.StemMagnification.value", _positive(1)),
        ("Optics.NominalMagnification", _positive(1)),
    ),
    "detector": (
        ("BinaryResult.Detector", _text),
        ("DetectorMetadata.DetectorName", _text),
        ("ImageTags.DataBar.Signal Name", _text),
        (f"{_TEM}Detector.Camera.name", _text),
        (f"{_TEM}Detector.Camera.Name", _text),
        (f"{_TEM}detector", _text),
        ("ImageTags.Acquisition.Device.Name", _text),
    ),
    "dwell_us": (
        ("Scan.DwellTime", _positive(1e6)),
        ("ImageTags.DigiScan.Sample Time", _positive(1)),
        ("ObjectInfo.AcquireInfo.DwellTimePath", _positive(1e6)),
    ),
    "dose_e_per_A2": ((f"{_TEM}dose", _positive(1)),),
}


def _try(convert: _Convert, value: Any) -> Any:
    if value is None or isinstance(value, Mapping):
        return None
    try:
        return convert(value)
    except (TypeError, ValueError):
        return None


def _in_dm_tags(original: Mapping[str, Any], path: str) -> Any:
    """Look in the tags of each image of a DigitalMicrograph file."""
    groups = original.get("ImageList") if isinstance(original, Mapping) else None
    if not isinstance(groups, Mapping):
        return None
    for group in groups.values():
        value = lookup(group, path)
        if value is not None:
            return value
    return None


def _acquired_at(metadata: Mapping[str, Any], original: Mapping[str, Any]) -> str:
    """Return the time of acquisition as ISO 8601, with its offset where the file says UTC."""
    seconds = lookup(original, "ser_header_parameters.Time")
    if getattr(seconds, "ndim", 0):
        seconds = seconds.ravel()[0]
    general = metadata.get("General") or {}
    date, time = general.get("date"), general.get("time")
    if date:
        text = f"{date}T{time}" if time else str(date)
        try:
            datetime.datetime.fromisoformat(text)
        except ValueError:
            return ""
        zone = str(general.get("time_zone") or "")
        return text + ("+00:00" if zone == "UTC" else zone if zone[:1] in ("+", "-") else "")
    try:
        if seconds and float(seconds) > 0:
            when = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
            return when.isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        pass
    return ""


def plain(value: Any, *, depth: int = 12, longest: int = 64) -> Any:
    """Return metadata as JSON can hold it: no arrays of more than ``longest`` values, no bytes."""
    if isinstance(value, Mapping):
        if depth == 0:
            return "..."
        return {str(k): plain(v, depth=depth - 1, longest=longest) for k, v in value.items()}
    if isinstance(value, str | bool | int | None.__class__):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>" if len(value) > longest else value.decode("utf-8", "replace")
    if hasattr(value, "tolist") and hasattr(value, "shape"):
        if value.shape and (len(value.shape) > 1 or value.shape[0] > longest):
            return f"<array {tuple(value.shape)} {value.dtype}>"
        if type(value).__module__.startswith("dask"):
            return f"<array {tuple(value.shape)} {value.dtype}>"
        return plain(value.tolist(), depth=depth, longest=longest)
    if isinstance(value, list | tuple | set | Iterator):
        items = list(value)
        if len(items) > longest:
            return f"<list of {len(items)}>"
        return [plain(v, depth=depth - 1, longest=longest) for v in items] if depth else "..."
    return str(value)


def _copy(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copy(v) if isinstance(v, Mapping) else v for k, v in tree.items()}


def _put(tree: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for name in parents:
        below = tree.get(name)
        if not isinstance(below, dict):
            below = tree[name] = {}
        tree = below
    tree[last] = value
