"""Export: what a run found, as files that other programs read: label TIFFs and CSV tables.

Workbooks are written by ``export_xlsx``, ImageJ outlines by ``export_rois``.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import numpy as np

from stempede.errors import InputError, ResultsError
from stempede.io.atomic import write_error
from stempede.io.maps import MapStore
from stempede.io.results import Results
from stempede.tables import Table

LABELS = "labels"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Parameters
    ----------
    files : tuple of Path
        In frame order, or one per table.
    n_skipped : int
        Frames without a map: those that could not be measured.
    what : str
        Name of the files' content, for people.
    """

    files: tuple[Path, ...]
    n_skipped: int = 0
    what: str = "files"

    def __len__(self) -> int:
        return len(self.files)

    def __str__(self) -> str:
        where = f" in {self.files[0].parent}" if self.files else ""
        skipped = f"; {self.n_skipped} frames without a map were skipped" if self.n_skipped else ""
        return f"{len(self.files)} {self.what}{where}{skipped}"


def export_labels(
    run: Path | str, out: Path | str, *, all_regions: bool = False, tree: bool = False
) -> Exported:
    """Write one label TIFF per source image of a run.

    ``<stem>.tif`` is (y, x) uint32 of the image's height and width, 0 = background, else the
    ``label`` of the particles table; stem is the source's file name without its last
    extension, images of a multi-page source are ``<stem>_0000.tif``.

    Parameters
    ----------
    run : Path
        Run folder, measured with ``--keep labels``.
    out : Path
        Folder, made when absent; files of the same names are replaced.
    all_regions : bool
        Also the regions that were set aside, not accepted particles only.
    tree : bool
        Keep the folders of the sources, from their common parent on.

    Returns
    -------
    Exported

    Raises
    ------
    ResultsError
        The run kept no label maps, or two sources ask for one file name.
    """
    results = Results(run)
    frames, particles = results.read("frames"), results.read("particles")
    store = results.maps
    kept = set(store.frames(LABELS))
    if not kept:
        raise ResultsError(
            f"{results.path} kept no label maps; run again with --keep labels to export them"
        )
    names = label_names(frames, tree=tree)
    chosen = particles if all_regions else particles.take(np.asarray(particles["accepted"]))
    order = np.argsort(chosen["frame"], kind="stable")
    of_frame, labels = chosen["frame"][order], chosen["label"][order]
    files = []
    for row, name in zip(range(len(frames)), names, strict=True):
        frame = int(frames["frame"][row])
        if frame not in kept:
            continue
        mine = labels[slice(*np.searchsorted(of_frame, [frame, frame + 1]))]
        shape = (int(frames["height_px"][row]), int(frames["width_px"][row]))
        path = Path(out) / name
        _write_tiff(path, selected_labels(store, frame, mine, shape))
        files.append(path)
    return Exported(tuple(files), len(frames) - len(files), "label maps")


def selected_labels(
    store: MapStore, frame: int, labels: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Return the (y, x) uint32 map of a frame with these labels alone.

    Raises
    ------
    ResultsError
        The map is not of the image's shape.
    """
    found = store.read(LABELS, frame)
    if found.shape != shape:
        raise ResultsError(
            f"label map of frame {frame} is {found.shape} px, its image {shape}; run again"
        )
    values = np.zeros(max(int(found.max(initial=0)), int(labels.max(initial=0))) + 1, np.uint32)
    values[labels] = labels
    return values[found]


def label_names(frames: Table, *, tree: bool) -> list[str]:
    """Return the file name, relative and POSIX, of each frame's label map.

    Raises
    ------
    ResultsError
        Two images ask for one name.
    """
    sources = [PurePosixPath(_plain(s)) for s in np.asarray(frames["source"]).tolist()]
    pages = np.asarray(frames["page"]).tolist()
    stacks = {s for s, page in zip(sources, pages) if page > 0}
    root = posixpath.commonpath([s.parent for s in sources])
    names = []
    for source, page in zip(sources, pages):
        folder = source.parent.relative_to(root) if tree else PurePosixPath()
        suffix = f"_{page:04d}" if source in stacks else ""
        names.append((folder / f"{source.stem}{suffix}.tif").as_posix())
    _refuse_collisions(names, sources, tree=tree)
    return names


def _plain(source: str) -> str:
    """Return the path of a path or URL, without steps that could lead out of the folder."""
    path = source.split("://", 1)[-1]
    parts = [p for p in path.split("/") if p not in ("", ".", "..")]
    return "/" + "/".join(parts)


def _refuse_collisions(
    names: Sequence[str], sources: Sequence[PurePosixPath], *, tree: bool
) -> None:
    """Raise where two sources ask for one file."""
    first: dict[str, PurePosixPath] = {}
    for name, source in zip(names, sources):
        # file systems that fold case would overwrite, too
        other = first.setdefault(name.casefold(), source)
        if other != source:
            remedy = "rename one of them" if tree else "use --tree to keep their folders"
            raise ResultsError(
                f"'{other}' and '{source}' would both be written to {name}; {remedy}"
            )


def _write_tiff(path: Path, labels: np.ndarray) -> None:
    """Write a TIFF under a name that begins with a dot, then rename it."""
    import tifffile

    temporary = path.with_name(f".{path.name}-{uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(temporary, labels, compression="zlib", photometric="minisblack")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise write_error(path, error) from error


def export_tables(
    run: Path | str,
    out: Path | str,
    format: str = "csv",  # noqa: A002
    *,
    units: bool = False,
) -> Exported:
    """Write one file per table of a run.

    Parameters
    ----------
    run, out : Path
        Run folder; folder for the tables, made when absent.
    format : {"csv"}
        UTF-8, comma, one header row, missing values empty.
    units : bool
        A second row with the unit of each field. Readers that take it for data will stumble.

    Raises
    ------
    InputError
        Unknown format.
    ResultsError
        The run has no table.
    """
    if format != "csv":
        raise InputError(f"tables are exported as csv; found format '{format}'; correct it")
    results = Results(run)
    names = results.tables()
    if not names:
        raise ResultsError(f"{results.path} has no table yet; finish it with 'stempede resume'")
    files = []
    for name in names:
        path = Path(out) / f"{name}.csv"
        _write_csv(path, results.read(name), units=units)
        files.append(path)
    return Exported(tuple(files), 0, "tables")


def _write_csv(path: Path, table: Table, *, units: bool) -> None:
    import pyarrow as pa
    from pyarrow import csv

    head = [",".join(f'"{f.name}"' for f in table.schema.fields)]
    if units:
        head.append(",".join(f'"{f.unit}"' for f in table.schema.fields))
    temporary = path.with_name(f".{path.name}-{uuid4().hex}")
    options: Any = csv.WriteOptions(include_header=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(("\n".join(head) + "\n").encode())
            if len(table):
                csv.write_csv(table.to_arrow(), pa.PythonFile(file, mode="w"), options)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise write_error(path, error) from error
