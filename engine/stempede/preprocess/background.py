"""Background: the slow course of illumination and support, taken off each frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stempede.frames import Batch

BLOCKS = 48
ROUNDS = 6


@dataclass(frozen=True)
class Background:
    """Subtract a smooth surface fitted robustly to block medians.

    The surface is a polynomial over the whole frame, so that it cannot follow a particle
    however large; what varies faster than that is left to the local contrast that the
    segmentation measures at each boundary.

    Parameters
    ----------
    order : int
        Total order of the polynomial, 0 to 4; 0 takes off a level alone.
    """

    order: int = 2

    name: ClassVar[str] = "preprocess.background"
    reads: ClassVar[tuple[str, ...]] = ("images", "valid")
    writes: ClassVar[tuple[str, ...]] = ("images", "frames")

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with flat images; ``frames.background`` holds the level in counts."""
        xp = batch.backend.xp
        valid = batch.maps["valid"]
        images, levels = xp.empty_like(batch.images), []
        for k, image in enumerate(batch.images):
            images[k], level = flatten(image, valid[k], self.order, xp)
            levels.append(level)
        frames = batch.tables["frames"].with_columns({"background": np.array(levels)})
        return batch.with_(images=images, tables={"frames": frames})


def flatten(image: Any, valid: Any, order: int, xp: Any = np) -> tuple[Any, float]:
    """Return a (y, x) image less its surface, and the surface's median.

    Pixels that are not valid become 0.
    """
    values, ys, xs = block_means(image, valid, xp)
    h, w = image.shape
    terms = [(i, j) for i in range(order + 1) for j in range(order + 1 - i)]
    if len(values) < 3 * len(terms):
        terms = [(0, 0)]
    y, x = 2 * ys / max(h - 1, 1) - 1, 2 * xs / max(w - 1, 1) - 1
    design = np.stack([y**i * x**j for i, j in terms], axis=1)
    weights = robust_fit(design, values)
    level = float(np.median(design @ weights)) if len(values) else 0.0
    row = xp.asarray(2 * np.arange(h) / max(h - 1, 1) - 1, dtype=xp.float32)
    column = xp.asarray(2 * np.arange(w) / max(w - 1, 1) - 1, dtype=xp.float32)
    flat = image.copy()
    for i in range(order + 1):
        # one pass over the frame for each power of y
        along = sum(
            (np.float32(c) * column**j for (p, j), c in zip(terms, weights) if p == i),
            xp.zeros(w, xp.float32),
        )
        flat -= (row**i)[:, None] * along[None, :]
    flat *= valid
    return flat, level


def block_means(image: Any, valid: Any, xp: Any = np) -> tuple[np.ndarray, ...]:
    """Return means and (y, x) centres of the blocks that are mostly valid, on the host."""
    h, w = image.shape
    size = max(1, min(h, w) // BLOCKS)
    rows, columns = h // size, w // size
    shape = (rows, size, columns, size)
    sums = (image[: rows * size, : columns * size] * 1.0).reshape(shape).sum(axis=3).sum(axis=1)
    share = valid[: rows * size, : columns * size].reshape(shape).sum(axis=3).sum(axis=1)
    share = share / size**2
    means = xp.stack([sums / size**2, share])
    means, share = np.asarray(means.get() if hasattr(means, "get") else means, np.float64)
    ys, xs = np.indices((rows, columns)) * size + (size - 1) / 2
    whole = share > 0.99
    return means[whole], ys[whole], xs[whole]


def robust_fit(design: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the coefficients of a Tukey biweight fit, from a least-absolute start.

    Parameters
    ----------
    design : (n, k) float64 array
    values : (n,) float64 array
    """
    if not len(values):
        return np.zeros(design.shape[1])
    share = np.ones(len(values))
    weights = np.zeros(design.shape[1])
    for turn in range(2 * ROUNDS):
        root = np.sqrt(share)[:, None]
        weights = np.linalg.lstsq(design * root, values * root[:, 0], rcond=None)[0]
        away = np.abs(values - design @ weights)
        sigma = max(1.4826 * float(np.median(away)), 1e-9 * float(np.ptp(values)), 1e-30)
        if turn < ROUNDS:
            share = sigma / np.maximum(away, 0.1 * sigma)
        else:
            share = np.clip(1 - (away / (4 * sigma)) ** 2, 0, None) ** 2
    return weights
