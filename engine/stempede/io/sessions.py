"""The layout of ``session.zarr``: stacks of equal frames, and one table row per frame.

``stacks/<k>/frames`` is a zarr v3 array (n, y, x) in its native dtype, one frame per chunk,
with OME-Zarr 0.5 metadata on its group; ``frames.parquet`` beside the stacks has provenance,
calibration, labels and the vendor's metadata of every frame, in frame order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from stempede.errors import InputError, ResultsError
from stempede.frames import Calibration, FrameRecord, frames_table
from stempede.io.handles import opened
from stempede.io.listing import is_url, remote_filesystem
from stempede.io.zarr import open_store, read_plane

TABLE = "frames.parquet"
FORMAT = 1
CODECS = ("blosc-lz4", "zstd", "none")
_KEPT = (
    "frame",
    "source",
    "page",
    "height_px",
    "width_px",
    "pixel_size_nm",
    "pixel_size_y_nm",
    "pixel_size_x_nm",
    "pixel_size_source",
    "pixel_size_rel_u",
    "sample",
    "series",
    "series_index",
    "area",
    "instrument",
    "kV",
    "magnification",
    "detector",
    "dwell_us",
    "acquired_at",
    "dose_e_per_A2",
)
"""Fields of the ``frames`` table that are known before anything is measured."""

_DETECTOR = ("gain_per_electron", "offset", "read_noise_electrons")

StackKey = tuple[tuple[int, int], str, float | None, float | None]


def stack_key(record: FrameRecord) -> StackKey:
    """Return what the frames of one stack share: shape, dtype and pixel size."""
    scale = record.calibration
    return record.shape, record.dtype, scale.pixel_size_y_nm, scale.pixel_size_x_nm


def create_stack(
    root: Any, number: int, key: StackKey, n: int, codec: str, frames_per_shard: int | None
) -> Any:
    """Create ``stacks/<number>/frames`` for n frames and return the array.

    Raises
    ------
    ResultsError
        Unknown codec.
    """
    (height, width), dtype, y_nm, x_nm = key
    group = root.require_group(f"stacks/{number}")
    group.attrs["ome"] = _multiscales(f"stack {number}", y_nm, x_nm)
    shards = None if frames_per_shard is None else (frames_per_shard, height, width)
    return group.create_array(
        "frames",
        shape=(n, height, width),
        dtype=np.dtype(dtype),
        chunks=(1, height, width),
        shards=shards,
        compressors=_compressors(codec, np.dtype(dtype).itemsize),
        dimension_names=("t", "y", "x"),
        fill_value=0,
    )


def _compressors(codec: str, itemsize: int) -> Any:
    if codec not in CODECS:
        raise ResultsError(f"codec is one of {', '.join(CODECS)}; found '{codec}'; correct --codec")
    if codec == "none":
        return None
    name, level = ("lz4", 5) if codec == "blosc-lz4" else ("zstd", 3)
    # the noise bits of counts compress apart: smaller and faster than by bytes
    return zarr.codecs.BloscCodec(cname=name, clevel=level, shuffle="bitshuffle", typesize=itemsize)


def _multiscales(name: str, y_nm: float | None, x_nm: float | None) -> dict[str, Any]:
    space: dict[str, Any] = {"type": "space"}
    if y_nm is not None:
        space["unit"] = "nanometer"
    scale = [1.0, 1.0 if y_nm is None else y_nm, 1.0 if x_nm is None else x_nm]
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": name,
                "axes": [
                    {"name": "t", "type": "time"},
                    {"name": "y", **space},
                    {"name": "x", **space},
                ],
                "datasets": [
                    {
                        "path": "frames",
                        "coordinateTransformations": [{"type": "scale", "scale": scale}],
                    }
                ],
            }
        ],
    }


def finish_root(root: Any, n_stacks: int, facts: Mapping[str, Any]) -> None:
    """Write the attributes that make the group a session, and a series of OME-Zarr images."""
    series = [f"stacks/{k}" for k in range(n_stacks)]
    root.create_group("OME", overwrite=True).attrs["ome"] = {"version": "0.5", "series": series}
    root.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    root.attrs["stempede"] = {"kind": "session", "format": FORMAT, **facts}


@dataclass(frozen=True)
class Row:
    """Where a frame lies in a session; stack and row are -1 where it has a problem."""

    record: FrameRecord
    stack: int
    row: int
    facts: str = ""


def write_table(path: Path, rows: Sequence[Row], label_names: Sequence[str]) -> None:
    """Write ``frames.parquet``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    records = [r.record for r in rows]
    kept = list(dict.fromkeys([*_KEPT, *label_names]))
    table = frames_table(records, label_names).to_arrow().select(kept)
    extra: dict[str, Any] = {
        "stack": pa.array([r.stack for r in rows], pa.int64()),
        "row": pa.array([r.row for r in rows], pa.int64()),
        "dtype": pa.array([r.dtype for r in records], pa.string()),
        "problem": pa.array([r.problem or None for r in records], pa.string()),
        "scale_bar_nm": pa.array([r.scale_bar_nm for r in records], pa.float64()),
        "exclude": pa.array([json.dumps(r.exclude) for r in records], pa.string()),
        "labels": pa.array([json.dumps(dict(r.labels)) for r in records], pa.string()),
        "instrument_facts": pa.array([json.dumps(dict(r.instrument)) for r in records]),
        "vendor_metadata": pa.array([r.facts or None for r in rows], pa.string()),
    }
    for name in _DETECTOR:
        extra[name] = pa.array([r.instrument.get(name) for r in records], pa.float64())
    for name, column in extra.items():
        table = table.append_column(name, column)
    pq.write_table(table, path)


@dataclass
class SessionFile:
    """An open session: its arrays, and where each frame lies."""

    root: Any
    places: dict[tuple[str, int], tuple[int, int]]
    arrays: dict[int, Any] = field(default_factory=dict)

    def array(self, stack: int) -> Any:
        """Return the array of a stack."""
        if stack not in self.arrays:
            self.arrays[stack] = self.root[f"stacks/{stack}/frames"]
        return self.arrays[stack]


def is_session(path: str) -> bool:
    """Whether a zarr folder or URL is one of our sessions."""
    try:
        if is_url(path):
            filesystem, inner = remote_filesystem(path)
            return bool(filesystem.exists(f"{inner.rstrip('/')}/{TABLE}"))
        return (Path(path) / TABLE).is_file()
    except OSError:
        return False


def read_records(path: str) -> tuple[list[FrameRecord], Mapping[str, Any]]:
    """Return the records of a session and its root attributes.

    Raises
    ------
    InputError
        The table or the root cannot be read, or is of a later format.
    """
    root = open_store(path)
    attributes = root.attrs.asdict().get("stempede", {})
    if attributes.get("format", 0) > FORMAT:
        raise InputError(
            f"a session of format {FORMAT} wanted, found format {attributes['format']}; "
            f"upgrade stempede"
        )
    rows = _read_table(path, None).to_pylist()
    return [_record(row) for row in rows], attributes


def _record(row: Mapping[str, Any]) -> FrameRecord:
    return FrameRecord(
        frame=row["frame"],
        source=row["source"],
        page=row["page"],
        shape=(row["height_px"], row["width_px"]),
        dtype=row["dtype"] or "",
        calibration=Calibration(
            row["pixel_size_y_nm"],
            row["pixel_size_x_nm"],
            row["pixel_size_source"] or "",
            row["pixel_size_rel_u"],
        ),
        labels=json.loads(row["labels"]),
        instrument=json.loads(row["instrument_facts"]),
        exclude=tuple(tuple(box) for box in json.loads(row["exclude"])),
        scale_bar_nm=row["scale_bar_nm"],
        problem=row["problem"] or "",
    )


def load_frame(path: str, record: FrameRecord) -> np.ndarray | None:
    """Return the pixels of a frame of a session; None where it is not in this session."""
    with opened("session", path, _open, witness=f"{path}/{TABLE}") as session:
        place = session.places.get((record.source, record.page))
        if place is None:
            return None
        array = session.array(place[0])
    return read_plane(array, (place[1],))


def frame_facts(path: str, record: FrameRecord) -> dict[str, Any] | None:
    """Return the vendor metadata a session keeps of a frame; None where it has no such frame."""
    with opened("facts", path, _open_facts, witness=f"{path}/{TABLE}") as texts:
        text = texts.get((record.source, record.page))
    if text is None:
        return None
    found: dict[str, Any] = json.loads(text) if text else {}
    return found


_PLACE = ["source", "page", "stack", "row"]
_FACTS = ["source", "page", "vendor_metadata"]


def _open(path: str) -> SessionFile:
    table = _read_table(path, _PLACE)
    source, page, stack, row = (table.column(name).to_pylist() for name in _PLACE)
    places = {(s, p): (k, r) for s, p, k, r in zip(source, page, stack, row) if k >= 0}
    return SessionFile(open_store(path), places)


def _open_facts(path: str) -> dict[tuple[str, int], str]:
    table = _read_table(path, _FACTS)
    source, page, text = (table.column(name).to_pylist() for name in _FACTS)
    return {(s, p): t or "" for s, p, t in zip(source, page, text)}


def _read_table(path: str, columns: list[str] | None) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if not is_url(path):
            return pq.read_table(Path(path) / TABLE, columns=columns)
        filesystem, inner = remote_filesystem(path)
        with filesystem.open(f"{inner.rstrip('/')}/{TABLE}", "rb") as file:
            return pq.read_table(file, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"a session wanted, found one whose {TABLE} cannot be read ({error}); ingest it again"
        ) from error
