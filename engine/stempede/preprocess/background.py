"""Background: the slow course of illumination and support, taken off each frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stempede.frames import Batch

BLOCKS = 48
ROUNDS = 6
# rows written together, so that the surface stays in the cache
ROWS = 64


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
            _, level = flatten(image, valid[k], self.order, xp, out=images[k])
            levels.append(level)
        frames = batch.tables["frames"].with_columns({"background": np.array(levels)})
        return batch.with_(images=images, tables={"frames": frames})


def flatten(image: Any, valid: Any, order: int, xp: Any = np, out: Any = None) -> tuple[Any, float]:
    """Return a (y, x) image less its surface, in ``out`` if given, and the surface's median.

    Pixels that are not valid become 0.
    """
    flat = xp.empty_like(image) if out is None else out
    values, ys, xs = block_means(image, valid, xp)
    h, w = image.shape
    terms = [(i, j) for i in range(order + 1) for j in range(order + 1 - i)]
    if len(values) < 3 * len(terms):
        terms = [(0, 0)]
    y, x = 2 * ys / max(h - 1, 1) - 1, 2 * xs / max(w - 1, 1) - 1
    design = np.stack([y**i * x**j for i, j in terms], axis=1)
    weights = robust_fit(design, values)
    by_power = np.zeros((order + 1, order + 1))
    for (i, j), weight in zip(terms, weights):
        by_power[i, j] = weight
    powers = np.arange(order + 1)
    row = (2 * np.arange(h) / max(h - 1, 1) - 1)[:, None] ** powers
    column = (2 * np.arange(w) / max(w - 1, 1) - 1)[:, None] ** powers
    along_y = xp.asarray(row, dtype=xp.float32)
    along_x = xp.asarray(by_power @ column.T, dtype=xp.float32)
    # a GPU takes the frame at once
    rows = ROWS if xp is np else h
    for top in range(0, h, rows):
        part = slice(top, top + rows)
        xp.subtract(image[part], along_y[part] @ along_x, out=flat[part])
    if not valid.all():
        flat *= valid
    return flat, float(np.median(design @ weights)) if len(values) else 0.0


def block_means(image: Any, valid: Any, xp: Any = np) -> tuple[np.ndarray, ...]:
    """Return means and (y, x) centres of the blocks that are mostly valid, on the host."""
    h, w = image.shape
    size = max(1, min(h, w) // BLOCKS)
    rows, columns = h // size, w // size
    whole = np.ones((rows, columns), bool)
    if not valid.all():
        whole = _on_host(_block_sums(valid, size, xp)) > 0.99 * size**2
    means = _on_host(_block_sums(image, size, xp)).astype(np.float64) / size**2
    ys, xs = np.indices((rows, columns)) * size + (size - 1) / 2
    return means[whole], ys[whole], xs[whole]


def _block_sums(values: Any, size: int, xp: Any) -> Any:
    """Return float32 sums over blocks of a (y, x) array; a rim that fills no block is cut."""
    rows, columns = values.shape[0] // size, values.shape[1] // size
    cut = values[: rows * size, : columns * size].reshape(rows, size, columns * size)
    along = cut.sum(axis=1, dtype=xp.float32)
    return along.reshape(rows, columns, size).sum(axis=2)


def _on_host(array: Any) -> np.ndarray:
    return np.asarray(array.get() if hasattr(array, "get") else array)


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
        # powers of numbers between -1 and 1 are far enough from dependent to be squared
        shared = design.T * share
        weights = np.linalg.lstsq(shared @ design, shared @ values, rcond=None)[0]
        away = np.abs(values - design @ weights)
        sigma = max(1.4826 * float(np.median(away)), 1e-9 * float(np.ptp(values)), 1e-30)
        if turn < ROUNDS:
            share = sigma / np.maximum(away, 0.1 * sigma)
        else:
            share = np.clip(1 - (away / (4 * sigma)) ** 2, 0, None) ** 2
    return weights
