"""Windows: tiles, blocks and neighbours in a frame, quantiles, interpolation between centres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

FEWEST = 16
# side, in blocks, of the tiles that stand for a large frame
TILE = 512


def masked_quantiles(
    values: Any, known: Any, side: int, quantiles: Sequence[float], xp: Any = np
) -> tuple[list[Any], tuple[int, int]]:
    """Return quantiles of the known values in blocks of about ``side`` px, and the block size.

    Every other row is looked at. A block with fewer than 16 known values gives NaN.

    Parameters
    ----------
    values : (y, x) float32 array
    known : (y, x) bool array

    Returns
    -------
    list of (rows, columns) float32 array
    (int, int)
    """
    h, w = values.shape
    rows, columns = max(1, round(h / side)), max(1, round(w / side))
    high, wide = -(-h // rows), -(-w // columns)
    values = xp.where(known, values, np.float32(np.nan))
    values = xp.pad(values, ((0, rows * high - h), (0, columns * wide - w)), constant_values=np.nan)
    blocks = values.reshape(rows, high, columns, wide)[:, ::2].transpose(0, 2, 1, 3)
    ranked = xp.sort(blocks.reshape(rows, columns, -1), axis=-1)
    # NaN sorts last
    count = xp.isfinite(ranked).sum(axis=-1)
    found = []
    for quantile in quantiles:
        at = (xp.maximum(count - 1, 0) * quantile).astype(int)[..., None]
        value = xp.take_along_axis(ranked, at, axis=-1)[..., 0]
        found.append(xp.where(count >= FEWEST, value, np.float32(np.nan)))
    return found, (high, wide)


def stretch(coarse: Any, block: tuple[int, int], shape: tuple[int, int], xp: Any = np) -> Any:
    """Interpolate block centres linearly to a (y, x) frame; flat beyond the outer centres."""
    for axis, (size, length) in enumerate(zip(block, shape)):
        n = coarse.shape[axis]
        at = xp.clip((xp.arange(length) + 0.5) / size - 0.5, 0, n - 1)
        low = xp.minimum(at.astype(int), max(n - 2, 0))
        share = (at - low).astype(xp.float32)
        share = share[:, None] if axis == 0 else share[None, :]
        upper = xp.take(coarse, xp.minimum(low + 1, n - 1), axis=axis)
        coarse = xp.take(coarse, low, axis=axis) * (1 - share) + upper * share
    return coarse


def grow(labels: Any, xp: Any = np) -> Any:
    """Return (y, x) labels grown by one pixel over the background, corners included.

    Of two that meet there the greater is taken.
    """
    tall = labels.copy()
    xp.maximum(tall[1:], labels[:-1], out=tall[1:])
    xp.maximum(tall[:-1], labels[1:], out=tall[:-1])
    wide = tall.copy()
    xp.maximum(wide[:, 1:], tall[:, :-1], out=wide[:, 1:])
    xp.maximum(wide[:, :-1], tall[:, 1:], out=wide[:, :-1])
    return xp.where(labels > 0, labels, wide)


def sample_tiles(shape: tuple[int, int], factor: int) -> list[tuple[slice, slice]]:
    """Return the tiles on which a view is judged: the frame, or four in its quarters' middles."""
    side = TILE * factor
    if shape[0] * shape[1] <= 4 * side**2:
        return [(slice(0, shape[0]), slice(0, shape[1]))]
    cuts = []
    for length in shape:
        size = min(side, length // 2)
        cuts.append(
            [slice(m - size // 2, m - size // 2 + size) for m in (length // 4, 3 * length // 4)]
        )
    return [(rows, columns) for rows in cuts[0] for columns in cuts[1]]
