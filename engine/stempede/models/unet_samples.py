"""What the U-Net learns from: tiles with their masks and distances, simulated or a user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stempede.inference import standardised
from stempede.models.unet import DISTANCE_UNIT_PX
from stempede.simulate.scenes import scene
from stempede_kernels.distance import distance

# what the frame around a tile does to its level and spread
_LEVEL_SD, _LOG_SPREAD_SD = 0.25, 0.35
_GAMMA = 0.25


@dataclass(frozen=True)
class Tiles:
    """Tiles and their answers.

    Parameters
    ----------
    images : (n, s, s) float32 tensor
        Standardised; particles bright.
    masks : (n, s, s) bool tensor
    distances : (n, s, s) float32 tensor
        To the particle's own outline, in units of ``DISTANCE_UNIT_PX``.
    """

    images: Tensor
    masks: Tensor
    distances: Tensor

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def of(cls, images: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> Tiles:
        """Stack standardised (s, s) images with their (s, s) labels."""
        every = np.stack(labels)
        return cls(
            torch.from_numpy(np.stack(images).astype(np.float32)),
            torch.from_numpy(every > 0),
            torch.from_numpy(inner_distance(every) / np.float32(DISTANCE_UNIT_PX)),
        )


def inner_distance(labels: np.ndarray) -> np.ndarray:
    """Return the distance of each pixel of (b, y, x) labels to its particle's outline, px.

    0 outside. Where particles touch, their outlines are the pixels on both sides; the rim of
    a tile is none.
    """
    inside = labels > 0
    for axis in (1, 2):
        one, two = np.moveaxis(labels, axis, 0), np.moveaxis(inside, axis, 0)
        meet = one[1:] != one[:-1]
        two[1:] &= ~meet | (one[:-1] == 0)
        two[:-1] &= ~meet | (one[1:] == 0)
    found = np.asarray(distance(inside), np.float32)
    # without background the kernel says infinity; such a tile lies inside one particle
    return np.where(np.isfinite(found), found, np.float32(labels.shape[1]))


def simulated(
    n: int, size_px: int, *, first: int, seed: int, progress: Callable[[int], None] | None = None
) -> Tiles:
    """Draw scenes ``first`` to ``first + n - 1`` of a seed as tiles.

    Parameters
    ----------
    n, size_px : int
        Number and side.
    first, seed : int
        Which scenes.
    progress : callable, optional
        Called with 1 after each scene.
    """
    images, labels = [], []
    for number in range(first, first + n):
        drawn = scene(size_px, number, seed)
        every = np.ones(drawn.image.shape, bool)
        images.append(standardised(drawn.image, every))
        labels.append(drawn.labels)
        if progress is not None:
            progress(1)
    return Tiles.of(images, labels)


def varied(images: Tensor) -> Tensor:
    """Return tiles with the level, spread and bend of contrast of other frames around them."""
    shape = (len(images), 1, 1)
    bend = torch.exp(_GAMMA * torch.randn(shape)).to(images.device)
    spread = torch.exp(_LOG_SPREAD_SD * torch.randn(shape)).to(images.device)
    level = _LEVEL_SD * torch.randn(shape).to(images.device)
    bent = images.sign() * images.abs() ** bend
    return bent * spread + level


def turned(tiles: Tiles, rows: Tensor, symmetry: int) -> Tiles:
    """Return some tiles, turned by quarters (0 to 3) or turned and mirrored (4 to 7)."""
    parts = []
    for part in (tiles.images, tiles.masks, tiles.distances):
        some = torch.rot90(part[rows], symmetry % 4, (1, 2))
        parts.append(some.flip(2) if symmetry >= 4 else some)
    return Tiles(*parts)
