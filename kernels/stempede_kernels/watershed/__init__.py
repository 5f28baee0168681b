"""Marker-controlled watershed, per frame."""

from typing import Any

from stempede_kernels.dispatch import check_connectivity, run_on_frames

__all__ = ["watershed"]


def watershed(height: Any, markers: Any, mask: Any, connectivity: int = 1) -> Any:
    """Flood every frame from its markers, lowest pixels first, within the mask.

    Pixels flood in the order of (level, age). The level of a pixel is its height, or the level
    it was reached from where that is higher; age is the order of being reached, the markers
    first, in raster order. These are the rules of ``skimage.segmentation.watershed`` (without
    compactness and lines), which leaves only the order of equally high markers to chance.

    Parameters
    ----------
    height : (b, y, x) or (y, x) array of float32, or of what converts to it
        Landscape; basins are low. NaN counts as +inf.
    markers : (b, y, x) or (y, x) integer array
        Labels of the sources, above 0; 0 or less elsewhere. They need neither be consecutive
        nor connected. Markers outside the mask are ignored.
    mask : (b, y, x) or (y, x) bool array
        Pixels that may be flooded.
    connectivity : {1, 2}
        1: water passes edges; 2: corners too.

    Returns
    -------
    (b, y, x) or (y, x) int32 array
        The marker label that reached each pixel; 0 outside the mask and in regions of the
        mask without a marker.

    Raises
    ------
    TypeError
        If a dtype does not fit, or the arrays lie in different places.
    ValueError
        If shapes differ or the connectivity is not 1 or 2.

    References
    ----------
    Beucher and Meyer, "The morphological approach to segmentation: the watershed
    transformation" (1993); Soille and Ansoult, Signal Processing 20 (1990).
    """
    check_connectivity(connectivity)
    maps = {"height": (height, "float32"), "markers": (markers, "int32"), "mask": (mask, "bool")}
    return run_on_frames(__name__, "watershed", maps, connectivity=connectivity)
