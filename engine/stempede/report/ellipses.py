"""Ellipses: what stands for outlines where a run kept no label maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stempede.report.overlays import fit, grey
from stempede.report.preview import ORANGE, TEAL

_LINE_PX = 3


@dataclass(frozen=True)
class Outlines:
    """Ellipses of the particles of one frame, all (n,) arrays in px and degrees."""

    y_px: np.ndarray
    x_px: np.ndarray
    major_px: np.ndarray
    minor_px: np.ndarray
    orientation_deg: np.ndarray
    accepted: np.ndarray


def draw_ellipses(image: np.ndarray, outlines: Outlines) -> np.ndarray:
    """Draw the moment ellipses of particles, dotted where they were set aside.

    Parameters
    ----------
    image : (h, w) array
        Counts.
    outlines : Outlines

    Returns
    -------
    (y, x, 3) uint8 array
        At most ``MAX_SIDE_PX`` on a side.
    """
    from PIL import Image, ImageDraw

    small, scale = fit(image)
    canvas = Image.fromarray(np.repeat(grey(small)[..., None], 3, axis=2))
    pen = ImageDraw.Draw(canvas)
    turn = np.linspace(0, 2 * np.pi, 49)
    angle = np.deg2rad(np.nan_to_num(outlines.orientation_deg))[:, None]
    along = outlines.major_px[:, None] / 2 * np.cos(turn)
    across = outlines.minor_px[:, None] / 2 * np.sin(turn)
    x = (outlines.x_px[:, None] + along * np.cos(angle) - across * np.sin(angle) + 0.5) * scale
    y = (outlines.y_px[:, None] + along * np.sin(angle) + across * np.cos(angle) + 0.5) * scale
    points = np.stack([x, y], axis=-1)  # (n, 49, 2)
    for k in np.flatnonzero(np.isfinite(points).all(axis=(1, 2))):
        path = [(float(px), float(py)) for px, py in points[k]]
        if outlines.accepted[k]:
            pen.line(path, fill=TEAL, width=_LINE_PX)
            continue
        for start in range(0, len(path) - 1, 2):
            pen.line(path[start : start + 2], fill=ORANGE, width=_LINE_PX)
    return np.asarray(canvas)
