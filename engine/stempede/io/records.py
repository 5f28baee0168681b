"""Frame records of a run as JSON, so that a run resumes with the very frames it began with."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

from stempede.errors import ResultsError
from stempede.frames import Calibration, FrameRecord, Frames
from stempede.io.atomic import write_bytes


def write_frames(path: Path, frames: Frames) -> None:
    """Write the records of a session, and which reader loads their pixels.

    Only readers of this package are written down; another one must be given again.
    """
    content = {
        "origin": frames.origin,
        "notes": frames.notes,
        "label_names": frames.label_names,
        "reader": _described(frames.reader),
        "records": [as_json(r) for r in frames.records],
    }
    write_bytes(path, json.dumps(content, default=_plain, ensure_ascii=False).encode())


def read_frames(path: Path, given: Frames | None = None) -> Frames:
    """Return the frames of a run.

    Parameters
    ----------
    path : Path
    given : Frames, optional
        Frames whose reader is used, where the run's own is not one of this package.

    Raises
    ------
    ResultsError
        The file is damaged, or the reader must be given.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        records = tuple(from_json(r) for r in content["records"])
        reader = given.reader if given is not None else _reader(content["reader"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(f"cannot read {path} ({error!r}); start a new run") from error
    return Frames(
        records,
        reader,
        content["origin"],
        tuple(content["notes"]),
        tuple(content["label_names"]),
    )


def _described(reader: Any) -> dict[str, Any] | None:
    cls = type(reader)
    if not cls.__module__.startswith("stempede.") or not dataclasses.is_dataclass(reader):
        return None
    return {
        "class": f"{cls.__module__}:{cls.__name__}",
        "parameters": {f.name: getattr(reader, f.name) for f in dataclasses.fields(reader)},
    }


def _reader(described: dict[str, Any] | None) -> Any:
    if described is None:
        raise ResultsError(
            "the frames of this run came from a reader of your own; resume it from Python: "
            "Session.resume(out, frames=...)"
        )
    module, name = described["class"].split(":")
    if not module.startswith("stempede."):
        raise ResultsError(f"'{described['class']}' is no reader of this package; start a new run")
    return getattr(importlib.import_module(module), name)(**described["parameters"])


def as_json(record: FrameRecord) -> dict[str, Any]:
    """Return a record as JSON can hold it."""
    found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(record), default=_plain))
    return found


def from_json(raw: dict[str, Any]) -> FrameRecord:
    """Return the record that ``as_json`` wrote."""
    height, width = raw["shape"]
    return FrameRecord(
        **{
            **raw,
            "shape": (height, width),
            "calibration": Calibration(**raw["calibration"]),
            "exclude": tuple((y0, x0, y1, x1) for y0, x0, y1, x1 in raw["exclude"]),
        }
    )


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
