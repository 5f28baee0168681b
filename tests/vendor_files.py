"""Tiny files in the layouts of microscope vendors, written from the formats' descriptions.

Each writer is just enough of its format for a reader: an image (or stack), its calibration, and a
few instrument facts. They share no code with the readers they test.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

_DM_TYPES = {
    "uint16": (10, 4),
    "int16": (1, 2),
    "float32": (2, 6),
    "uint8": (6, 8),
    "int32": (7, 3),
}
_SER_TYPES = {"uint8": 1, "uint16": 2, "uint32": 3, "int16": 5, "int32": 6, "float32": 7}


def _dm_name(kind: int, name: str) -> bytes:
    return struct.pack(">BH", kind, len(name)) + name.encode("latin-1")


def _dm_tag(name: str, value: Any) -> bytes:
    if isinstance(value, dict):
        return _dm_name(20, name) + _dm_group(value)
    if isinstance(value, np.ndarray):
        info, content = (20, _DM_TYPES[value.dtype.name][1], value.size), value.tobytes()
    elif isinstance(value, str):
        content = value.encode("utf-16-le")
        info = (20, 4, len(content) // 2)
    elif isinstance(value, float):
        info, content = (7,), struct.pack("<d", value)
    else:
        info, content = (5,), struct.pack("<L", value)
    head = _dm_name(21, name) + b"%%%%" + struct.pack(f">{len(info) + 1}l", len(info), *info)
    return head + content


def _dm_group(tags: dict[str, Any]) -> bytes:
    # names of list entries are told apart by leading spaces here, and are empty in the file
    body = b"".join(_dm_tag(name.strip(), value) for name, value in tags.items())
    return struct.pack(">BBl", 1, 0, len(tags)) + body


def _dm_image(image: np.ndarray, name: str, scale: tuple[float, ...], unit: str) -> dict[str, Any]:
    axes = list(zip(image.shape[::-1], scale[::-1]))
    spaces = [" " * k for k in range(len(axes))]
    return {
        "ImageData": {
            "Calibrations": {
                "Brightness": {"Origin": 0.0, "Scale": 1.0, "Units": ""},
                "Dimension": {
                    s: {"Origin": 0.0, "Scale": float(size), "Units": unit}
                    for s, (_, size) in zip(spaces, axes)
                },
            },
            "Data": image.ravel(),
            "DataType": _DM_TYPES[image.dtype.name][0],
            "Dimensions": {s: n for s, (n, _) in zip(spaces, axes)},
            "PixelDepth": image.dtype.itemsize,
        },
        "ImageTags": {
            "Microscope Info": {
                "Voltage": 300000.0,
                "Indicated Magnification": 2e6,
                "Name": "Simulated",
            },
            "DigiScan": {"Sample Time": 12.5},
        },
        "Name": name,
    }


def write_dm3(
    path: Path, images: dict[str, np.ndarray], scale: tuple[float, ...], unit: str
) -> None:
    """Write a DigitalMicrograph 3 file of named images, all of one calibration."""
    listed = {" " * k: _dm_image(a, n, scale, unit) for k, (n, a) in enumerate(images.items())}
    body = _dm_group({"ImageList": listed}) + bytes(8)
    path.write_bytes(struct.pack(">lll", 3, len(body), 1) + body)


def write_ser(path: Path, stack: np.ndarray, scale_m: tuple[float, float], seconds: int) -> None:
    """Write a TIA series file of an (n, y, x) stack; TIA stores rows from the bottom up."""
    n, height, width = stack.shape
    dimension = struct.pack("<LddLL", n, 0.0, 1.0, 0, 6) + b"Number" + struct.pack("<L", 0)
    head_size = 30 + len(dimension)
    element_head = struct.Struct("<ddLddLHLL")
    element_size = element_head.size + stack[0].nbytes + 8
    first = head_size + 8 * n
    offsets = [first + k * element_size for k in range(n)]
    head = struct.pack("<HHHLLLLLL", 0x4949, 0x0197, 0x0210, 0x4122, 0x4152, n, n, head_size, 1)
    elements = b""
    for image in stack:
        elements += element_head.pack(
            0.0, scale_m[1], 0, 0.0, scale_m[0], 0, _SER_TYPES[stack.dtype.name], width, height
        )
        elements += image[::-1].tobytes() + struct.pack("<HHL", 0x4152, 0, seconds)
    tags = [o + element_size - 8 for o in offsets]
    path.write_bytes(head + dimension + struct.pack(f"<{2 * n}L", *offsets, *tags) + elements)


def write_mrc(path: Path, stack: np.ndarray, pixel_angstrom: float) -> None:
    """Write an MRC2014 file of an (n, y, x) stack; a pixel size of 0 or -1 is what some write."""
    n, height, width = stack.shape
    mode = {"int16": 1, "float32": 2, "uint16": 6}[stack.dtype.name]
    head = bytearray(1024)
    struct.pack_into("<4l", head, 0, width, height, n, mode)
    struct.pack_into("<3l", head, 28, width, height, n)
    cell = (width * pixel_angstrom, height * pixel_angstrom, n * pixel_angstrom)
    struct.pack_into("<3f", head, 40, *cell)
    struct.pack_into("<3l", head, 64, 1, 2, 3)
    head[208:212] = b"MAP "
    head[212:216] = bytes((0x44, 0x44, 0, 0))
    path.write_bytes(bytes(head) + stack.tobytes())


def write_zspy(path: Path, data: np.ndarray, title: str, units: str, scale: float) -> None:
    """Write a HyperSpy zarr file, which is a zarr v2 group."""
    import zarr

    root = zarr.open_group(path, mode="w", zarr_format=2)
    root.attrs.update({"file_format": "ZSpy", "file_format_version": "3.1"})
    group = root.create_group(f"Experiments/{title}")
    group.create_array("data", data=data)
    for k, axis in enumerate(signal(data, title, units, scale)["axes"]):
        group.create_group(f"axis-{k}").attrs.update(axis)
    group.create_group("metadata").create_group("General").attrs["title"] = title
    group.create_group("original_metadata")


def signal(data: np.ndarray, title: str, units: str | None, scale: float = 0.5) -> dict[str, Any]:
    """Return an image signal as RosettaSciIO's writers take it: the last two axes are y and x."""
    names = ["n", "y", "x"][-data.ndim :]
    axes = [
        {
            "name": name,
            "size": size,
            "scale": scale if name in "yx" else 1.0,
            "offset": 0.0,
            "units": units if name in "yx" else None,
            "navigate": name == "n",
            "index_in_array": k,
            "_type": "UniformDataAxis",
            "is_binned": False,
        }
        for k, (name, size) in enumerate(zip(names, data.shape))
    ]
    return {
        "data": data,
        "axes": axes,
        "metadata": {"General": {"title": title}, "Signal": {"signal_type": ""}},
        "original_metadata": {},
        "learning_results": {},
        "package_info": {"package": "", "package_version": ""},
        "attributes": {"_lazy": False, "ragged": False},
        "tmp_parameters": {},
        "models": {},
    }
