"""Maps of a run that the user keeps: one zarr v3 array per map name and frame.

``RUN/maps.zarr/<name>/<frame:06d>`` holds one (y, x) array; frames differ in shape, so
they cannot share one. An array is written under a name that begins with ``.`` in the same
folder and renamed when whole: a reader never sees half a map, and several processes may
write different frames at once.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from stempede.errors import ResultsError

FOLDER = "maps.zarr"


class MapStore:
    """Image-shaped results of a run folder.

    Parameters
    ----------
    run : Path
        Run folder; ``maps.zarr`` is made in it on the first write.
    """

    def __init__(self, run: Path | str) -> None:
        self.root = Path(run) / FOLDER

    def names(self) -> list[str]:
        """Return the names of the maps kept."""
        if not self.root.is_dir():
            return []
        return sorted(p.name for p in self.root.iterdir() if p.is_dir() and p.name[0] != ".")

    def frames(self, name: str) -> list[int]:
        """Return the frame numbers that have this map, in order."""
        folder = self.root / name
        if not folder.is_dir():
            return []
        return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit())

    def path(self, name: str, frame: int) -> Path:
        """Return where the map of a frame lies."""
        return self.root / name / f"{frame:06d}"

    def write(
        self, name: str, frames: Sequence[int], maps: Any, pixel_sizes_nm: Any = None
    ) -> None:
        """Write one map per frame, replacing what is there.

        Parameters
        ----------
        name : str
            Map name, a plain word (``labels``).
        frames : sequence of int
            Frame numbers.
        maps : (b, y, x) array
            On the host, one per frame number; dtype is kept.
        pixel_sizes_nm : (b, 2) array, optional
            nm per pixel along y and x, NaN where unknown; kept as the axes' scale.

        Raises
        ------
        ResultsError
            Counts differ, or the name is not a plain word.
        """
        if not name.isidentifier():
            raise ResultsError(f"a map's name is a plain word like 'labels'; found '{name}'")
        if len(frames) != len(maps):
            raise ResultsError(f"map '{name}': {len(frames)} frames, but {len(maps)} maps")
        if len(frames) == 0:
            return
        _write_group(self.root)
        _write_group(self.root / name)
        for k, frame in enumerate(frames):
            scale = None if pixel_sizes_nm is None else pixel_sizes_nm[k]
            _write_array(self.path(name, int(frame)), np.asarray(maps[k]), int(frame), scale)

    def read(self, name: str, frame: int) -> np.ndarray:
        """Return the (y, x) map of one frame.

        Raises
        ------
        ResultsError
            The run kept no such map.
        """
        import zarr

        path = self.path(name, frame)
        if not path.is_dir():
            raise ResultsError(
                f"map '{name}' of frame {frame} is not in {self.root}; run again with --keep {name}"
            )
        return np.asarray(zarr.open_array(str(path), mode="r")[...])


def _write_group(folder: Path) -> None:
    """Make a zarr v3 group; safe when several processes do so at once."""
    target = folder / "zarr.json"
    if target.is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".zarr.json-{uuid4().hex}"
    text = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}, indent=1)
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(target)


def _write_array(path: Path, array: np.ndarray, frame: int, scale: Any) -> None:
    """Write one array beside its place, then rename it into it."""
    import zarr
    from zarr.codecs import ZstdCodec

    temporary = path.with_name(f".{path.name}-{uuid4().hex}")
    try:
        stored = zarr.create_array(
            store=str(temporary),
            shape=array.shape,
            chunks=array.shape,
            dtype=array.dtype,
            compressors=[ZstdCodec(level=1)],
            dimension_names=("y", "x"),
            attributes=_attributes(frame, scale),
        )
        stored[...] = array
        _swap_in(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _attributes(frame: int, scale: Any) -> dict[str, Any]:
    """Return axes after OME-Zarr, in nm where the frame is calibrated."""
    known = scale is not None and bool(np.all(np.isfinite(scale)))
    axis: dict[str, str] = {"type": "space", **({"unit": "nanometer"} if known else {})}
    return {
        "frame": frame,
        "axes": [{"name": "y", **axis}, {"name": "x", **axis}],
        "scale": [float(s) for s in scale] if known else [1.0, 1.0],
    }


def _swap_in(temporary: Path, path: Path) -> None:
    """Put a finished folder in its place; a folder that is there already is removed."""
    try:
        temporary.rename(path)
    except OSError:
        # a folder cannot be renamed onto one that is not empty
        if not path.is_dir():
            raise
        aside = path.with_name(f".{path.name}-{uuid4().hex}")
        os.rename(path, aside)  # noqa: PTH104
        temporary.rename(path)
        shutil.rmtree(aside, ignore_errors=True)
