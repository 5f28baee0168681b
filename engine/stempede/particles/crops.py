"""Crops: every accepted particle in a square of one size, on the device."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from stempede.errors import InputError
from stempede.frames import Batch
from stempede_kernels.crops import cut, paint

STAGE = "particles.crops"

_MOST_SUBSAMPLES = 8
_BLOCK_SAMPLES = 1 << 21
_FEWEST_BACKGROUND = 16
# a point counts if at least half of what it is interpolated from is not foreign
_LEAST_WEIGHT = np.float32(0.5)
_ROUNDING = 1e-5


def crops(batch: Batch, size: int, *, margin: float = 0.15) -> Any:
    """Return accepted particles at one size, aspect kept, everything foreign painted over.

    A square window around the middle of the bounding box, its side the box's longer side and
    the margins, is resampled to the crop: bilinear, and averaged over a grid of up to 8 x 8
    points per crop pixel where the window is larger than the crop. Pixels of other regions,
    outside the frame or not valid do not enter; where nothing else is left stands normal noise
    with the mean and standard deviation of the crop's own background (of the frame's, where
    fewer than 16 pixels of it are seen). The noise is a hash of image, particle and pixel: the
    same whatever else is in the batch, on every device.

    Parameters
    ----------
    batch : Batch
        With maps ``labels`` and ``valid`` and the table ``particles``.
    size : int
        Side of the crops in pixels.
    margin : float
        Share of the box's longer side that is added on each side.

    Returns
    -------
    (n, size, size) float32 array
        On the batch's device, in units of its images, in the order of the accepted rows.

    Raises
    ------
    InputError
        If the size is below 4 or the margin negative.
    """
    if size < 4 or margin < 0:
        raise InputError(
            f"crops want size >= 4 and margin >= 0; found {size} and {margin:g}; correct them"
        )
    windows = _Windows.of(batch, size, margin)
    return _by_arrays(batch, windows) if batch.backend.is_gpu else _by_kernel(batch, windows)


def _by_kernel(batch: Batch, windows: _Windows) -> np.ndarray:
    """Cut on the host, window by window."""
    place = np.stack([windows.position, windows.label, windows.subsamples], axis=1)
    window = np.stack([windows.y, windows.x, windows.step], axis=1)
    labels, valid = batch.maps["labels"], batch.maps["valid"]
    found = cut(batch.images, labels, valid, place.astype(np.int64), window, windows.size)
    crowded = np.flatnonzero((found.support[:, 0] < _FEWEST_BACKGROUND) & found.missing.any((1, 2)))
    for position in np.unique(windows.position[crowded]).tolist():
        pixels = _support(batch, position)
        rows = crowded[windows.position[crowded] == position]
        found.support[rows, 1:] = pixels.mean(), pixels.std()
    return paint(found, _seeds(windows))


def _support(batch: Batch, position: int) -> Any:
    """Return the background pixels of a frame; all of them where there are none."""
    image = batch.images[position]
    free = image[(batch.maps["labels"][position] == 0) & batch.maps["valid"][position]]
    return free if free.size else image.ravel()


def _seeds(windows: _Windows) -> np.ndarray:
    """Return (n,) uint32: a hash of image and particle."""
    seeds: np.ndarray = _mix(_mix(windows.image) + windows.particle.astype(np.uint32))
    return seeds


def _by_arrays(batch: Batch, windows: _Windows) -> Any:
    """Cut with array functions, on the batch's device: what the kernel does, many at a time."""
    size = windows.size
    out = batch.backend.xp.zeros((len(windows.label), size, size), np.float32)
    for rows in windows.blocks():
        out[batch.backend.upload(rows, STAGE)] = _cut(batch, windows.take(rows), size)
    return out


@dataclass(frozen=True)
class _Windows:
    """Square windows, one per accepted particle; all (n,) arrays on the host."""

    position: np.ndarray
    image: np.ndarray
    particle: np.ndarray
    label: np.ndarray
    y: np.ndarray
    x: np.ndarray
    step: np.ndarray
    size: int

    @classmethod
    def of(cls, batch: Batch, size: int, margin: float) -> _Windows:
        table = batch.tables["particles"]
        host = {
            name: batch.backend.download(table[name], STAGE)
            for name in ("accepted", "frame", "particle", "label")
        }
        box = [
            batch.backend.download(table[f"bbox_{c}_px"], STAGE) for c in ("y0", "x0", "y1", "x1")
        ]
        rows = np.flatnonzero(host["accepted"])
        y0, x0, y1, x1 = (column[rows].astype(np.float64) for column in box)
        place = {number: k for k, number in enumerate(batch.frames.tolist())}
        position = np.array([place[number] for number in host["frame"][rows].tolist()], np.int64)
        # by name and page: the number of a frame depends on the order in which files came
        names = [f"{PurePosixPath(r.source).name} {r.page}" for r in batch.records]
        image = np.array([zlib.crc32(name.encode()) for name in names], np.uint32)
        return cls(
            position=position,
            image=image[position],
            particle=host["particle"][rows],
            label=host["label"][rows],
            y=(y0 + y1 - 1) / 2,
            x=(x0 + x1 - 1) / 2,
            step=np.maximum(y1 - y0, x1 - x0) * (1 + 2 * margin) / size,
            size=size,
        )

    @property
    def subsamples(self) -> np.ndarray:
        """Points per crop pixel and axis, about one per image pixel."""
        return np.clip(np.ceil(self.step), 1, _MOST_SUBSAMPLES).astype(np.int64)

    def blocks(self) -> list[np.ndarray]:
        """Return row numbers of windows with one number of subsamples, few enough at a time."""
        blocks: list[np.ndarray] = []
        for k in np.unique(self.subsamples).tolist():
            rows = np.flatnonzero(self.subsamples == k)
            length = max(1, _BLOCK_SAMPLES // (self.size * k) ** 2)
            blocks += [rows[i : i + length] for i in range(0, len(rows), length)]
        return blocks

    def take(self, rows: np.ndarray) -> _Windows:
        """Return some of the windows."""
        names = ("position", "image", "particle", "label", "y", "x", "step")
        return _Windows(**{name: getattr(self, name)[rows] for name in names}, size=self.size)


def _cut(batch: Batch, windows: _Windows, size: int) -> Any:
    """Resample windows of one number of subsamples and paint over what is foreign."""
    xp, k = batch.backend.xp, int(windows.subsamples[0])
    offsets = ((np.arange(size * k) + 0.5) / k - size / 2) * windows.step[:, None]
    value, weight, background = _sample(
        batch, windows, windows.y[:, None] + offsets, windows.x[:, None] + offsets
    )
    keep = weight >= _LEAST_WEIGHT
    value = xp.where(keep, value / xp.maximum(weight, _LEAST_WEIGHT), np.float32(0))
    blocks = (len(value), size, k, size, k)
    count = keep.reshape(blocks).sum(axis=(2, 4))
    mean = value.reshape(blocks).sum(axis=(2, 4)) / xp.maximum(count, 1)
    pure = (background > 1 - _ROUNDING).reshape(blocks).all(axis=(2, 4))
    return xp.where(count > 0, mean, _rim(batch, windows, mean, pure)).astype(np.float32)


def _sample(batch: Batch, windows: _Windows, y: np.ndarray, x: np.ndarray) -> tuple[Any, Any, Any]:
    """Sum the four neighbours of each point that are not foreign, by their bilinear weights.

    Parameters
    ----------
    y, x : (n, p) float64 arrays
        Rows and columns of the points.

    Returns
    -------
    value, weight, background : (n, p, p) float32 arrays
        Weighted sum, sum of weights, and sum of the weights of background pixels.
    """
    xp, images = batch.backend.xp, batch.images
    at = batch.backend.upload(windows.position, STAGE)[:, None, None]
    own = batch.backend.upload(windows.label, STAGE)[:, None, None]
    value = xp.zeros((len(y), y.shape[1], x.shape[1]), np.float32)
    weight, background = xp.zeros_like(value), xp.zeros_like(value)
    sides = [
        [[batch.backend.upload(part, STAGE) for part in side] for side in _neighbours(axis, n)]
        for axis, n in zip((y, x), images.shape[1:])
    ]
    for row, share_y in sides[0]:
        for column, share_x in sides[1]:
            place = (at, row[:, :, None], column[:, None, :])
            label, share = batch.maps["labels"][place], share_y[:, :, None] * share_x[:, None, :]
            support = share * ((label == 0) & batch.maps["valid"][place])
            share = share * (label == own) + support
            value += share * images[place]
            weight += share
            background += support
    return value, weight, background


def _neighbours(at: np.ndarray, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the pixel before and after each coordinate with its weight, 0 outside 0 … n - 1."""
    low = np.floor(at)
    sides = [(low, low + 1 - at), (low + 1, at - low)]
    return [
        (
            np.clip(pixel, 0, n - 1).astype(np.int64),
            np.where((pixel >= 0) & (pixel < n), share, 0).astype(np.float32),
        )
        for pixel, share in sides
    ]


def _rim(batch: Batch, windows: _Windows, crop: Any, background: Any) -> Any:
    """Return (n, size, size) noise with mean and spread of each crop's background."""
    xp = batch.backend.xp
    n = background.sum(axis=(1, 2))
    mean = xp.where(background, crop, 0).sum(axis=(1, 2)) / xp.maximum(n, 1)
    away = xp.where(background, crop - mean[:, None, None], 0)
    spread = xp.sqrt((away**2).sum(axis=(1, 2)) / xp.maximum(n - 1, 1))
    crowded = np.flatnonzero(batch.backend.download(n, STAGE) < _FEWEST_BACKGROUND)
    for position in np.unique(windows.position[crowded]).tolist():
        pixels = _support(batch, position)
        rows = crowded[windows.position[crowded] == position]
        mean[rows], spread[rows] = pixels.mean(), pixels.std()
    noise = _normal(batch, windows)
    return mean[:, None, None] + spread[:, None, None] * noise


def _normal(batch: Batch, windows: _Windows) -> Any:
    """Return (n, size, size) standard normal numbers: a hash of image, particle and pixel."""
    xp, size = batch.backend.xp, windows.size
    pixel = xp.arange(size * size, dtype=np.uint32).reshape(1, size, size)
    seed = batch.backend.upload(_seeds(windows), STAGE)[:, None, None]
    two = np.uint32(2)
    radius = (_mix(seed + pixel * two).astype(np.float64) + 0.5) / 2**32
    angle = _mix(seed + pixel * two + np.uint32(1)).astype(np.float64) / 2**32
    return xp.sqrt(-2 * xp.log(radius)) * xp.cos(2 * np.pi * angle)


def _mix(value: Any) -> Any:
    """Return the bits of unsigned 32-bit numbers well mixed (Wellons, lowbias32)."""
    value = value ^ (value >> np.uint32(16))
    value = value * np.uint32(0x7FEB352D)
    value = value ^ (value >> np.uint32(15))
    value = value * np.uint32(0x846CA68B)
    return value ^ (value >> np.uint32(16))
