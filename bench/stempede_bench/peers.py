"""What people run today: a plain scikit-image chain, and its feature table with hull and Feret."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage
from skimage import feature, filters, measure, morphology, segmentation

PROPERTIES = (
    "label area area_filled area_convex area_bbox bbox centroid perimeter perimeter_crofton "
    "equivalent_diameter_area axis_major_length axis_minor_length feret_diameter_max orientation "
    "eccentricity solidity extent euler_number moments_hu intensity_mean intensity_std"
).split()


def feature_table(labels: np.ndarray, image: np.ndarray) -> dict[str, Any]:
    """Return scikit-image's table of the properties that have a counterpart among the 30."""
    return dict(measure.regionprops_table(labels, image, properties=PROPERTIES))


def segment(image: np.ndarray) -> np.ndarray:
    """Segment dark particles: smooth, flatten, Otsu, clean, distance transform, watershed.

    Parameters
    ----------
    image : (y, x) array
        Counts of a bright-field frame.

    Returns
    -------
    (y, x) int32 array
        Labels, 0 on the background.
    """
    smooth = filters.gaussian(image.astype(np.float32), 1.5, preserve_range=True)
    flat = smooth - ndimage.uniform_filter(smooth, 401)
    mask = flat < filters.threshold_otsu(flat)
    mask = morphology.remove_small_objects(mask, max_size=64)
    mask = ndimage.binary_fill_holes(mask)
    depth = ndimage.distance_transform_edt(mask)
    peaks = feature.peak_local_max(
        filters.gaussian(depth, 2.0), min_distance=8, labels=measure.label(mask)
    )
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return segmentation.watershed(-depth, markers, mask=mask).astype(np.int32)


def segment_opencv(image: np.ndarray) -> np.ndarray:
    """Segment as ``segment`` does, with OpenCV where it has the step; its distances are rounded.

    Parameters
    ----------
    image : (y, x) array
        Counts of a bright-field frame.

    Returns
    -------
    (y, x) int32 array
        Labels, 0 on the background.
    """
    import cv2

    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.5)
    flat = smooth - cv2.blur(smooth, (401, 401))
    low, high = float(flat.min()), float(flat.max())
    grey = ((flat - low) * (255 / (high - low))).astype(np.uint8)
    mask = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)[1]
    _, regions, facts, _ = cv2.connectedComponentsWithStats(mask)
    mask = (facts[:, cv2.CC_STAT_AREA] > 64)[regions] & (regions > 0)
    outside = cv2.connectedComponents((~np.pad(mask, 1)).astype(np.uint8), connectivity=4)[1]
    mask = (outside != outside[0, 0])[1:-1, 1:-1]
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    broad = cv2.GaussianBlur(depth, (0, 0), 2.0)
    tops = (broad == cv2.dilate(broad, np.ones((17, 17), np.uint8))) & mask
    markers = cv2.connectedComponents(tops.astype(np.uint8))[1]
    return segmentation.watershed(-depth, markers, mask=mask).astype(np.int32)
