"""ImageJ: outlines of particles, or points of atom columns, as a ROI zip per image."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from stempede.errors import ResultsError
from stempede.io.atomic import write_error
from stempede.io.export import LABELS, Exported, label_names, selected_labels
from stempede.io.results import Results
from stempede.tables import Table

_HALF = 0.5
"""ImageJ counts from the corner of the first pixel, we from its centre."""


def export_rois(
    run: Path | str, out: Path | str, *, all_regions: bool = False, tree: bool = False
) -> Exported:
    """Write ``<stem>.zip`` per source image, to be opened with ImageJ's ROI manager.

    Particles are polygons that hold the centres of exactly their pixels (holes are filled),
    named by their label, with group + 1 as the ROI's group; columns are points, one ROI per
    species. Coordinates are those of ImageJ.

    Parameters
    ----------
    run, out : path
    all_regions : bool
        Also what was set aside, not accepted particles and columns only.
    tree : bool
        Keep the folders of the sources.

    Raises
    ------
    ResultsError
        The run has neither kept label maps nor columns, or two sources ask for one file.
    """
    results = Results(run)
    frames = results.read("frames")
    names = [Path(n).with_suffix(".zip") for n in label_names(frames, tree=tree)]
    columns = "columns" in results.tables()
    table = results.read("columns" if columns else "particles")
    kept = set(frames["frame"].tolist()) if columns else set(results.maps.frames(LABELS))
    if not kept:
        raise ResultsError(
            f"{results.path} kept no label maps; run again with --keep labels to export outlines"
        )
    chosen = table if all_regions else table.take(np.asarray(table["accepted"]))
    order = np.argsort(chosen["frame"], kind="stable")
    chosen = chosen.take(order)
    files = []
    for row, name in enumerate(names):
        frame = int(frames["frame"][row])
        if frame not in kept or frames["state"][row] != "measured":
            continue
        mine = chosen.take(slice(*np.searchsorted(chosen["frame"], [frame, frame + 1])))
        if columns:
            rois = _points(mine)
        else:
            shape = (int(frames["height_px"][row]), int(frames["width_px"][row]))
            labels = selected_labels(results.maps, frame, mine["label"], shape)
            rois = _outlines(labels, mine)
        files.append(_write(Path(out) / name, rois))
    return Exported(tuple(files), len(frames) - len(files), "ROI zips")


def _outlines(labels: np.ndarray, particles: Table) -> Iterator[tuple[str, Any]]:
    """Yield the name and the ROI of each particle of an image."""
    from roifile import ImagejRoi
    from scipy.ndimage import find_objects

    places = find_objects(labels.astype(np.int32))
    classes = particles["class_name"] if "class_name" in particles.schema.names else None
    for k, label in enumerate(particles["label"].tolist()):
        place = places[label - 1] if 0 < label <= len(places) else None
        if place is None:
            continue
        corner = np.array([place[0].start, place[1].start])
        yx = outline(labels[place] == label) + corner
        name = f"{label:05d}" + (f" {classes[k]}" if classes is not None and classes[k] else "")
        roi = ImagejRoi.frompoints(yx[:, ::-1] + _HALF, name=name)
        # ImageJ knows groups 1 to 255; 0 is none
        roi.group = int(np.clip(particles["group"][k] + 1, 0, 255))
        yield name, roi


def outline(mask: np.ndarray) -> np.ndarray:
    """Return (n, 2) float64 (y, x) of the outer outline, halfway between pixels in and out.

    Parameters
    ----------
    mask : (h, w) bool array
        One region.
    """
    from skimage.measure import find_contours

    padded = np.pad(mask, 1).astype(np.float64)
    longest = max(find_contours(padded, 0.5), key=len)
    return np.asarray(longest[:-1]) - 1.0


def _points(columns: Table) -> Iterator[tuple[str, Any]]:
    """Yield one ROI of points per species of the columns of an image."""
    from roifile import ROI_TYPE, ImagejRoi

    species = np.array([str(s) or "unknown" for s in columns["species"].tolist()], dtype=np.str_)
    there = np.isfinite(columns["y_px"]) & np.isfinite(columns["x_px"])
    for name in np.unique(species[there]).tolist():
        mine = there & (species == name)
        xy = np.stack([columns["x_px"][mine], columns["y_px"][mine]], axis=1) + _HALF
        roi = ImagejRoi.frompoints(xy, name=name)
        roi.roitype = ROI_TYPE.POINT
        yield name, roi


def _write(path: Path, rois: Iterator[tuple[str, Any]]) -> Path:
    """Write a zip of ROIs under a name that begins with a dot, then rename it."""
    temporary = path.with_name(f".{path.name}-{uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, roi in rois:
                # a slash would make a folder
                archive.writestr(f"{name.replace('/', '-')}.roi", roi.tobytes())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise write_error(path, error) from error
    return path
