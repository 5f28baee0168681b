"""Find what is written into an image beside a scale bar: its text, its box, caption bands.

Letters are drawn in the bar's own level, in its outline's, or in the opposite extreme; they
have sharp edges and stand on one line beside the bar. A box or band is one level with a
straight sharp rim.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from stempede.frames import Box
from stempede.preprocess.bar import STEP, Bar

SHARP = 64
"""Grey levels that a letter's edge climbs within two pixels."""
STEP_MIN = 40
NOISE_SIGMA = 4.0
"""Steps of lettering, in grey levels and in standard deviations of the noise."""
PIECES_MAX = 600
"""Most candidates for letters; more is texture."""
LEVEL = 12
"""Grey levels from a box's or band's own that still belong to it."""


def find_text(grey: np.ndarray, bar: Bar) -> Box | None:
    """Return the rectangle of the line of text that belongs to a bar, None where none is seen.

    Parameters
    ----------
    grey : (y, x) uint8 array
    bar : Bar
    """
    y0, x0, y1, x1 = bar.box
    # a letter is rarely taller than this, however thin the bar
    up = min(grey.shape[0] // 5, max(10 * (y1 - y0), grey.shape[0] // 10))
    side = max((x1 - x0) // 2, 2 * up)
    top, left = max(0, y0 - up), max(0, x0 - side)
    window = grey[top : y1 + up, left : x1 + side]
    local = (y0 - top, x0 - left, y1 - top, x1 - left)
    lines: list[tuple[int, Box]] = []
    for ink in _inks(window, local, bar.level):
        pieces, letters = _glyphs(ink, window, up)
        lines += [(area, _grown(box, pieces)) for area, box in _lines(letters, local)]
    if not lines:
        return None
    best = max(lines)[1]
    # the same line, read in another ink, may be whole where this one lacks a stroke
    same = np.array([box for _, box in lines if _is_same_line(box, best)])
    a, b = same[:, :2].min(axis=0).tolist()
    c, d = same[:, 2:].max(axis=0).tolist()
    return (a + top, b + left, c + top, d + left)


def _is_same_line(box: Box, other: Box) -> bool:
    """Whether two boxes share most of their rows and some columns."""
    rows = min(box[2], other[2]) - max(box[0], other[0])
    taller = max(box[2] - box[0], other[2] - other[0])
    return rows >= 0.7 * taller and min(box[3], other[3]) > max(box[1], other[1])


def _inks(window: np.ndarray, bar: Box, level: float) -> list[np.ndarray]:
    """Return masks of what may be lettering: the bar's own level, and steps too sharp to image."""
    y0, x0, y1, x1 = bar
    inks = [np.abs(window.astype(np.int16) - level) <= STEP, _steps(window)]
    for ink in inks:
        ink[max(y0 - 2, 0) : y1 + 2, max(x0 - 2, 0) : x1 + 2] = False
    return inks


def _steps(window: np.ndarray) -> np.ndarray:
    """Return pixels that differ from one two pixels on by far more than noise does."""
    steps = np.zeros(window.shape, dtype=bool)
    for axis in (0, 1):
        long = np.moveaxis(window, axis, 0)
        climb = np.maximum(long[2:], long[:-2]) - np.minimum(long[2:], long[:-2])
        noise = float(np.median(climb[::3, ::3])) / 0.6745
        np.moveaxis(steps, axis, 0)[1:-1] |= climb >= max(STEP_MIN, NOISE_SIGMA * noise)
    return steps


def _glyphs(ink: np.ndarray, window: np.ndarray, tallest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes (n, 4) of all connected pieces, and of those with a letter's looks."""
    labels, n = ndimage.label(ink, np.ones((3, 3)))
    boxes = np.array(
        [(s[0].start, s[1].start, s[0].stop, s[1].stop) for s in ndimage.find_objects(labels)],
        dtype=np.intp,
    ).reshape(-1, 4)
    tall, wide = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    fits = (tall >= 6) & (tall <= tallest) & (wide <= 6 * tall) & (wide >= 2)
    fits &= (boxes[:, 0] > 0) & (boxes[:, 2] < len(window)) & (boxes[:, 1] > 0)
    if not 0 < fits.sum() <= PIECES_MAX:
        return boxes, boxes[:0]
    labels[~np.append(False, fits)[labels]] = 0
    return boxes, boxes[fits & (_sharpness(labels, window, n) >= 0.5)]


def _sharpness(labels: np.ndarray, window: np.ndarray, n: int) -> np.ndarray:
    """Return for each piece the share of its rim that climbs ``SHARP`` within two pixels."""
    grey = np.pad(window, 2, mode="edge").astype(np.int16)
    y, x = np.nonzero((labels > 0) & ~_interior(labels > 0))
    here = grey[y + 2, x + 2]
    climb = np.zeros(len(y), dtype=np.int16)
    for dy, dx in ((-2, 0), (2, 0), (0, -2), (0, 2), (-2, -2), (-2, 2), (2, -2), (2, 2)):
        np.maximum(climb, np.abs(grey[y + 2 + dy, x + 2 + dx] - here), out=climb)
    which = labels[y, x] - 1
    steep = np.bincount(which, climb >= SHARP, minlength=n)
    return steep / np.maximum(1, np.bincount(which, minlength=n))


def _interior(mask: np.ndarray) -> np.ndarray:
    """Return the pixels whose 3 x 3 neighbourhood is all True."""
    rows = np.zeros_like(mask)
    rows[:, 1:-1] = mask[:, :-2] & mask[:, 1:-1] & mask[:, 2:]
    whole = np.zeros_like(mask)
    whole[1:-1] = rows[:-2] & rows[1:-1] & rows[2:]
    return whole


def _lines(glyphs: np.ndarray, bar: Box) -> list[tuple[int, Box]]:
    """Return (area of letters, box) of lines of at least two letters that lie beside the bar."""
    found = []
    for g in glyphs:
        tall = g[2] - g[0]
        size = glyphs[:, 2] - glyphs[:, 0]
        on_line = np.abs(glyphs[:, 2] - g[2]) <= max(2, 0.3 * tall)
        members = glyphs[on_line & (size >= 0.5 * tall) & (size <= 1.15 * tall)]
        members = _neighbours(members[np.argsort(members[:, 1])], g, 1.6 * tall)
        box = (*members[:, :2].min(axis=0).tolist(), *members[:, 2:].max(axis=0).tolist())
        if len(members) >= 2 and _beside(box, bar):
            area = int(np.sum((members[:, 2] - members[:, 0]) * (members[:, 3] - members[:, 1])))
            found.append((area, box))
    return found


def _grown(line: Box, pieces: np.ndarray) -> Box:
    """Return a line of text with the pieces that continue it (a digit that touches a particle)."""
    a, b, c, d = line
    tall = c - a
    size = pieces[:, 2] - pieces[:, 0]
    shared = np.minimum(pieces[:, 2], c) - np.maximum(pieces[:, 0], a)
    pieces = pieces[(size >= 0.3 * tall) & (size <= 1.4 * tall) & (shared >= 0.6 * size)]
    for _ in range(len(pieces)):
        near = (pieces[:, 1] <= d + 0.5 * tall) & (pieces[:, 3] >= b - 0.5 * tall)
        wider = (
            int(pieces[near, 0].min(initial=a)),
            int(pieces[near, 1].min(initial=b)),
            int(pieces[near, 2].max(initial=c)),
            int(pieces[near, 3].max(initial=d)),
        )
        if wider == (a, b, c, d):
            break
        a, b, c, d = wider
    return (a, b, c, d)


def _neighbours(members: np.ndarray, seed: np.ndarray, gap: float) -> np.ndarray:
    """Return the members reached from the seed by gaps of at most so many pixels."""
    breaks = np.flatnonzero(members[1:, 1] - members[:-1, 3] > gap) + 1
    for group in np.split(members, breaks):
        if (group == seed).all(axis=1).any():
            return group
    return members[:0]


def _beside(text: Box, bar: Box) -> bool:
    """Whether a line of text is as close to the bar as its own label would be."""
    tall = text[2] - text[0]
    above_or_below = max(text[0] - bar[2], bar[0] - text[2])
    aside = max(text[1] - bar[3], bar[1] - text[3])
    if aside <= 0:
        return -tall // 4 <= above_or_below <= max(2 * tall, 8)
    return above_or_below <= 0 and aside <= 3 * tall


def find_backing(grey: np.ndarray, bar: Bar) -> Box | None:
    """Return the rectangle of one level that a bar and its text were drawn on, or None."""
    y0, x0, y1, x1 = bar.box
    height, width = grey.shape
    reach_y, reach_x = height // 4, max(x1 - x0, width // 8)
    top, left = max(0, y0 - reach_y), max(0, x0 - reach_x)
    window = grey[top : y1 + reach_y, left : x1 + reach_x].astype(np.int16)
    rim = window[max(y0 - top - 4, 0) : y1 - top + 4, max(x0 - left - 4, 0) : x1 - left + 4].copy()
    rim[2:-2, 2:-2] = -1
    ring = rim[rim >= 0]
    level = float(np.median(ring))
    backing = np.abs(window - level) <= LEVEL
    if np.mean(np.abs(ring - level) <= LEVEL) < 0.9:
        return None
    labels, _ = ndimage.label(backing)
    name = labels[max(y0 - top - 3, 0), (x0 + x1) // 2 - left]
    if name == 0:
        return None
    rows, columns = ndimage.find_objects(labels)[name - 1]
    box = (rows.start, columns.start, rows.stop, columns.stop)
    return _framed(window, box, level, top, left)


def _framed(window: np.ndarray, box: Box, level: float, top: int, left: int) -> Box | None:
    """Return a box in image coordinates when its rim is straight and sharp on two sides or more."""
    a, b, c, d = box
    sides = (
        (window[a, b:d], window[a - 1, b:d] if a else None),
        (window[c - 1, b:d], window[c, b:d] if c < len(window) else None),
        (window[a:c, b], window[a:c, b - 1] if b else None),
        (window[a:c, d - 1], window[a:c, d] if d < window.shape[1] else None),
    )
    drawn = 0
    for within, beyond in sides:
        if np.mean(np.abs(within - level) <= LEVEL) < 0.9:
            return None
        if beyond is not None and np.mean(np.abs(beyond - level) > LEVEL) > 0.6:
            drawn += 1
    return (a + top, b + left, c + top, d + left) if drawn >= 2 else None


def find_bands(grey: np.ndarray) -> list[Box]:
    """Return caption bands: strips of one level along the top or bottom that carry text.

    Parameters
    ----------
    grey : (y, x) uint8 array

    Returns
    -------
    list of (y0, x0, y1, x1)
        Full width, ends exclusive.
    """
    height, width = grey.shape
    bands: list[Box] = []
    n = _band_rows(grey)
    if n:
        bands.append((0, 0, n, width))
    n = _band_rows(grey[::-1])
    if n:
        bands.append((height - n, 0, height, width))
    return bands


def _band_rows(grey: np.ndarray) -> int:
    """Return the height of the caption band that begins at the first row, 0 without one."""
    height = len(grey)
    edge = grey[:4].astype(np.int16)
    level = int(np.median(edge))
    if np.mean(np.abs(edge - level) <= LEVEL) < 0.9:
        return 0
    strip = grey[: height // 3].astype(np.int16)
    share = np.mean(np.abs(strip - level) <= LEVEL, axis=1)
    stop = int(np.argmin(share >= 0.4)) if (share < 0.4).any() else 0
    # the last row of a band is whole; text does not stand on the image's rim
    if not max(8, height // 80) <= stop or share[stop - 1] < 0.9:
        return 0
    ink = np.abs(strip[:stop] - level) >= SHARP
    if not 0.001 < ink.mean() < 0.5:
        return 0
    return stop if len(_glyphs(ink, grey[:stop], stop)[1]) >= 3 else 0
