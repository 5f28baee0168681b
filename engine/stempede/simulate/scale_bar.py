"""A burned-in scale bar with its caption, as microscope software exports it."""

from __future__ import annotations

import numpy as np

from stempede.errors import InputError
from stempede.simulate.population import Population

_WHITE, _BLACK = 65_535, 0
_GLYPH_ROWS, _GLYPH_COLUMNS = 7, 5
# one glyph per character, rows from the top, five bits each
_GLYPHS = {
    "0": (14, 17, 19, 21, 25, 17, 14),
    "1": (4, 12, 4, 4, 4, 4, 14),
    "2": (14, 17, 1, 2, 4, 8, 31),
    "3": (31, 2, 4, 2, 1, 17, 14),
    "4": (2, 6, 10, 18, 31, 2, 2),
    "5": (31, 16, 30, 1, 1, 17, 14),
    "6": (6, 8, 16, 30, 17, 17, 14),
    "7": (31, 1, 2, 4, 8, 8, 8),
    "8": (14, 17, 17, 14, 17, 17, 14),
    "9": (14, 17, 17, 15, 1, 2, 12),
    ".": (0, 0, 0, 0, 0, 12, 12),
    "n": (0, 0, 22, 25, 17, 17, 17),
    "m": (0, 0, 26, 21, 21, 21, 21),
    " ": (0, 0, 0, 0, 0, 0, 0),
}


def scale_bar_box(population: Population) -> tuple[int, int, int, int] | None:
    """Return the rectangle that the burned-in bar covers.

    Parameters
    ----------
    population : Population
        ``scale_bar_nm`` sets the length of the bar, 0 for none.

    Returns
    -------
    tuple of int or None
        ``(y0, x0, y1, x1)`` px, ends exclusive; None without a bar.

    Raises
    ------
    InputError
        If the bar does not fit into the frame.
    """
    if not population.scale_bar_nm:
        return None
    zoom, bar, text, edge = _layout(population)
    height = 2 * edge + (_GLYPH_ROWS + 3) * zoom
    width = 2 * edge + max(bar, text)
    h, w = population.shape
    if height > h or width > w:
        raise InputError(
            f"a scale bar of {population.scale_bar_nm:g} nm wants {height} x {width} px, the frame "
            f"has {h} x {w}; shorten scale_bar_nm"
        )
    return h - height, w - width, h, w


def burn_in(image: np.ndarray, population: Population, box: tuple[int, int, int, int]) -> None:
    """Write the bar and its caption into an image, in place.

    Parameters
    ----------
    image : (h, w) uint16 array
        Changed inside ``box``.
    population : Population
        Gives length and pixel size.
    box : tuple of int
        What ``scale_bar_box`` returned.
    """
    zoom, bar, text, edge = _layout(population)
    y0, x0, y1, x1 = box
    image[y0:y1, x0:x1] = _BLACK
    left = x0 + (x1 - x0 - bar) // 2
    image[y1 - edge - 2 * zoom : y1 - edge, left : left + bar] = _WHITE
    left = x0 + (x1 - x0 - text) // 2
    for k, character in enumerate(_caption(population)):
        rows = np.array(_GLYPHS[character])[:, None] >> np.arange(_GLYPH_COLUMNS - 1, -1, -1)
        glyph = np.kron(rows & 1, np.ones((zoom, zoom), dtype=int)).astype(bool)
        x = left + k * (_GLYPH_COLUMNS + 1) * zoom
        window = image[y0 + edge : y0 + edge + _GLYPH_ROWS * zoom, x : x + _GLYPH_COLUMNS * zoom]
        window[glyph] = _WHITE


def _caption(population: Population) -> str:
    return f"{population.scale_bar_nm:g} nm"


def _layout(population: Population) -> tuple[int, int, int, int]:
    """Return zoom of the glyphs, bar and text length, and the free edge, px."""
    zoom = max(1, round(population.height_px / 400))
    bar = round(population.scale_bar_nm / population.pixel_size_nm)
    text = (len(_caption(population)) * (_GLYPH_COLUMNS + 1) - 1) * zoom
    return zoom, bar, text, 4 * zoom
