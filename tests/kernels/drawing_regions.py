"""Label maps that are hard on the feature table."""

import numpy as np
from scipy import ndimage as ndi


def blobs(seed, shape=(3, 61, 47), width=1.5, connectivity=1):
    """Draw random blobs with holes, bays and bridges, some at the border."""
    rng = np.random.default_rng(seed)
    noise = ndi.gaussian_filter(rng.normal(size=shape), (0, width, width))
    structure = ndi.generate_binary_structure(2, connectivity)
    frames = [ndi.label(frame > 0.05 * frame.std(), structure)[0] for frame in noise]
    return np.stack(frames).astype(np.int32)


def odd_shapes():
    """Draw one pixel, lines, a diagonal, rings, scattered regions, corners of the frame."""
    labels = np.zeros((40, 53), np.int32)
    labels[0, 0] = 1
    labels[39, 20:31] = 2
    labels[5:18, 52] = 3
    labels[np.arange(4, 11), np.arange(4, 11)] = 4
    labels[14:23, 3:14] = 5
    labels[16:21, 5:11] = 0
    labels[18, 8] = 6
    labels[25:32, 20:27] = 9
    labels[27, 22] = labels[28, 23] = 0
    labels[3, 20:24] = labels[9, 30:34] = 12
    labels[30:39, 35:50] = np.tri(9, 15, 4, dtype=np.int32) * 14
    labels[2:6, 40:44] = 15
    labels[2:6, 44:48] = 16
    labels[12, 30] = labels[13, 31] = 17
    return labels
