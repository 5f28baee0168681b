"""Vendor formats through RosettaSciIO: DM3/DM4, EMD, EMI, MRC, hspy and zspy."""

from __future__ import annotations

import importlib
import logging
import struct
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stempede.errors import InputError
from stempede.frames import Calibration
from stempede.io.handles import opened
from stempede.io.image import RGB_NOTE, Image, Opened, check_memory, plane, plane_dtype
from stempede.io.instrument import instrument_facts, mapped
from stempede.io.tiff import choose
from stempede.io.units import calibration, nm_per_unit

PLUGINS: dict[str, str] = {
    ".dm3": "digitalmicrograph",
    ".dm4": "digitalmicrograph",
    ".emd": "emd",
    ".de5": "emd",
    ".emi": "tia",
    ".mrc": "mrc",
    ".ali": "mrc",
    ".hspy": "hspy",
    ".zspy": "zspy",
}
"""RosettaSciIO plugin by file extension."""

_OPTIONS: dict[str, dict[str, Any]] = {
    ".emd": {"select_type": "images"},
    # opened lazily they would be opened for writing
    ".hspy": {"mode": "r"},
    ".zspy": {"mode": "r"},
}
_MRC_HEADER = 1024
_MRC_MODES = (0, 1, 2, 3, 4, 6, 12, 16)
_UNCOMPRESSED = {".dm3", ".dm4", ".mrc", ".ali"}


@dataclass(frozen=True)
class _Signal:
    """One signal of a file: its name, its lazy array, and its axes as RosettaSciIO gives them."""

    name: str
    array: Any
    axes: tuple[Mapping[str, Any], ...]
    metadata: Mapping[str, Any]
    original: Mapping[str, Any]

    @property
    def signal_axes(self) -> list[int]:
        """Positions of the axes that make one image (or spectrum)."""
        flags = [bool(a.get("navigate", k < len(self.axes) - 2)) for k, a in enumerate(self.axes)]
        return [k for k, navigate in enumerate(flags) if not navigate]

    @property
    def is_image(self) -> bool:
        """Whether it is one image or a stack of them, images in the last two axes."""
        n = self.array.ndim
        if n == 3 and self.signal_axes == [0, 1, 2]:
            # Berkeley EMD does not tell stacks from volumes: images are lengths in y and x
            return all(nm_per_unit(a.get("units")) for a in self.axes[-2:])
        return n in (2, 3) and self.signal_axes == [n - 2, n - 1]


@dataclass
class _Vendor:
    """An open vendor file; ``close`` drops its arrays, and with them the file."""

    signals: tuple[_Signal, ...]
    whole: np.ndarray | None = None

    def close(self) -> None:
        """Let go of the file."""
        self.signals = ()
        self.whole = None


def describe_vendor(path: str, signal: str | None) -> Opened:
    """Return the images of one image signal of a vendor file.

    Raises
    ------
    InputError
        Not readable, no image signal, or none of the name asked for.
    """
    notes: list[str] = []
    with opened("vendor", path, _open) as file:
        chosen = _choose(file, signal, notes)
        if chosen.array.dtype.names:
            notes.append(RGB_NOTE)
        scale, note = _scale(chosen)
        if note:
            notes.append(note)
        height, width = (int(n) for n in chosen.array.shape[-2:])
        n = 1 if chosen.array.ndim == 2 else int(chosen.array.shape[0])
        image = Image(
            (height, width),
            plane_dtype(chosen.array.dtype),
            scale,
            instrument_facts(chosen.metadata, chosen.original),
        )
        _check_size(path, chosen)
    return Opened((image,) * n, tuple(notes))


def load_vendor(path: str, page: int, signal: str | None) -> np.ndarray:
    """Return the (y, x) pixels of one page of the chosen signal."""
    with opened("vendor", path, _open) as file:
        chosen = _choose(file, signal, [])
        array = chosen.array
        if path.lower().endswith(".emi") and array.ndim == 3:
            # the lazy array of a series reads the whole file for each page
            if file.whole is None:
                check_memory(array.shape, array.dtype.itemsize)
                file.whole = _compute(array)
            return plane(np.array(file.whole[page]))
        check_memory(array.shape[-2:], array.dtype.itemsize)
        return plane(_compute(array if array.ndim == 2 else array[page]))


def vendor_facts(path: str, signal: str | None) -> Mapping[str, Any]:
    """Return the metadata of the chosen signal, as RosettaSciIO maps it and as the file has it."""
    with opened("vendor", path, _open) as file:
        chosen = _choose(file, signal, [])
        return {
            "signal": chosen.name,
            "metadata": dict(chosen.metadata),
            "original_metadata": dict(chosen.original),
        }


def drop_emi_twins(paths: Sequence[str]) -> tuple[list[str], int]:
    """Leave out each ``.emi`` whose ``.ser`` images are listed too; say how many were."""
    ser_stems = {p[:-4].rsplit("_", 1)[0] for p in paths if p.lower().endswith(".ser")}
    kept = [p for p in paths if not (p.lower().endswith(".emi") and p[:-4] in ser_stems)]
    return kept, len(paths) - len(kept)


def _open(path: str) -> _Vendor:
    suffix = Path(path).suffix.lower()
    if PLUGINS[suffix] == "mrc":
        _check_mrc(path)
    plugin = importlib.import_module(f"rsciio.{PLUGINS[suffix]}")
    options = _OPTIONS.get(suffix, {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = plugin.file_reader(path, lazy=True, **options)
        except FileNotFoundError:
            raise
        except Exception as error:
            if "without lazy=True" in str(error):
                # RGB images of DigitalMicrograph are read whole or not at all
                return _Vendor(_signals(plugin.file_reader(path, lazy=False, **options)))
            # vendor readers raise anything on a broken file; here it gets one sentence
            raise InputError(
                f"a {suffix[1:]} file wanted, found one that RosettaSciIO cannot read "
                f"({_said(error)}); check that it was copied whole"
            ) from error
    if suffix == ".emi" and not found:
        raise InputError("its .ser file wanted beside it, found none; copy both")
    return _Vendor(_signals(found))


def _signals(found: Sequence[Mapping[str, Any]]) -> tuple[_Signal, ...]:
    return tuple(_signal(k, s) for k, s in enumerate(found))


def _check_mrc(path: str) -> None:
    """Raise where an MRC header makes no sense, before its reader trusts it."""
    with Path(path).open("rb") as file:
        head = file.read(_MRC_HEADER)
    sizes = struct.unpack("<4l", head[:16]) if len(head) == _MRC_HEADER else (0, 0, 0, 0)
    if min(sizes[:3]) <= 0 or sizes[3] not in _MRC_MODES:
        raise InputError(
            f"an MRC file wanted, found {sizes[0]} x {sizes[1]} x {sizes[2]} px of mode "
            f"{sizes[3]} in its header; check that it was copied whole"
        )


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _signal(k: int, found: Mapping[str, Any]) -> _Signal:
    metadata = mapped(
        found.get("metadata") or {}, found.get("original_metadata") or {}, found.get("mapping")
    )
    name = str(metadata.get("General", {}).get("title") or "").strip() or f"signal {k}"
    return _Signal(
        name, found["data"], tuple(found["axes"]), metadata, found.get("original_metadata") or {}
    )


def _choose(file: _Vendor, signal: str | None, notes: list[str]) -> _Signal:
    images = [s for s in file.signals if s.is_image]
    if not images:
        found = ", ".join(f"'{s.name}' {tuple(s.array.shape)}" for s in file.signals) or "nothing"
        deep = any(s.array.ndim >= 4 for s in file.signals)
        raise InputError(
            f"an image or a stack (n, y, x) wanted, found {found}; "
            + ("make virtual images of the diffraction data first" if deep else "save an image")
        )
    return images[choose([s.name for s in images], signal, notes)]


def _scale(signal: _Signal) -> tuple[Calibration, str]:
    y, x = signal.axes[-2:]
    return calibration(y.get("scale"), y.get("units"), x.get("scale"), x.get("units"))


def _check_size(path: str, signal: _Signal) -> None:
    """Raise where an uncompressed file is smaller than the pixels its header announces."""
    file = Path(path)
    if file.suffix.lower() not in _UNCOMPRESSED:
        return
    announced = int(np.prod(signal.array.shape, dtype=object)) * signal.array.dtype.itemsize
    size = file.stat().st_size
    if announced > size:
        raise InputError(
            f"is truncated: its header announces {announced} bytes of pixels, the file has "
            f"{size}; copy it again"
        )


def _compute(array: Any) -> np.ndarray:
    """Return a lazy array's pixels, in this thread: workers have their own scheduler."""
    if hasattr(array, "compute"):
        array = array.compute(scheduler="synchronous")
    return np.array(array)


logging.getLogger("rsciio").setLevel(logging.ERROR)
