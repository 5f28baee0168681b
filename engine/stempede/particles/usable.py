"""The part of a frame that can hold whole particles: its window and the boxes cut out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stempede.backend import Backend
from stempede.particles.weights import Box

# single unreadable pixels hide nothing; a caption, a bar or a dead corner is larger
_LEAST_SIDE_PX = 6


@dataclass(frozen=True)
class Usable:
    """Where particles of one frame can be whole.

    Parameters
    ----------
    window : (y0, x0, y1, x1)
        Frame without its dead rims, ends exclusive.
    boxes : tuple of (y0, x0, y1, x1)
        Bounding boxes of larger invalid areas inside the window.
    invalid : (y, x) bool array or None
        Pixels of rims and boxes, on the device; None where the whole frame is usable.
    """

    window: Box
    boxes: tuple[Box, ...] = ()
    invalid: Any = None


def usable_area(valid: Any, backend: Backend) -> Usable:
    """Find the window and the excluded boxes of one frame.

    Parameters
    ----------
    valid : (y, x) bool array
        Pixels that may hold particles, on the device.
    backend : Backend

    Returns
    -------
    Usable
        A frame without any valid pixel has an empty window.
    """
    xp, ndimage = backend.xp, backend.ndimage
    height, width = valid.shape
    if bool(valid.all()):
        return Usable((0, 0, height, width))
    y0, y1 = _span(valid.any(axis=1), xp)
    x0, x1 = _span(valid.any(axis=0), xp)
    labels, n = ndimage.label(~valid[y0:y1, x0:x1], xp.ones((3, 3)))
    boxes = _bounding_boxes(labels, int(n), xp)
    large = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=height) >= _LEAST_SIDE_PX
    invalid = ~valid
    keep = np.concatenate([[False], large])
    invalid[y0:y1, x0:x1] = xp.asarray(keep)[labels]
    found = (boxes[large] + [y0, x0, y0, x0]).tolist()
    return Usable((y0, x0, y1, x1), tuple((a, b, c, d) for a, b, c, d in found), invalid)


def labels_at(labels: Any, area: Usable, backend: Backend) -> np.ndarray:
    """Return the labels of particles next to a rim or box, or on it.

    Parameters
    ----------
    labels : (y, x) int32 array
        Label map of the frame, on the device.
    area : Usable
        Of the same frame.
    backend : Backend

    Returns
    -------
    (n,) int32 array
        On the host.
    """
    if area.invalid is None:
        return np.zeros(0, dtype=np.int32)
    ones = backend.xp.ones((3, 3), dtype=bool)
    near = backend.ndimage.binary_dilation(area.invalid, ones)
    touched = backend.xp.unique(labels[near])
    host = backend.download(touched, "particles.accept")
    return host[host > 0]


def _span(present: Any, xp: Any) -> tuple[int, int]:
    """First and last-but-one index of the True entries; empty where there is none."""
    index = xp.flatnonzero(present)
    return (int(index[0]), int(index[-1]) + 1) if len(index) else (0, 0)


def _bounding_boxes(labels: Any, n: int, xp: Any) -> np.ndarray:
    """Return (n, 4) y0, x0, y1, x1 of labels 1 to n, on the host."""
    ys, xs = xp.nonzero(labels)
    which = labels[ys, xs] - 1
    # CuPy scatters minima of 32-bit integers, not of 64
    low = xp.full((2, n), max(labels.shape), dtype=xp.int32)
    high = xp.full((2, n), -1, dtype=xp.int32)
    for axis, position in enumerate((ys, xs)):
        xp.minimum.at(low[axis], which, position.astype(xp.int32))
        xp.maximum.at(high[axis], which, position.astype(xp.int32))
    boxes = xp.stack([low[0], low[1], high[0] + 1, high[1] + 1], axis=1)
    host: np.ndarray = boxes.get() if hasattr(boxes, "get") else boxes
    return host
