"""Train the denoiser on simulated lattices; the same seed gives the same weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stempede.models import checkpoint
from stempede.models.course import News, hold, one_cycle, take_step
from stempede.models.denoise_net import DenoiseNet
from stempede.models.denoise_samples import Samples, draw, scenes
from stempede_kernels.blind_spots import shown

STEPS = 400
"""Steps of an epoch: a checkpoint is written after each."""
_BATCH = 8
JUDGED = 256
"""Samples that choose the epoch."""
_PEAK_RATE, _WARM_SHARE, _DECAY, _LARGEST_GRADIENT = 3e-3, 0.1, 1e-4, 1.0
# variance of what is wanted below which an error counts as if there were this much: bare film
# weighs twenty times a sharp lattice, so that nothing is made up on it
_LEAST_VARIANCE = 0.05


@dataclass(frozen=True)
class Training:
    """What decides the weights.

    Parameters
    ----------
    scenes : int
        Simulated scenes; every sample is a crop of one at a dose of its own.
    epochs : int
        Of 400 steps of 8 samples.
    seed : int
        Seed of scenes, doses, masks, first weights and dropout.
    """

    scenes: int = 4000
    epochs: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        hold(self, {"scenes": 16, "epochs": 1, "seed": 0})

    @property
    def command(self) -> str:
        """The command that trains this network."""
        return (
            f"stempede train denoise --scenes {self.scenes} --epochs {self.epochs} "
            f"--seed {self.seed}"
        )


@dataclass(frozen=True)
class Trained:
    """A trained network, its learning curve (one row per epoch), and what it took."""

    network: DenoiseNet
    history: list[dict[str, float]]
    wall_s: float
    cpu_s: float


def train(
    training: Training, folder: Path, *, news: News, steps: int = STEPS, judged: int = JUDGED
) -> Trained:
    """Train, or go on where an interrupted training of the same kind stopped.

    The weights of the epoch with the smallest loss on scenes that do not train are kept.

    Parameters
    ----------
    training : Training
    folder : Path
        Where ``checkpoint.npz`` lies after each epoch.
    news : callable
        See ``course.News``.
    steps : int
        Of an epoch.
    judged : int
        Samples that choose the epoch.

    Raises
    ------
    ModelError
        If the folder holds the checkpoint of another training.
    """
    torch.manual_seed(training.seed)
    network = DenoiseNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), _PEAK_RATE, weight_decay=_DECAY)
    state = checkpoint.Progress.resume(folder, asdict(training), network, optimiser)
    news("drawing scenes", 0, 1, "")
    pool = scenes(training.scenes if state.epoch < training.epochs else 1, training.seed)
    choosing = held_out(training.seed, judged)
    news("drawing scenes", 1, 1, "")
    for epoch in range(state.epoch, training.epochs):
        whole = training.epochs * steps
        shares = (one_cycle(epoch * steps + k, whole, _WARM_SHARE) for k in range(steps))
        rates = [_PEAK_RATE * share for share in shares]
        loss = _epoch(network, optimiser, pool, [training.seed, epoch], rates)
        row = {"epoch": epoch + 1, "train_loss": loss, "loss": judge(network, choosing)}
        state = state.after(row, network, optimiser)
        remark = f"loss {loss:.3f}, on scenes not trained on {row['loss']:.3f}"
        news("training", epoch + 1, training.epochs, remark)
    network.load_state_dict(state.best)
    return Trained(network.eval(), state.history, *state.spent())


def held_out(seed: int, n: int = JUDGED) -> Samples:
    """Return samples of scenes that no training of this seed sees."""
    # scenes are numbered from 0; generators of three numbers are none of theirs
    return draw(scenes(n, seed + 1_000_003), n, np.random.default_rng([seed, 0, 0]))


def judge(network: DenoiseNet, samples: Samples) -> float:
    """Return the mean loss on samples, everything seen."""
    network.eval()
    with torch.inference_mode():
        seen, wanted = torch.from_numpy(samples.seen), torch.from_numpy(samples.wanted)
        return float(misfit(network(seen)["denoised"], wanted))


def misfit(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean over samples of squared error over the wanted variance."""
    variance = wanted.var(dim=(1, 2)) + _LEAST_VARIANCE
    return (((found - wanted) ** 2).mean(dim=(1, 2)) / variance).mean()


def _epoch(
    network: DenoiseNet,
    optimiser: torch.optim.Optimizer,
    pool: np.ndarray,
    seed: list[int],
    rates: list[float],
) -> float:
    """Take a step per rate; return the mean loss. Every other step sees only part of the pixels."""
    rng = np.random.default_rng([*seed, 1])
    torch.manual_seed(seed[0] * 100_003 + seed[1])
    network.train()
    total = 0.0
    for k, rate in enumerate(rates):
        samples = draw(pool, _BATCH, rng)
        seen, wanted = torch.from_numpy(samples.seen), torch.from_numpy(samples.wanted)
        if k % 2:
            keep = shown(samples.seen.shape, rng, run=int(rng.choice([1, 3])))
            found = network.guess(seen, torch.from_numpy(keep))
        else:
            found = network(seen)["denoised"]
        loss = misfit(found, wanted)
        total += take_step(optimiser, loss, rate, _LARGEST_GRADIENT)
    return total / len(rates)
