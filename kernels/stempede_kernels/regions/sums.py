"""What is summed over a region, in which order, and the neighbourhood codes behind it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MOMENTS = ("n", "y", "x", "yy", "yx", "xx", "yyy", "yyx", "yxx", "xxx")
"""Sums of powers about the middle of the bounding box (``box_middle``)."""

_LOOKUP_LIMIT = 1 << 24


@dataclass(frozen=True)
class Runs:
    """The pixels of every region as runs, regions in order of frame and label.

    Parameters
    ----------
    begin : (n + 1,) int64 array
        The runs of region k are ``begin[k]`` to ``begin[k + 1]``, that one excluded.
    rows, starts, stops : (r,) int64 arrays
        Row, first column and column after the last, in raster order within a region.
    frame, label : (n,) int64 arrays
    box : (n, 4) int64 array
        y0, x0, y1, x1; ends excluded.
    """

    begin: Ints
    rows: Ints
    starts: Ints
    stops: Ints
    frame: Ints
    label: Ints
    box: Ints

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True)
class Sums:
    """What a CPU or a GPU adds up; ``features`` turns it into the table.

    Parameters
    ----------
    moments : (n, 10) float64 array
        In the order of ``MOMENTS``; whole numbers, exact below 2**53.
    windows : (n, 16) int64 array
        How often each configuration of 2 x 2 pixels occurs (0 and 15 are not counted).
    steps : (n, 3) int64 array
        Boundary pixels by length: 1, sqrt 2, (1 + sqrt 2) / 2.
    hull_steps : (n, 3) int64 array
        The same for the convex image.
    areas : (n, 2) int64 array
        Filled and convex area.
    calipers : (n, 7) float64 array
        Largest distance and its angle, smallest width and its angle, rectangle length, width
        and angle of the length; px and degrees.
    light : (n, 4) float64 array
        Sum and count of pixels inside, and of the local background.
    """

    moments: Floats
    windows: Ints
    steps: Ints
    hull_steps: Ints
    areas: Ints
    calipers: Floats
    light: Floats

    @classmethod
    def zeros(cls, n: int) -> "Sums":
        """Return the sums of n regions, all zero."""
        return cls(
            moments=np.zeros((n, 10)),
            windows=np.zeros((n, 16), np.int64),
            steps=np.zeros((n, 3), np.int64),
            hull_steps=np.zeros((n, 3), np.int64),
            areas=np.zeros((n, 2), np.int64),
            calipers=np.zeros((n, 7)),
            light=np.zeros((n, 4)),
        )


def number_regions(frame: NDArray[Any], label: NDArray[Any]) -> tuple[Ints, Ints, Ints]:
    """Number the pairs (frame, label) that occur, in this order.

    Parameters
    ----------
    frame, label : (r,) integer arrays
        Of each run; labels from 1, with or without gaps.

    Returns
    -------
    region : (r,) int64 array
        Number of each run's region.
    region_frame, region_label : (n,) int64 arrays
    """
    stride = int(label.max(initial=1)) + 1
    key = frame.astype(np.int64) * stride + label
    if stride * (int(frame.max(initial=0)) + 1) <= _LOOKUP_LIMIT:
        present = np.bincount(key) > 0
        keys = np.flatnonzero(present)
        region = (np.cumsum(present) - 1)[key]
    else:
        keys, region = np.unique(key, return_inverse=True)
    return region, keys // stride, keys % stride


def box_middle(box: Ints) -> Ints:
    """Return (n, 2) the pixel that moments are taken about: invariant under a shift."""
    return box[:, :2] + (box[:, 2:] - box[:, :2]) // 2


# neighbours of a pixel, in the order of the bits of a neighbourhood
NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))

# places in a 2 x 2 window in raster order, with their bit in a configuration
_PLACES = ((0, 0, 8), (0, 1, 2), (1, 0, 4), (1, 1, 1))


def _window_codes() -> NDArray[np.int8]:
    """Return (256, 4): which configurations a boundary pixel counts, per neighbourhood.

    Each of the four windows around the pixel is counted by one of the region's pixels in it:
    the first in raster order that has an edge neighbour in the window outside the region.
    Such a pixel is a boundary pixel, and a window that is neither empty nor full has one.
    """
    codes = np.zeros((256, 4), np.int8)
    for neighbourhood in range(256):
        inside = {n: bool(neighbourhood >> k & 1) for k, n in enumerate(NEIGHBOURS)}
        inside[0, 0] = True
        for window, (wy, wx) in enumerate(((-1, -1), (-1, 0), (0, -1), (0, 0))):
            full = {(y, x): inside[wy + y, wx + x] for y, x, _ in _PLACES}
            owners = [
                (wy + y, wx + x)
                for y, x, _ in _PLACES
                if full[y, x] and not (full[1 - y, x] and full[y, 1 - x])
            ]
            if owners and owners[0] == (0, 0):
                codes[neighbourhood, window] = sum(bit for y, x, bit in _PLACES if full[y, x])
    return codes


def _step_classes() -> NDArray[np.int8]:
    """Return (50,): class of length of a boundary pixel, or -1.

    The index is 1 + 2 * boundary pixels among its edge neighbours + 10 * among its corner ones.
    """
    classes = np.full(50, -1, np.int8)
    classes[[5, 7, 15, 17, 25, 27]] = 0
    classes[[21, 33]] = 1
    classes[[13, 23]] = 2
    return classes


WINDOW_CODES = _window_codes()
STEP_CLASSES = _step_classes()
