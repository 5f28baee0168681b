"""View: a run as layers of napari; what the layers hold is made without napari.

Images of one shape are one stack; shapes differ within a session, and each has layers of its
own. Points, outlines and octahedra carry their table rows as features, which napari shows and
colours by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stempede.errors import InputError, ResultsError
from stempede.io.results import Results
from stempede.tables import Table

_FACES = {"Pb+X": "#d55e00", "Cs": "#0072b2", "X": "#009e73"}
_OTHER_FACE = "#cc79a7"


@dataclass(frozen=True)
class Layer:
    """What one layer shows.

    Parameters
    ----------
    kind : {"image", "labels", "points", "shapes"}
    name : str
    data : array or list of arrays
        Images and labels (n, y, x), read when shown; points (n, 3) and shapes a list of
        (corners, 3), each row (image of the stack, y, x).
    options : mapping
        Further keywords of napari's ``add_<kind>``.
    """

    kind: str
    name: str
    data: Any
    options: Mapping[str, Any] = field(default_factory=dict)


def layers(run: Path | str, frames: slice | None = None) -> list[Layer]:
    """Return what a viewer shows of a run, in drawing order.

    Parameters
    ----------
    run : path
    frames : slice, optional
        Of the frame numbers that were measured.

    Raises
    ------
    ResultsError
        The run cannot be read, or none of these frames was measured.
    """
    results = Results(run)
    table = results.read("frames")
    table = table.take(np.asarray(table["state"] == "measured"))
    table = table.take(frames) if frames is not None else table
    if not len(table):
        raise ResultsError(f"{results.path} has no measured frame to show; check --frames")
    found = []
    shapes = list(dict.fromkeys(zip(table["height_px"].tolist(), table["width_px"].tolist())))
    for height, width in shapes:
        rows = (table["height_px"] == height) & (table["width_px"] == width)
        stack = _Stack(results, table.take(np.asarray(rows)), (height, width))
        suffix = f" {height}×{width}" if len(shapes) > 1 else ""
        found += [*stack.maps(suffix), *stack.rows(suffix)]
    return found


class _Stack:
    """Frames of one shape and size of pixel."""

    def __init__(self, results: Results, frames: Table, shape: tuple[int, int]) -> None:
        self.results, self.frames, self.shape = results, frames, shape
        self.numbers = np.asarray(frames["frame"])
        self.place = {n: k for k, n in enumerate(self.numbers.tolist())}
        size = frames["pixel_size_y_nm"], frames["pixel_size_x_nm"]
        same = all(np.isfinite(s).all() and np.ptp(s) <= 1e-6 * s[0] for s in size)
        nm = (1.0, float(size[0][0]), float(size[1][0]))
        self.space: dict[str, Any] = {"scale": nm, "units": ("pixel", "nm", "nm")} if same else {}

    def maps(self, suffix: str) -> Iterator[Layer]:
        opened = self.results.frames()
        records = {r.frame: r for r in opened.records}

        def image(k: int) -> np.ndarray:
            return np.asarray(opened.reader(records[int(self.numbers[k])]))

        shape = (len(self.numbers), *self.shape)
        images = LazyStack(image, shape, np.float32)
        options = {**self.space, "contrast_limits": _limits(images[0])}
        yield Layer("image", f"images{suffix}", images, options)
        kept = set(self.results.maps.frames("labels"))
        if kept & set(self.numbers.tolist()):

            def labels(k: int) -> np.ndarray:
                number = int(self.numbers[k])
                empty = np.zeros(self.shape, np.int32)
                return self.results.maps.read("labels", number) if number in kept else empty

            lazy = LazyStack(labels, shape, np.int32)
            yield Layer("labels", f"labels{suffix}", lazy, {**self.space, "opacity": 0.4})

    def rows(self, suffix: str) -> Iterator[Layer]:
        there = set(self.results.tables())
        if "particles" in there:
            yield from self._points("particles", f"particles{suffix}")
        if "columns" in there:
            yield from self._points("columns", f"columns{suffix}")
        if {"columns", "octahedra"} <= there:
            yield from self._octahedra(f"octahedra{suffix}")

    def _points(self, name: str, title: str) -> Iterator[Layer]:
        table = self._mine(name)
        table = table.take(np.isfinite(table["y_px"]) & np.isfinite(table["x_px"]))
        if not len(table):
            return
        places = [self.place[f] for f in table["frame"].tolist()]
        data = np.stack([places, table["y_px"], table["x_px"]], axis=1)
        options: dict[str, Any] = {"features": _features(table), "size": 6, **self.space}
        options["face_color"] = _faces(table)
        # what was set aside is there to be looked at, and not shown at first
        options["shown"] = np.asarray(table["accepted"])
        yield Layer("points", title, data, options)

    def _octahedra(self, title: str) -> Iterator[Layer]:
        """Yield the octahedra as outlines through the X columns around each Pb."""
        columns, octahedra = self._mine("columns"), self._mine("octahedra")
        at = {
            key: (y, x)
            for key, y, x, s in zip(
                _keys(columns), columns["y_px"], columns["x_px"], columns["species"]
            )
            if str(s) == "X" and np.isfinite(y)
        }
        outlines, rows = [], []
        for row, (frame, crystal, i, j) in enumerate(_keys(octahedra)):
            around = ((i, j + 0.5), (i + 0.5, j), (i, j - 0.5), (i - 0.5, j))
            corners = [at.get((frame, crystal, *ij)) for ij in around]
            seen = [c for c in corners if c is not None]
            if len(seen) >= 3:
                outlines.append(np.array([(self.place[frame], y, x) for y, x in seen], float))
                rows.append(row)
        if not outlines:
            return
        features = _features(octahedra.take(np.array(rows)))
        options = {"shape_type": "polygon", "features": features, "opacity": 0.5, **self.space}
        tilt = np.nan_to_num(np.asarray(features.get("staggered_tilt_deg", np.zeros(len(rows)))))
        options["face_color"] = _diverging(tilt)
        yield Layer("shapes", title, outlines, options)

    def _mine(self, name: str) -> Table:
        table = self.results.read(name)
        return table.take(np.isin(table["frame"], self.numbers))


class LazyStack:
    """A (n, y, x) array that reads an image when it is looked at.

    Parameters
    ----------
    read : callable
        Returns the (y, x) image of a place in the stack.
    shape : tuple of int
        (n, y, x).
    dtype : dtype
    """

    ndim = 3

    def __init__(
        self, read: Callable[[int], np.ndarray], shape: tuple[int, int, int], dtype: Any
    ) -> None:
        self._read, self.shape, self.dtype = read, shape, np.dtype(dtype)
        self.size = math.prod(shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        key = key if isinstance(key, tuple) else (key,)
        key = (slice(None),) * 3 if key == (Ellipsis,) else key
        which, rest = range(len(self))[key[0]], key[1:]
        if isinstance(which, int):
            return self._image(which)[rest]
        images = [self._image(k)[rest] for k in which]
        return np.stack(images) if images else np.empty((0, *self.shape[1:]), self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: FBT001
        return np.asarray(self[:], dtype=dtype)

    def _image(self, k: int) -> np.ndarray:
        return np.asarray(self._read(k), dtype=self.dtype)


def _limits(image: np.ndarray) -> tuple[float, float]:
    """Return where grey begins and ends: one pixel in a thousand beyond each."""
    low, high = np.nanpercentile(image, (0.1, 99.9)).tolist()
    return (low, high) if high > low else (low, low + 1.0)


def _keys(table: Table) -> list[tuple[int, int, float, float]]:
    columns = (table[k].tolist() for k in ("frame", "crystal", "i", "j"))
    return list(zip(*columns, strict=True))


def _features(table: Table) -> dict[str, np.ndarray]:
    """Return columns of a table as napari takes features; strings as Python's."""
    return {
        n: np.array(table[n].tolist(), dtype=object)
        if table.schema[n].dtype == "string"
        else np.asarray(table[n])
        for n in table.schema.names
    }


def _faces(table: Table) -> Any:
    if "species" not in table.schema.names:
        return "#e69f00"
    return [_FACES.get(str(s), _OTHER_FACE) for s in table["species"].tolist()]


def _diverging(values: np.ndarray) -> np.ndarray:
    """Return (n, 4) colours: blue below zero, white at it, red above."""
    from matplotlib import colormaps

    most = float(np.abs(values).max(initial=0.0)) or 1.0
    return np.asarray(colormaps["RdBu_r"](0.5 + 0.5 * values / most))


def fill(viewer: Any, found: Sequence[Layer]) -> None:
    """Add layers to a napari viewer, or to its ``ViewerModel``."""
    for layer in found:
        add = getattr(viewer, f"add_{layer.kind}")
        add(layer.data, name=layer.name, **layer.options)
    viewer.dims.axis_labels = ("frame", "y", "x")


def show(run: Path | str, frames: slice | None = None) -> None:
    """Open a run in napari and wait until its window is closed.

    Raises
    ------
    InputError
        napari is not installed.
    ResultsError
        The run has nothing to show.
    """
    try:
        import napari
    except ImportError as error:
        raise InputError(
            f"view wants napari, which is not importable ({error}); install it with "
            f"pip install 'stempede[view]'; everything else works without"
        ) from error
    found = layers(run, frames)
    viewer = napari.Viewer(title=f"stempede: {Path(run).name}")
    fill(viewer, found)
    napari.run()
