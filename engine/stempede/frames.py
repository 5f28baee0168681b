"""Frames: a lazy, calibrated run of images, and the batches that are read from it.

Coordinates are (y, x), y down, x right, pixel centres at integers, origin at the
first pixel; said once here and in every table schema. Frames of different shapes
and pixel sizes may share a session: ``Frames.runs`` cuts it into runs of one shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from stempede.backend import Backend
from stempede.errors import InputError, StempedeError
from stempede.tables import FRAMES, Field, Schema, Table

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Calibration:
    """Pixel size of a frame, where it came from, and how far to trust it.

    Parameters
    ----------
    pixel_size_y_nm, pixel_size_x_nm : float or None
        nm per pixel; None where nothing calibrates the frame. Nothing guesses it.
    source : str
        ``file | set | scale bar | reference``, empty without calibration.
    rel_u : float or None
        Relative standard uncertainty of the pixel size (METHODS: ``u_cal_``), None if unknown.
    """

    pixel_size_y_nm: float | None = None
    pixel_size_x_nm: float | None = None
    source: str = ""
    rel_u: float | None = None

    @property
    def pixel_size_nm(self) -> float | None:
        """Geometric mean of both axes, so that px^2 times its square is the area."""
        if self.pixel_size_y_nm is None or self.pixel_size_x_nm is None:
            return None
        return float(np.sqrt(self.pixel_size_y_nm * self.pixel_size_x_nm))


@dataclass(frozen=True)
class FrameRecord:
    """What is known of a frame before its pixels are read.

    Parameters
    ----------
    frame : int
        Order of first sight.
    source : str
        Absolute POSIX path or URL of the file the frame came from.
    page : int
        0-based image within the source.
    shape : (int, int)
        Height and width in pixels, (0, 0) where the file could not be opened.
    dtype : str
        Native dtype.
    calibration : Calibration
    labels : mapping
        ``sample``, ``area``, ``series`` and whatever else a metadata file gives.
    instrument : mapping
        ``instrument kV magnification detector dwell_us acquired_at dose_e_per_A2`` where known.
    exclude : tuple of (y0, x0, y1, x1)
        Rectangles, ends exclusive, that are not to be searched (a known caption band).
    scale_bar_nm : float or None
        Length the user gave for a burned-in scale bar, to be measured in the image.
    problem : str
        Why the frame cannot be read; empty where it can.
    """

    frame: int
    source: str
    page: int
    shape: tuple[int, int]
    dtype: str
    calibration: Calibration = Calibration()
    labels: Mapping[str, str] = field(default_factory=dict)
    instrument: Mapping[str, Any] = field(default_factory=dict)
    exclude: tuple[Box, ...] = ()
    scale_bar_nm: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class Problem:
    """A frame or item that failed: a row of the ``problems`` table."""

    frame: int
    stage: str
    reason: str


class Reader(Protocol):
    """Loads the pixels of a record; picklable, so that a worker can hold it."""

    def __call__(self, record: FrameRecord) -> np.ndarray:
        """Return the (y, x) pixels of a frame, or raise an ``InputError`` that says why not."""
        ...


@dataclass(frozen=True)
class Batch:
    """A resident run of frames of one shape, with what stages made of them.

    Parameters
    ----------
    images : (b, y, x) float32 array
        Counts, on the backend's device.
    records : tuple of FrameRecord
        One per image.
    backend : Backend
    maps : mapping of str to (b, y, x) array
        Image-shaped results. ``valid`` is always there: pixels that may hold particles.
    tables : mapping of str to Table
        ``frames`` is always there, one row per image; stages fill its fields.
    prepared : mapping of str to mapping
        Session-wide numbers by the name of the Prepare that found them.
    problems : tuple of Problem
    """

    images: Any
    records: tuple[FrameRecord, ...]
    backend: Backend
    maps: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    prepared: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.records)

    @property
    def frames(self) -> np.ndarray:
        """(b,) int64 frame numbers, on the host."""
        return np.array([r.frame for r in self.records], dtype=np.int64)

    @property
    def pixel_size_nm(self) -> np.ndarray:
        """(b, 2) float64 pixel size along y and x in nm; NaN without calibration."""
        sizes = [
            (r.calibration.pixel_size_y_nm, r.calibration.pixel_size_x_nm) for r in self.records
        ]
        return np.array(sizes, dtype=np.float64).reshape(-1, 2)

    def with_(
        self,
        *,
        images: Any = None,
        records: tuple[FrameRecord, ...] | None = None,
        maps: Mapping[str, Any] | None = None,
        tables: Mapping[str, Table] | None = None,
        problems: Sequence[Problem] = (),
    ) -> Batch:
        """Return a batch with these parts added or replaced; this one stays as it is."""
        return replace(
            self,
            images=self.images if images is None else images,
            records=self.records if records is None else records,
            maps={**self.maps, **(maps or {})},
            tables={**self.tables, **(tables or {})},
            problems=self.problems + tuple(problems),
        )


@dataclass(frozen=True)
class Frames:
    """A lazy calibrated run of frames.

    Parameters
    ----------
    records : tuple of FrameRecord
        In frame order.
    reader : Reader
        Loads the pixels of one record.
    origin : str
        What the user named, for messages and provenance.
    notes : tuple of str
        Things worth saying once (``12 RGB images were read as luminance``).
    label_names : tuple of str
        Every label that any record of the session carries, the same for each part of it.
    """

    records: tuple[FrameRecord, ...]
    reader: Reader
    origin: str = ""
    notes: tuple[str, ...] = ()
    label_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, which: slice) -> Frames:
        return replace(self, records=self.records[which])

    @property
    def readable(self) -> tuple[FrameRecord, ...]:
        """Records without a problem."""
        return tuple(r for r in self.records if not r.problem)

    def select(self, frames: Sequence[int]) -> Frames:
        """Return the frames of these numbers, in the order given."""
        by_number = {r.frame: r for r in self.records}
        return replace(self, records=tuple(by_number[k] for k in frames))

    def runs(self, max_frames: int, max_pixels: int | None = None) -> list[list[int]]:
        """Cut the readable frames into runs of one shape.

        Parameters
        ----------
        max_frames : int
            Longest run.
        max_pixels : int, optional
            Most pixels in a run; a run holds at least one frame.

        Returns
        -------
        list of list of int
            Frame numbers; frames of one shape stay in order, runs are ordered by first frame.
        """
        by_shape: dict[tuple[int, int], list[int]] = {}
        for record in self.readable:
            by_shape.setdefault(record.shape, []).append(record.frame)
        runs: list[list[int]] = []
        for (height, width), numbers in by_shape.items():
            size = max_frames
            if max_pixels is not None:
                size = max(1, min(size, max_pixels // max(1, height * width)))
            runs += [numbers[k : k + size] for k in range(0, len(numbers), size)]
        return sorted(runs)

    def load(self, record: FrameRecord) -> np.ndarray:
        """Return the (y, x) float32 pixels of one frame, in counts, checked.

        Raises
        ------
        InputError
            The file cannot be read, or holds nothing to measure.
        """
        if record.problem:
            raise InputError(record.problem)
        try:
            pixels = self.reader(record)
        except StempedeError:
            raise
        except Exception as error:
            # vendor readers raise anything on a broken file; the frame becomes a row
            raise InputError(f"cannot be read ({type(error).__name__}: {error})") from error
        if pixels.shape != record.shape:
            raise InputError(f"is {pixels.shape} px, but its file announced {record.shape}")
        if min(pixels.shape) < 8:
            raise InputError(f"is {pixels.shape[0]} x {pixels.shape[1]} px; at least 8 x 8 needed")
        pixels = np.ascontiguousarray(pixels, dtype=np.float32)
        finite = np.isfinite(pixels)
        if not finite.any():
            raise InputError("holds no finite pixel")
        low, high = pixels[finite].min(), pixels[finite].max()
        if low == high:
            raise InputError(f"has one value only ({low:g}): nothing to measure")
        return pixels

    def read(self, frames: Sequence[int], backend: Backend) -> Batch:
        """Read frames of one shape into a resident batch: one upload.

        A frame that cannot be read is left out and named in ``batch.problems``.
        """
        records, images, problems = [], [], []
        for record in self.select(frames).records:
            try:
                images.append(self.load(record))
                records.append(record)
            except StempedeError as error:
                problems.append(Problem(record.frame, "read", str(error)))
        shape = records[0].shape if records else (0, 0)
        stack = np.stack(images) if images else np.zeros((0, *shape), np.float32)
        valid = np.isfinite(stack)
        stack = np.where(valid, stack, np.float32(0)) if not valid.all() else stack
        for k, record in enumerate(records):
            for y0, x0, y1, x1 in record.exclude:
                valid[k, y0:y1, x0:x1] = False
        return Batch(
            images=backend.upload(stack, "read"),
            records=tuple(records),
            backend=backend,
            maps={"valid": backend.upload(valid, "read")},
            tables={"frames": frames_table(records, self.label_names)},
            problems=tuple(problems),
        )


def frames_schema(label_names: Sequence[str] = ()) -> Schema:
    """Return the ``frames`` schema with a string field for each label of a session."""
    extra = [Field(name, "string", "", "label given by the user") for name in label_names]
    return FRAMES.extended(*extra)


def frames_table(records: Sequence[FrameRecord], label_names: Sequence[str] = ()) -> Table:
    """Return one row per record: provenance, calibration, labels and instrument facts."""
    rows = []
    for r in records:
        known = {k: v for k, v in r.instrument.items() if k in FRAMES.names}
        rows.append(
            {
                **known,
                **r.labels,
                "frame": r.frame,
                "source": r.source,
                "page": r.page,
                "height_px": r.shape[0],
                "width_px": r.shape[1],
                "pixel_size_nm": r.calibration.pixel_size_nm,
                "pixel_size_y_nm": r.calibration.pixel_size_y_nm,
                "pixel_size_x_nm": r.calibration.pixel_size_x_nm,
                "pixel_size_source": r.calibration.source,
                "pixel_size_rel_u": r.calibration.rel_u,
                "state": "problem" if r.problem else "measured",
            }
        )
    return Table.from_rows(frames_schema(label_names), rows)
