"""Files that appear in a folder while it is watched: which are new, and how they are opened.

The rules are those of ``listing``; only names that are not known yet are looked at, so that a
folder of ten thousand measured files costs a directory read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from stempede.frames import Frames
from stempede.io.formats import FORMATS
from stempede.io.listing import Place, is_zarr_folder
from stempede.io.metadata import read_metadata
from stempede.io.sources import open_places

TEMPORARY = re.compile(r"^[.~]|\.(tmp|temp|part|partial|crdownload|filepart|swp)(\.|$)|~$", re.I)
"""Names that programs give to files they are still writing."""

_RUN_MARK = "run.json"


def new_places(
    root: str, known: Container[str], problem: Callable[[str, OSError], None] | None = None
) -> list[Place]:
    """Return the images below a folder whose paths are not known, by name within each folder.

    Parameters
    ----------
    root : str
        Absolute path of the folder.
    known : container of str
        Absolute paths that are passed over.
    problem : callable, optional
        Called with a folder that cannot be read and why.
    """
    found: list[Place] = []
    pending, seen = [root], set[tuple[int, int]]()
    while pending:
        folder = pending.pop()
        try:
            status = os.stat(folder)  # noqa: PTH116 - a path object per file costs more than the look
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = [e for e in listing if e.path not in known]
        except OSError as error:
            if problem is not None:
                problem(folder, error)
            continue
        for entry in entries:
            if TEMPORARY.search(entry.name):
                continue
            extension = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122
            if extension in FORMATS and extension != ".zspy" and not entry.is_dir():
                found.append(Place(entry.path, os.path.relpath(entry.path, root)))
            elif entry.is_dir() and extension != ".zspy":
                path = Path(entry.path)
                if not is_zarr_folder(path) and not (path / _RUN_MARK).is_file():
                    pending.append(entry.path)
    return found


def open_arrived(
    root: str, paths: Sequence[str], options: Mapping[str, Any], notes: list[str]
) -> Frames:
    """Open files of a watched folder as ``open_frames`` would within the whole of it.

    Parameters
    ----------
    root : str
        The folder, to which labels and globs are relative.
    paths : sequence of str
        Absolute paths below it.
    options : mapping
        As ``open_frames`` takes them, without ``frames``.
    notes : list of str
        Receives what is worth saying.
    """
    places = [Place(p, Path(os.path.relpath(p, root)).as_posix()) for p in paths]
    return open_places(places, root, notes, **options)


def announced_labels(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the labels that options can give to frames, before any frame is there."""
    names = ["sample"] if options.get("sample") else []
    names += re.findall(r"\{(\w+)\}", options.get("pattern") or "")
    if options.get("metadata") is not None:
        names += [name for row in read_metadata(options["metadata"]) for name in row.labels]
    return tuple(dict.fromkeys(names))
