"""What the shape network learns from: simulated crops in polar form, split once and for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stempede.models.shapenet import LOG_P, PolarView
from stempede.simulate.crops import BLOCK, Crops, training_crops

SPLIT = (0.7, 0.1, 0.2)
"""Shares that train, choose and judge; whole blocks of crops, so that none shares its raster."""

_AT_ONCE = 32 * BLOCK


@dataclass(frozen=True)
class Samples:
    """Crops as the network's body sees them, with the answers.

    Parameters
    ----------
    polar : (n, radii, angles) float16 tensor
    numbers : (n, 4) float32 tensor
    component : (n,) int64 tensor
        Which of the twelve components is true.
    log_p, log_l : (n,) float32 tensors
    """

    polar: Tensor
    numbers: Tensor
    component: Tensor
    log_p: Tensor
    log_l: Tensor

    def __len__(self) -> int:
        return len(self.component)

    def to(self, device: str) -> Samples:
        """Return the same samples on a device."""
        return Samples(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def parts(n: int) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Return (first crop, number of crops) of the training, choosing and judging part of n."""
    blocks = -(-n // BLOCK)
    train = max(1, round(SPLIT[0] * blocks))
    choose = max(1, round(SPLIT[1] * blocks))
    one, two = min(train * BLOCK, n), min((train + choose) * BLOCK, n)
    return (0, one), (one, two - one), (two, n - two)


def draw(
    first: int, n: int, *, seed: int, progress: Callable[[int], None] | None = None
) -> Samples:
    """Draw crops of a series and keep what the network's body needs of them.

    Parameters
    ----------
    first, n : int
        Which crops.
    seed : int
        Seed of the series.
    progress : callable, optional
        Called with the number of crops each time some are done.
    """
    view = PolarView().eval()
    maps, numbers, truths = [], [], []
    for start in range(first, first + n, _AT_ONCE):
        crops = training_crops(min(_AT_ONCE, first + n - start), seed=seed, first=start)
        with torch.inference_mode():
            for at in range(0, len(crops), 256):
                polar, four = view(torch.from_numpy(crops.images[at : at + 256]))
                maps.append(polar.half())
                numbers.append(four)
        truths.append(answers(crops))
        if progress is not None:
            progress(len(crops))
    component, log_p, log_l = (torch.cat(column) for column in zip(*truths))
    return Samples(torch.cat(maps).clone(), torch.cat(numbers).clone(), component, log_p, log_l)


def answers(crops: Crops) -> tuple[Tensor, Tensor, Tensor]:
    """Return the true component, log p and log L of crops, (n,) each."""
    log_p = torch.from_numpy(np.log(crops.p)).float()
    component = 2 * (torch.from_numpy(crops.d).long() - 1) + (log_p >= LOG_P[1]).long()
    return component, log_p, torch.from_numpy(np.log(crops.l_ratio)).float()
