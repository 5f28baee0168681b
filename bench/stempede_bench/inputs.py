"""The frames that cases share: simulated bright field, about 400 particles on 2048 x 2048."""

from __future__ import annotations

from functools import cache

import numpy as np

from stempede_bench.contract import USUAL, Scene


@cache
def simulated(scene: Scene = USUAL) -> tuple[np.ndarray, np.ndarray]:
    """Return the simulated frames of a scene and their true label maps.

    Returns
    -------
    images : (batch, side, side) uint16 array
        Counts.
    labels : (batch, side, side) int32 array
        True particles, 1 ... n per frame.
    """
    from stempede.simulate.micrograph import Population, frames

    dense = 400 * scene.side**2 / 2048**2
    population = Population(
        height_px=scene.side,
        width_px=scene.side,
        pixel_size_nm=0.2,
        count=dense if scene.count is None else scene.count,
        shapes="cube:0.4,disc:0.3,ellipse:0.2,star:0.1",
    )
    rendered = list(frames(population, scene.batch, seed=7))
    images = np.stack([image for image, _, _ in rendered])
    labels = np.stack([label for _, label, _ in rendered])
    return images, labels


def particles(scene: Scene) -> int:
    """Return the true particles of all frames of a scene."""
    return int(simulated(scene)[1].max(axis=(1, 2)).sum())
