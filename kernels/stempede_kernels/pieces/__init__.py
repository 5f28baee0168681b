"""Part labels into whole pieces, and paint the parts of those that are cut."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stempede_kernels.dispatch import function_for, run_on_frames

__all__ = ["paint_parts", "separate", "whole_pieces"]


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
        If the labels are not integers.
    ValueError
        If they have neither two nor three axes.
    """
    return run_on_frames(__name__, "whole_pieces", {"labels": (labels, "int32")}, fill=fill)


def separate(labels: Any, least_px: int) -> Any:
    """Give each piece of the foreground that lies apart, and holds one label, a label of its own.

    Where labels touch in a piece they stay as they are.

    Parameters
    ----------
    labels : (b, y, x) or (y, x) int32 array
        0 on the background, not negative.
    least_px : int
        A piece below it is dropped, but for the largest of its label.

    Returns
    -------
    (b, y, x) or (y, x) int32 array
        Pieces (by edges) in raster order from 1; beyond them, the labels that touch others.

    Raises
    ------
    TypeError
        If the labels are not integers.
    ValueError
        If they have neither two nor three axes.
    """
    maps = {"labels": (labels, "int32")}
    return run_on_frames(__name__, "separate", maps, least_px=int(least_px))


def paint_parts(
    labels: NDArray[np.int32], parts: NDArray[np.int32], factor: int
) -> NDArray[np.int32]:
    """Paint parts, known in blocks, over the labels they are parts of.

    A pixel takes the part of its block where that belongs to its own label; others of a label
    that has parts take the greatest part beside them (corners included), round by round, up to
    two blocks away. What is still farther becomes background; labels without parts stay.

    Parameters
    ----------
    labels : (y, x) int32 array
        0 on the background, not negative.
    parts : (rows, columns) int32 array
        Numbers greater than any label, 0 where a block shows no part. A part belongs to the
        label at the middle of its blocks, the same in all of them.
    factor : int
        Side of a block in px. Pixels beyond the last block count to it.

    Returns
    -------
    (y, x) int32 array

    Raises
    ------
    TypeError
        If the arrays are on a GPU, or not int32.
    ValueError
        If parts are not greater than all labels, or there is more than one block for some
        ``factor`` px.
    """
    run = function_for(__name__, "paint_parts", labels)
    if labels.dtype != np.int32 or parts.dtype != np.int32:
        raise TypeError(f"labels and parts must be int32, found {labels.dtype} and {parts.dtype}")
    middles = labels[factor // 2 :: factor, factor // 2 :: factor]
    if labels.ndim != 2 or middles.shape != parts.shape or 0 in parts.shape:
        raise ValueError(
            f"labels of {labels.shape} have {middles.shape} blocks of {factor} px, "
            f"found parts for {parts.shape}"
        )
    first = int(labels.max()) + 1
    if np.any((parts > 0) & (parts < first)):
        raise ValueError(f"parts must be 0 or at least {first}, above all labels")
    painted: NDArray[np.int32] = run(
        np.ascontiguousarray(labels), np.ascontiguousarray(parts), int(factor), first
    )
    return painted
