"""Keep one whole piece of every label."""

from typing import Any

from stempede_kernels.dispatch import run_on_frames

__all__ = ["whole_pieces"]


def whole_pieces(labels: Any, *, fill: bool = True) -> Any:
    """Keep the largest piece of every label and, if asked, fill its holes.

    Parameters
    ----------
    labels : (b, y, x) or (y, x) int32 array
        0 on the background, not negative.
    fill : bool
        Whether to fill holes.

    Returns
    -------
    (b, y, x) or (y, x) int32 array
        The largest piece (by edges; the first in raster order of equally large ones) of each
        label; background pieces (by corners) that touch one label only and not the rim of
        the frame belong to that label.

    Raises
    ------
    TypeError
        If the labels are not integers, or lie on a GPU.
    ValueError
        If they have neither two nor three axes.
    """
    return run_on_frames(__name__, "whole_pieces", {"labels": (labels, "int32")}, fill=fill)
