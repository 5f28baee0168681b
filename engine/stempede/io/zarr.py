"""Plain zarr arrays (v2 and v3) and OME-Zarr images (0.4 and 0.5), local or by URL."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from stempede.errors import InputError
from stempede.frames import Calibration
from stempede.io.chunk_size import check_chunks
from stempede.io.handles import opened
from stempede.io.image import NO_CALIBRATION, Image, Opened, check_memory, plane, plane_dtype
from stempede.io.listing import is_url, remote_filesystem
from stempede.io.tiff import choose
from stempede.io.units import calibration

_DEEPEST = 3
_MARKS = ("zarr.json", ".zarray", ".zgroup")


@dataclass(frozen=True)
class _Stack:
    """An array of frames in a zarr store, with what its group's metadata says of it."""

    name: str
    array: Any
    axes: str
    scale: Calibration
    channels: tuple[str, ...]
    note: str = ""


def open_store(path: str) -> Any:
    """Return the zarr array or group at a local path or URL, for reading.

    Raises
    ------
    InputError
        No zarr array or group is there.
    """
    store: Any = path
    if is_url(path):
        remote_filesystem(path)
        store = zarr.storage.FsspecStore.from_url(path, read_only=True)
    try:
        return zarr.open(store, mode="r")
    except (FileNotFoundError, zarr.errors.NodeNotFoundError) as error:
        raise InputError(
            "a zarr array or group wanted, found neither there; check the path"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"a zarr array or group wanted, found metadata that cannot be read "
            f"({type(error).__name__}: {error}); check that it was copied whole"
        ) from error


def witness(path: str) -> str | None:
    """Return the metadata file whose change means that a local store was rewritten."""
    if is_url(path):
        return None
    return next((f"{path}/{m}" for m in _MARKS if (Path(path) / m).is_file()), None)


def describe_zarr(path: str, signal: str | None) -> Opened:
    """Return the frames of a zarr array, or of the finest level of an OME-Zarr image.

    Raises
    ------
    InputError
        Nothing there that is an image or a stack of them.
    """
    with opened("zarr", path, open_store, witness=witness(path)) as node:
        notes: list[str] = []
        stack = _chosen(node, signal, notes)
        lines = _lines(stack, signal, notes)
        if stack.note:
            notes.append(stack.note)
        height, width = (int(n) for n in stack.array.shape[-2:])
        image = Image((height, width), plane_dtype(stack.array.dtype), stack.scale)
    return Opened((image,) * len(lines), tuple(notes))


def load_zarr(path: str, page: int, signal: str | None) -> np.ndarray:
    """Return the (y, x) pixels of one frame of a zarr store."""
    with opened("zarr", path, open_store, witness=witness(path)) as node:
        stack = _chosen(node, signal, [])
        index = _lines(stack, signal, [])[page]
    return read_plane(stack.array, index)


def read_plane(array: Any, index: tuple[int, ...]) -> np.ndarray:
    """Return one plane of a zarr array, after looking at what decoding it would take."""
    itemsize = array.dtype.itemsize
    check_memory(array.shape[-2:], itemsize)
    check_chunks(array, index)
    return plane(np.asarray(array[index]))


def zarr_facts(path: str, signal: str | None) -> Mapping[str, Any]:
    """Return the attributes of the store's root and of the chosen array."""
    with opened("zarr", path, open_store, witness=witness(path)) as node:
        stack = _chosen(node, signal, [])
        return {"attributes": dict(node.attrs), "array": dict(stack.array.attrs)}


def _chosen(node: Any, signal: str | None, notes: list[str]) -> _Stack:
    stacks = list(_stacks(node, "", _DEEPEST))
    usable = [s for s in stacks if s.axes or s.array.ndim in (2, 3)]
    if not usable:
        found = ", ".join(f"'{s.name}' {tuple(s.array.shape)}" for s in stacks) or "no array"
        raise InputError(
            f"an array (y, x) or (n, y, x) wanted, found {found}; "
            f"make virtual images of diffraction data first"
        )
    if len(usable) == 1:
        return usable[0]
    return usable[choose([s.name for s in usable], signal, notes)]


def _stacks(node: Any, name: str, depth: int) -> Iterator[_Stack]:
    """Yield the arrays of a node; of an OME-Zarr image only the finest level."""
    if isinstance(node, zarr.Array):
        yield _Stack(name or "array", node, "", NO_CALIBRATION, ())
        return
    attributes = dict(node.attrs)
    ome = attributes.get("ome", attributes)
    scales = ome.get("multiscales") if isinstance(ome, Mapping) else None
    if scales:
        yield _ome_stack(node, name, scales[0], ome)
        return
    if depth:
        for child, below in sorted(node.members()):
            yield from _stacks(below, f"{name}/{child}".lstrip("/"), depth - 1)


def _ome_stack(
    node: Any, name: str, multiscale: Mapping[str, Any], ome: Mapping[str, Any]
) -> _Stack:
    try:
        finest = multiscale["datasets"][0]
        array = node[finest["path"]]
        axes = [a if isinstance(a, Mapping) else {"name": a} for a in multiscale["axes"]]
        names = "".join(str(a["name"])[:1].lower() for a in axes)
    except (KeyError, IndexError, TypeError) as error:
        raise InputError(
            f"OME-Zarr metadata with datasets and axes wanted, found it without {error}; "
            f"write it again"
        ) from error
    if not names.endswith("yx") or len(names) != array.ndim:
        raise InputError(
            f"OME-Zarr axes that end in y, x wanted, found '{names}' for an array of "
            f"{array.ndim} dimensions; write it again"
        )
    factors = np.ones(len(names))
    for transforms in (finest, multiscale):
        for step in transforms.get("coordinateTransformations") or ():
            if step.get("type") == "scale" and len(step["scale"]) == len(names):
                factors = factors * np.array(step["scale"], dtype=np.float64)
    units = [a.get("unit") for a in axes]
    scale, note = calibration(factors[-2], units[-2], factors[-1], units[-1])
    channels = tuple(
        str(c.get("label") or f"channel {k}")
        for k, c in enumerate((ome.get("omero") or {}).get("channels") or ())
    )
    return _Stack(
        str(multiscale.get("name") or name or "image"), array, names, scale, channels, note
    )


def _lines(stack: _Stack, signal: str | None, notes: list[str]) -> list[tuple[int, ...]]:
    """Return the leading index of each frame; of several channels the chosen one."""
    shape = [int(n) for n in stack.array.shape[:-2]]
    axes = stack.axes[:-2] or "n" * len(shape)
    deep = [n for a, n in zip(axes, shape) if a != "c" and n > 1]
    if len(deep) > 1:
        raise InputError(
            f"images or a stack (n, y, x) wanted, found data {tuple(stack.array.shape)} with "
            f"axes {stack.axes}; make virtual images of it or save one stack"
        )
    fixed = 0
    if "c" in axes and shape[axes.index("c")] > 1:
        n = shape[axes.index("c")]
        names = list(stack.channels) if len(stack.channels) == n else []
        fixed = choose(names or [f"channel {k}" for k in range(n)], signal, notes)
    n_frames = math.prod(n for a, n in zip(axes, shape) if a != "c")
    sizes = list(zip(axes, shape))
    return [
        tuple(fixed if a == "c" else (frame if n > 1 else 0) for a, n in sizes)
        for frame in range(n_frames)
    ]
