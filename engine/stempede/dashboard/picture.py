"""Picture: one frame as the microscope saw it, with what was found in it, for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from stempede.errors import StempedeError
from stempede.frames import FrameRecord
from stempede.io.results import Results
from stempede.io.sources import SourceReader
from stempede.report.overlays import fit, grey, jpeg_uri
from stempede.report.preview import Regions, overlay

if TYPE_CHECKING:
    from stempede.report.folder import Columns

SIDE_PX = 760
QUALITY = 50
"""Of JPEG: a picture takes 50 to 150 kB."""
PARTICLES = ("frame", "label", "accepted")
COLUMNS = "frame crystal accepted i j y_px x_px species state reject_reason".split()
OCTAHEDRA = "frame crystal i j pb_y_px pb_x_px staggered_tilt_deg".split()


def picture(
    results: Results, facts: Mapping[str, Any], part: int | None, signal: str | None
) -> tuple[str, str]:
    """Return a data URI and a line of words; no picture where the file cannot be read.

    Parameters
    ----------
    results : Results
    facts : mapping
        Row of ``frames``.
    part : int or None
        Chunk of the frame.
    signal : str or None
        As the run read it.
    """
    frame = int(facts["frame"])
    shape = (int(facts["height_px"]), int(facts["width_px"]))
    record = FrameRecord(frame, str(facts["source"]), int(facts["page"]), shape, "")
    try:
        image = SourceReader(signal)(record)
    except (StempedeError, OSError, ValueError, RuntimeError) as error:
        return "", f"frame {frame} cannot be shown: {str(error)[:200]}"
    if facts["state"] != "measured":
        return _plain(image), f"frame {frame}: not measured, see the problems"
    columns = results.read_part("columns", part, COLUMNS) if part is not None else None
    if columns is not None:
        return _columns(results, image, columns, frame, part)
    return _particles(results, image, frame, part, facts)


def _packed(rgb: np.ndarray) -> str:
    return jpeg_uri(rgb, qualities=(QUALITY,))


def _plain(image: np.ndarray) -> str:
    small, _ = fit(image, SIDE_PX)
    return _packed(np.repeat(grey(small)[..., None], 3, axis=2))


def _particles(
    results: Results, image: np.ndarray, frame: int, part: int | None, facts: Mapping[str, Any]
) -> tuple[str, str]:
    particles = None if part is None else results.read_part("particles", part, PARTICLES)
    try:
        labels = results.maps.read("labels", frame)
    except StempedeError:
        labels = None
    if particles is None or labels is None or labels.shape != image.shape:
        return _plain(image), f"frame {frame}: outlines were not kept"
    mine = particles["frame"] == frame
    accepted = particles["accepted"][mine]
    regions = Regions(labels, particles["label"][mine], accepted)
    size = facts["pixel_size_nm"]
    known = size is not None and math.isfinite(size)
    drawn = overlay(image, regions, pixel_size_nm=size if known else None, max_side_px=SIDE_PX)
    words = f"frame {frame}: {int(accepted.sum())} of {len(accepted)} regions accepted (teal)"
    return _packed(drawn), words


def _columns(
    results: Results, image: np.ndarray, columns: Any, frame: int, part: int | None
) -> tuple[str, str]:
    from stempede.dashboard.network import network_picture

    octahedra = None if part is None else results.read_part("octahedra", part, OCTAHEDRA)
    if octahedra is None:
        return _plain(image), f"frame {frame}: no octahedra"
    accepted = columns["accepted"][columns["frame"] == frame]
    words = f"frame {frame}: {int(accepted.sum())} of {len(accepted)} columns accepted"
    there, network = _largest_crystal(columns, octahedra, frame)
    if not len(there):
        return _plain(image), words
    return _packed(network_picture(image, there, network, SIDE_PX)), words


def _largest_crystal(columns: Any, octahedra: Any, frame: int) -> tuple[Columns, Columns]:
    """Return the columns and octahedra of the crystal of a frame that has the most columns."""
    from stempede.report.folder import Columns

    here = columns["crystal"][columns["frame"] == frame]
    numbers, counts = np.unique(here[here >= 0], return_counts=True)
    largest = numbers[np.argmax(counts)] if len(numbers) else -1

    def of_largest(table: Any) -> Columns:
        mine = np.asarray((table["frame"] == frame) & (table["crystal"] == largest))
        return Columns(dict(table.take(mine).columns))

    return of_largest(columns), of_largest(octahedra)
