"""``open_frames``: any source of micrographs as one lazy, calibrated run of frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from stempede.errors import InputError, StempedeError
from stempede.frames import Box, Calibration, FrameRecord, Frames
from stempede.io.formats import FORMATS, format_of
from stempede.io.image import Image, Opened
from stempede.io.instrument import plain
from stempede.io.listing import Place, Source, expand, is_url, is_zarr
from stempede.io.metadata import (
    apply_pattern,
    apply_rows,
    checked,
    read_calibration,
    read_metadata,
)
from stempede.io.remote import local_path
from stempede.io.sessions import frame_facts, is_session, load_frame, read_records
from stempede.io.vendor import drop_emi_twins
from stempede.io.zarr import describe_zarr, load_zarr, zarr_facts


@dataclass(frozen=True)
class SourceReader:
    """Loads the pixels of a record from the file it came from.

    Parameters
    ----------
    signal : str, optional
        Which signal of multi-signal files is read; the first image signal by default.
    sessions : tuple of str
        Sessions (``session.zarr``) that hold frames ingested from their sources.
    """

    signal: str | None = None
    sessions: tuple[str, ...] = ()

    def __call__(self, record: FrameRecord) -> np.ndarray:
        """Return the (y, x) pixels of a frame in their native dtype.

        Raises
        ------
        InputError
            The file is broken, gone, or does not fit in memory.
        """
        for session in self.sessions:
            found = load_frame(session, record)
            if found is not None:
                return found
        if is_zarr(record.source):
            return load_zarr(record.source, record.page, self.signal)
        path = local_path(record.source)
        return format_of(path).load(path, record.page, self.signal)

    def facts(self, record: FrameRecord) -> dict[str, Any]:
        """Return the metadata of the file a frame came from, as JSON can hold it."""
        for session in self.sessions:
            kept = frame_facts(session, record)
            if kept is not None:
                return kept
        if is_zarr(record.source):
            found = zarr_facts(record.source, self.signal)
        else:
            path = local_path(record.source)
            found = format_of(path).facts(path, self.signal)
        result: dict[str, Any] = plain(found)
        return result


def open_frames(
    source: Source,
    *,
    pixel_size_nm: float | Sequence[float] | None = None,
    scale_bar_nm: float | None = None,
    metadata: str | Path | None = None,
    pattern: str | None = None,
    signal: str | None = None,
    sample: str | None = None,
    calibration: str | Path | None = None,
    frames: slice | None = None,
    exclude: Sequence[Box] | None = None,
) -> Frames:
    """Open micrographs lazily: headers are read now, pixels when a frame is loaded.

    Parameters
    ----------
    source : str, path or sequence of them
        Folder (recursive), glob, file, zarr array or session, local or by fsspec URL.
    pixel_size_nm : float or (y, x), optional
        Sets or overrides the files' pixel size.
    scale_bar_nm : float, optional
        Length of the burned-in scale bar, to be measured in the images.
    metadata : path, optional
        Table of globs and fields (``read_metadata``).
    pattern : str, optional
        Folder names to labels, such as ``{sample}/{condition}``.
    signal : str, optional
        Name of the image signal to read from multi-signal files.
    sample : str, optional
        Label ``sample`` of every frame; a metadata table may say otherwise per file.
    calibration : path, optional
        Calibration written by ``stempede calibrate``.
    frames : slice, optional
        Which frames to keep; they keep their numbers.
    exclude : sequence of (y0, x0, y1, x1), optional
        Rectangles of every frame that are not searched; ends exclusive, negative ones
        count from the far side.

    Returns
    -------
    Frames
        Files that cannot be opened are records with a ``problem``.

    Raises
    ------
    InputError
        Nothing is there to read, or an option cannot be used.
    """
    notes: list[str] = []
    opened = open_places(
        _places(source, notes),
        _origin(source),
        notes,
        pixel_size_nm=pixel_size_nm,
        scale_bar_nm=scale_bar_nm,
        metadata=metadata,
        pattern=pattern,
        signal=signal,
        sample=sample,
        calibration=calibration,
        exclude=exclude,
    )
    return opened if frames is None else _kept(opened, frames)


def open_places(
    places: Sequence[Place],
    origin: str,
    notes: list[str],
    *,
    pixel_size_nm: float | Sequence[float] | None = None,
    scale_bar_nm: float | None = None,
    metadata: str | Path | None = None,
    pattern: str | None = None,
    signal: str | None = None,
    sample: str | None = None,
    calibration: str | Path | None = None,
    exclude: Sequence[Box] | None = None,
) -> Frames:
    """Open the images at places that are known, numbered from 0 in that order.

    Options are those of ``open_frames``; ``notes`` receives what is worth saying.
    """
    found = _records(places, signal, notes)
    records, relatives = found.records, found.relatives
    records = _calibrated(records, pixel_size_nm, scale_bar_nm, calibration)
    if sample:
        records = [replace(r, labels={**r.labels, "sample": sample}) for r in records]
    if pattern:
        records = apply_pattern(records, relatives, pattern, notes)
    if metadata is not None:
        records = apply_rows(records, relatives, read_metadata(metadata), notes)
    if exclude:
        records = [replace(r, exclude=r.exclude + _boxes(exclude, r.shape)) for r in records]
    names = dict.fromkeys([*found.label_names, *(name for r in records for name in r.labels)])
    reader = SourceReader(signal, tuple(found.sessions))
    return Frames(tuple(records), reader, origin, tuple(dict.fromkeys(notes)), tuple(names))


def _places(source: Source, notes: list[str]) -> list[Place]:
    places = expand(source, FORMATS, notes)
    if len(places) == 1:
        return places
    kept, n_twins = drop_emi_twins([p.path for p in places])
    if n_twins:
        notes.append(f"{n_twins} .emi files hold the images of their .ser files: read once")
    wanted = set(kept)
    return [p for p in places if p.path in wanted]


@dataclass
class _Found:
    """Records of all places in order, with each one's path below the source."""

    records: list[FrameRecord] = field(default_factory=list)
    relatives: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    label_names: list[str] = field(default_factory=list)

    def add(self, record: FrameRecord, relative: str) -> None:
        """Append a record."""
        self.records.append(record)
        self.relatives.append(relative)


def _records(places: Sequence[Place], signal: str | None, notes: list[str]) -> _Found:
    """Return one record per image; what several files say alike is said once."""
    found = _Found()
    said: Counter[str] = Counter()
    for place in places:
        if place.is_zarr and is_session(place.path):
            _add_session(found, place, notes, alone=len(places) == 1)
            continue
        try:
            opened = _describe(place, signal)
        except StempedeError as error:
            opened = Opened((Image((0, 0), "", problem=str(error)),))
        said.update(opened.notes)
        for page, image in enumerate(opened.images):
            found.add(_record(len(found.records), place, page, image), place.relative)
    notes += [f"{text} ({n} file{'s' if n > 1 else ''})" for text, n in said.items()]
    return found


def _add_session(found: _Found, place: Place, notes: list[str], *, alone: bool) -> None:
    """Take the records of a session; alone, they keep their frame numbers."""
    records, attributes = read_records(place.path)
    found.sessions.append(place.path)
    found.label_names += attributes.get("label_names", [])
    notes += attributes.get("notes", [])
    for record in records:
        frame = record.frame if alone else len(found.records)
        name = PurePosixPath(record.source).name
        found.add(replace(record, frame=frame), name)


def _describe(place: Place, signal: str | None) -> Opened:
    """Return a file's images; whatever a reader raises becomes one sentence."""
    try:
        if place.is_zarr:
            return describe_zarr(place.path, signal)
        path = local_path(place.path)
        return format_of(path).describe(path, signal)
    except StempedeError:
        raise
    except PermissionError as error:
        raise InputError("cannot be read: permission denied; change its permissions") from error
    except FileNotFoundError as error:
        raise InputError("a file wanted, found a broken link or nothing; check it") from error
    except Exception as error:
        # readers of untrusted files raise anything; the file becomes a row
        text = " ".join(str(error).split())[:200]
        raise InputError(
            f"cannot be opened ({type(error).__name__}: {text}); check that it is whole"
        ) from error


def _record(frame: int, place: Place, page: int, image: Image) -> FrameRecord:
    return FrameRecord(
        frame=frame,
        source=place.path,
        page=page,
        shape=image.shape,
        dtype=image.dtype,
        calibration=image.calibration,
        instrument=image.instrument,
        exclude=image.exclude,
        problem=image.problem,
    )


def _calibrated(
    records: list[FrameRecord],
    pixel_size_nm: float | Sequence[float] | None,
    scale_bar_nm: float | None,
    calibration: str | Path | None,
) -> list[FrameRecord]:
    """Return records with the calibration the user gave for all of them."""
    scale = None if calibration is None else read_calibration(calibration)
    if pixel_size_nm is not None:
        y, x = np.broadcast_to(np.asarray(pixel_size_nm, dtype=np.float64), (2,)).tolist()
        scale = checked(Calibration(y, x, "set"))
    if scale is not None:
        records = [replace(r, calibration=scale) for r in records]
    if scale_bar_nm is not None:
        if not 0 < scale_bar_nm < np.inf:
            raise InputError(f"a scale bar length in nm above 0 wanted, found {scale_bar_nm}")
        records = [replace(r, scale_bar_nm=float(scale_bar_nm)) for r in records]
    return records


def _boxes(boxes: Sequence[Box], shape: tuple[int, int]) -> tuple[Box, ...]:
    """Return rectangles within a frame; negative ends count from the far side."""
    height, width = shape
    found = []
    for y0, x0, y1, x1 in boxes:
        ys = [min(max(y + height if y < 0 else y, 0), height) for y in (y0, y1)]
        xs = [min(max(x + width if x < 0 else x, 0), width) for x in (x0, x1)]
        if ys[0] < ys[1] and xs[0] < xs[1]:
            found.append((ys[0], xs[0], ys[1], xs[1]))
    return tuple(found)


def _kept(opened: Frames, frames: slice) -> Frames:
    kept = opened[frames]
    if not kept.records:
        raise InputError(
            f"frames {frames.start}:{frames.stop} wanted, found {len(opened)} frames in "
            f"'{opened.origin}'; choose within them"
        )
    return kept


def _origin(source: Source) -> str:
    if isinstance(source, str | Path):
        text = str(source)
        return text if is_url(text) else Path(text).absolute().as_posix()
    items = [str(s) for s in source]  # type: ignore[union-attr]
    return items[0] if len(items) == 1 else f"{items[0]} and {len(items) - 1} more"
