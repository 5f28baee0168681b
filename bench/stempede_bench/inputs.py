"""The frames that cases share: simulated 2048 x 2048 bright field, about 400 particles."""

from __future__ import annotations

from functools import cache

import numpy as np


@cache
def simulated(n_frames: int = 2, side: int = 2048) -> tuple[np.ndarray, np.ndarray]:
    """Return ``n_frames`` simulated frames and their true label maps.

    Returns
    -------
    images : (n, side, side) uint16 array
        Counts.
    labels : (n, side, side) int32 array
        True particles, 1 ... n per frame.
    """
    from stempede.simulate.micrograph import Population, frames

    population = Population(
        height_px=side,
        width_px=side,
        pixel_size_nm=0.2,
        count=400 * side**2 / 2048**2,
        shapes="cube:0.4,disc:0.3,ellipse:0.2,star:0.1",
    )
    rendered = list(frames(population, n_frames, seed=7))
    images = np.stack([image for image, _, _ in rendered])
    labels = np.stack([label for _, label, _ in rendered])
    return images, labels
