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
