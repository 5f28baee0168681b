"""Series: which frames are repeated scans of one area, and so are measured together.

A series is named by the label ``series`` (within one ``sample``) and ordered by
``series_index``, else by frame number. Where no label speaks, the pages of one shape of a
source that has several are a series. Frames of different shapes never are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from stempede.frames import FrameRecord


@dataclass(frozen=True)
class Series:
    """Repeated scans of one area, in the order they were recorded.

    Parameters
    ----------
    name : str
        The label, or the source where no label speaks.
    frames : tuple of int
        Frame numbers.
    shape : (int, int)
    """

    name: str
    frames: tuple[int, ...]
    shape: tuple[int, int]


def series_of(records: Iterable[FrameRecord]) -> list[Series]:
    """Return the series of some records, single frames among them, by their lowest frame.

    Parameters
    ----------
    records : iterable of FrameRecord
    """
    groups: dict[tuple[Any, ...], list[FrameRecord]] = {}
    for r in records:
        label = r.labels.get("series", "")
        key = ("label", r.labels.get("sample", ""), label) if label else ("source", r.source)
        groups.setdefault((*key, r.shape), []).append(r)
    found = [_ordered(key[-2], members) for key, members in groups.items()]
    return sorted(found, key=lambda s: min(s.frames))


def wants_series(stages: Iterable[Any]) -> bool:
    """Whether a stage measures series rather than frames (its ``series`` says so)."""
    return any(getattr(s, "series", "independent") != "independent" for s in stages)


def units(records: Sequence[FrameRecord], *, whole: bool) -> list[tuple[int, ...]]:
    """Return the frame numbers that must stay together: series, or each frame alone.

    Parameters
    ----------
    records : sequence of FrameRecord
    whole : bool
        Keep series whole.
    """
    if not whole:
        return [(r.frame,) for r in records]
    return [s.frames for s in series_of(records)]


def _ordered(name: str, records: list[FrameRecord]) -> Series:
    def order(record: FrameRecord) -> tuple[float, int]:
        index = record.instrument.get("series_index")
        return (float("inf") if index is None else float(index), record.frame)

    numbers = tuple(r.frame for r in sorted(records, key=order))
    return Series(str(name), numbers, records[0].shape)
