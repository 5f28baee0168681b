"""Train the U-Net; the same seed gives the same weights, interrupted or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from stempede.models import checkpoint
from stempede.models.course import News, choose_place, hold, one_cycle, take_step
from stempede.models.unet import STRIDE, UNet
from stempede.models.unet_samples import Tiles, simulated, turned, varied

_DECAY, _LARGEST_GRADIENT = 1e-3, 2.0
# a pixel inside counts this many times one outside: at 0.75, the threshold of the study, it is
# then one with a probability of 0.6
_INSIDE_WEIGHT = 2.0
# a pixel between two particles counts this much more than one in the open
_GAP_WEIGHT = 5.0
_DISTANCE_WEIGHT = 1.0
# epochs that see the same scenes, each time turned and varied: drawing takes as long as learning
_SHARED = 5
# scenes of the part that chooses the epoch; their numbers lie beyond any that trains
_CHOOSING, _CHOOSING_FIRST = 64, 1 << 30


@dataclass(frozen=True)
class UNetTraining:
    """What decides the weights.

    Parameters
    ----------
    base : int
        Channels of the first block.
    tiles : int
        Tiles in each epoch.
    epochs : int
        Passes.
    tile_px : int
        Side of a tile, a multiple of 16.
    batch : int
        Tiles per step.
    peak_rate : float
        Largest learning rate.
    seed : int
        Seed of scenes, first weights, order and dropout.
    """

    base: int = 16
    tiles: int = 800
    epochs: int = 20
    tile_px: int = 128
    batch: int = 8
    peak_rate: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"base": 1, "tiles": 1, "epochs": 1, "tile_px": STRIDE, "batch": 1, "seed": 0}
        wrong = []
        if self.tile_px % STRIDE:
            wrong.append(f"tile_px a multiple of {STRIDE} (found {self.tile_px})")
        hold(self, least, wrong)


Source = Callable[[int], Tiles]
"""Gives the tiles of an epoch."""


@dataclass(frozen=True)
class TrainedUNet:
    """A trained network, its learning curve (one row per epoch), and what it took."""

    network: UNet
    history: list[dict[str, float]]
    wall_s: float
    cpu_s: float
    device: str


def train_on_simulation(
    training: UNetTraining, folder: Path, *, device: str = "auto", news: News
) -> TrainedUNet:
    """Train on scenes alone, or go on where such a training stopped.

    Parameters
    ----------
    training : UNetTraining
    folder : Path
        Where ``checkpoint.npz`` lies after each epoch.
    device : {"auto", "cpu", "gpu"}
    news : callable
        See ``course.News``.
    """
    kept: dict[int, Tiles] = {}

    def draw(epoch: int) -> Tiles:
        first = epoch // _SHARED * training.tiles
        if first not in kept:
            kept.clear()
            kept[first] = simulated(
                training.tiles, training.tile_px, first=first, seed=training.seed
            )
        return kept[first]

    choosing = simulated(_CHOOSING, training.tile_px, first=_CHOOSING_FIRST, seed=training.seed)
    return train(training, UNet(training.base), draw, choosing, folder, device=device, news=news)


def train(
    training: UNetTraining,
    network: UNet,
    source: Source,
    choosing: Tiles | None,
    folder: Path,
    *,
    device: str = "auto",
    news: News,
    about: dict[str, Any] | None = None,
) -> TrainedUNet:
    """Train a network; the weights of the epoch that does best on ``choosing`` are kept.

    Parameters
    ----------
    training : UNetTraining
    network : UNet
        First weights, where ``about`` says where they come from.
    source : callable
        See ``Source``.
    choosing : Tiles or None
        Tiles that do not train; without them the last epoch is kept.
    folder : Path
        Of ``checkpoint.npz``.
    device, news
        As in ``train_on_simulation``.
    about : dict, optional
        What else decides the weights; a checkpoint that says otherwise is refused.
    """
    place = choose_place(device)
    torch.manual_seed(training.seed)
    if about is None:
        network = UNet(training.base)
    network = network.to(place, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), training.peak_rate, weight_decay=_DECAY)
    facts = {**asdict(training), **(about or {})}
    state = checkpoint.Progress.resume(folder, facts, network, optimiser)
    for epoch in range(state.epoch, training.epochs):
        loss = _epoch(network, optimiser, source(epoch), training, epoch)
        held = judge(network, choosing) if choosing is not None else {"loss": -float(epoch)}
        row = {"epoch": epoch + 1, "train_loss": loss, **held}
        state = state.after(row, network, optimiser)
        remark = f"loss {loss:.3f}"
        if choosing is not None:
            remark += f", on tiles not trained on {row['loss']:.3f}, Jaccard {row['jaccard']:.3f}"
        news("training", epoch + 1, training.epochs, remark)
    network.load_state_dict(state.best)
    network = network.cpu().eval()
    return TrainedUNet(network, state.history, *state.spent(), place)


def _epoch(
    network: UNet,
    optimiser: torch.optim.Optimizer,
    tiles: Tiles,
    training: UNetTraining,
    epoch: int,
) -> float:
    """Take a step per batch; return the mean loss."""
    # from seed and epoch alone: a resumed training goes on as if never stopped
    torch.manual_seed(training.seed * 100_003 + epoch)
    network.train()
    place = next(network.parameters()).device
    order = torch.randperm(len(tiles))
    steps = max(1, len(tiles) // training.batch)
    total = 0.0
    for k in range(steps):
        rows = order[k * training.batch : (k + 1) * training.batch]
        turn, mirror = int(torch.randint(4, (1,))), int(torch.rand(1) < 0.5)
        some = turned(tiles, rows, turn + 4 * mirror)
        with torch.autocast(place.type, torch.bfloat16, enabled=_has_bfloat16(place)):
            raw = network.raw(varied(some.images)[:, None].to(place))
        raw = raw.float()
        loss = miss(raw, some.masks.to(place), some.distances.to(place))
        share = one_cycle(epoch * steps + k, training.epochs * steps)
        rate = training.peak_rate * share
        total += take_step(optimiser, loss, rate, _LARGEST_GRADIENT)
    return total / steps


def _has_bfloat16(place: torch.device) -> bool:
    """Return whether a device is faster with 16-bit numbers than with 32-bit ones."""
    if place.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def miss(raw: Tensor, masks: Tensor, distances: Tensor) -> Tensor:
    """Return the loss of (n, 2, s, s) raw answers.

    Cross entropy of the mask, more inside and in narrow gaps; one less the overlap of all tiles
    together (Dice); and how far the distance is off, inside particles and just beside them.
    """
    truth = masks.float()
    # closed over 7 px: what is filled lies between particles
    wide = functional.max_pool2d(truth[:, None], 7, 1, 3)
    gap = (1 - functional.max_pool2d(1 - wide, 7, 1, 3)[:, 0]) * (1 - truth)
    weight = 1 + _GAP_WEIGHT * gap + (_INSIDE_WEIGHT - 1) * truth
    entropy = functional.binary_cross_entropy_with_logits(raw[:, 0], truth, weight)
    found = torch.sigmoid(raw[:, 0])
    dice = 1 - (2 * (found * truth).sum() + 1) / (found.sum() + truth.sum() + 1)
    near = wide[:, 0]
    # relu as in the answer, but with a slope below 0, where it would stop learning
    depth = functional.leaky_relu(raw[:, 1], 0.1)
    off = functional.smooth_l1_loss(depth, distances, reduction="none", beta=0.25)
    return entropy + 0.5 * dice + _DISTANCE_WEIGHT * (off * near).sum() / (near.sum() + 1)


def judge(network: UNet, tiles: Tiles, batch: int = 16) -> dict[str, float]:
    """Return mean loss and the Jaccard index of all pixels at 0.75 on tiles that do not train."""
    network.eval()
    place = next(network.parameters()).device
    losses, both, either = [], 0, 0
    with torch.inference_mode():
        for start in range(0, len(tiles), batch):
            rows = slice(start, start + batch)
            raw = network.raw(tiles.images[rows][:, None].to(place))
            masks = tiles.masks[rows].to(place)
            losses.append(miss(raw, masks, tiles.distances[rows].to(place)).item())
            found = torch.sigmoid(raw[:, 0]) >= 0.75
            both += int((found & masks).sum())
            either += int((found | masks).sum())
    return {"loss": sum(losses) / len(losses), "jaccard": both / max(either, 1)}
