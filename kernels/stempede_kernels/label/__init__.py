"""Number the connected regions of masks, and renumber labels, per frame."""

from typing import Any

from stempede_kernels.dispatch import check_connectivity, run_on_frames

__all__ = ["label", "renumber"]


def label(mask: Any, connectivity: int = 1) -> tuple[Any, Any]:
    """Number the connected regions of every frame, in raster order of their first pixel.

    Parameters
    ----------
    mask : (b, y, x) or (y, x) bool array
        Foreground. NumPy, torch or CuPy; the results stay where the mask lies.
    connectivity : {1, 2}
        1: pixels touch by their edges; 2: by their corners too.

    Returns
    -------
    labels : (b, y, x) or (y, x) int32 array
        1 … n within each frame, 0 on the background.
    counts : (b,) int32 array, or an int32 scalar for a single frame
        Regions per frame, n.

    Raises
    ------
    TypeError
        If the mask is not bool.
    ValueError
        If the mask has neither two nor three axes, or the connectivity is not 1 or 2.

    References
    ----------
    He, Chao and Suzuki, "A run-based two-scan labeling algorithm", IEEE Trans. Image
    Processing 17 (2008); on the GPU Playne and Hawick, "A new algorithm for parallel
    connected-component labelling on GPUs", IEEE TPDS 29 (2018).

    Examples
    --------
    >>> label(np.array([[True, False, True]]))
    (array([[1, 0, 2]], dtype=int32), np.int32(2))
    """
    check_connectivity(connectivity)
    return run_on_frames(__name__, "label", {"mask": (mask, "bool")}, connectivity=connectivity)


def renumber(labels: Any) -> tuple[Any, Any]:
    """Give labels the numbers 1 … n of every frame, in raster order of their first pixel.

    A label keeps all its pixels, connected or not.

    Parameters
    ----------
    labels : (b, y, x) or (y, x) integer array
        Labels above 0; 0 and below is background. A table of the largest label is taken.

    Returns
    -------
    labels : (b, y, x) or (y, x) int32 array
        1 … n within each frame, 0 on the background.
    counts : (b,) int32 array, or an int32 scalar for a single frame
        Labels per frame, n.

    Raises
    ------
    TypeError
        If the labels are not integers.

    Examples
    --------
    >>> renumber(np.array([[7, 0, 3, 7]]))
    (array([[1, 0, 2, 1]], dtype=int32), np.int32(2))
    """
    return run_on_frames(__name__, "renumber", {"labels": (labels, "int32")})
