"""Train the shape network; the same seed gives the same weights, interrupted or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stempede.models import checkpoint
from stempede.models.course import News, choose_place, hold, one_cycle, take_step
from stempede.models.samples import Samples, draw, parts
from stempede.models.shapenet import ShapeNet

_PEAK_RATE, _DECAY, _LARGEST_GRADIENT = 3e-3, 1e-2, 5.0
_STRIDE = 1024


@dataclass(frozen=True)
class Training:
    """What decides the weights.

    Parameters
    ----------
    crops : int
        Simulated crops, split 70/10/20.
    epochs : int
        Passes over the training part.
    seed : int
        Seed of crops, first weights, order and dropout.
    batch : int
        Crops per step.
    """

    crops: int = 65_000
    epochs: int = 12
    seed: int = 0
    batch: int = 128

    def __post_init__(self) -> None:
        hold(self, {"crops": 1280, "epochs": 1, "seed": 0, "batch": 2})

    @property
    def command(self) -> str:
        """The command that trains this network."""
        return (
            f"stempede train shape --crops {self.crops} --epochs {self.epochs} --seed {self.seed}"
        )


@dataclass(frozen=True)
class Trained:
    """A trained network, its learning curve (one row per epoch), and what it took."""

    network: ShapeNet
    history: list[dict[str, float]]
    wall_s: float
    cpu_s: float
    device: str


def train(training: Training, folder: Path, *, device: str = "auto", news: News) -> Trained:
    """Train, or go on where an interrupted training of the same kind stopped.

    The weights of the epoch with the smallest loss on the choosing part are kept, and its
    uncertainties stretched by what that part says.

    Parameters
    ----------
    training : Training
    folder : Path
        Where ``checkpoint.npz`` lies after each epoch.
    device : {"auto", "cpu", "gpu"}
    news : callable
        See ``course.News``.
    """
    place = choose_place(device)
    torch.manual_seed(training.seed)
    network = ShapeNet().to(place)
    optimiser = torch.optim.AdamW(network.body.parameters(), _PEAK_RATE, weight_decay=_DECAY)
    state = checkpoint.Progress.resume(folder, asdict(training), network, optimiser)
    learning, choosing = _draw(training, state.epoch, place, news)
    steps = max(1, len(learning) // training.batch)
    for epoch in range(state.epoch, training.epochs):
        whole = training.epochs * steps
        rates = [_PEAK_RATE * one_cycle(epoch * steps + k, whole) for k in range(steps)]
        loss = _epoch(network, optimiser, learning, training, epoch, rates)
        row = {"epoch": epoch + 1, "train_loss": loss, **judge(network, choosing)}
        state = state.after(row, network, optimiser)
        remark = f"loss {loss:.3f}, on crops not trained on {row['loss']:.3f}, d {row['d']:.1%}"
        news("training", epoch + 1, training.epochs, remark)
    network.load_state_dict(state.best)
    network = network.cpu().eval()
    stretch(network, choosing.to("cpu"))
    return Trained(network, state.history, *state.spent(), place)


def _draw(training: Training, epoch: int, place: str, news: News) -> tuple[Samples, Samples]:
    """Draw the part that trains and the part that chooses; the latter only if no epoch is left."""
    learn, choose, _ = parts(training.crops)
    unfinished = epoch < training.epochs
    total = (learn[1] if unfinished else 0) + choose[1]
    done = 0

    def count(n: int) -> None:
        nonlocal done
        done += n
        news("drawing crops", done, total, "")

    learning = draw(*learn, seed=training.seed, progress=count).to(place) if unfinished else None
    choosing = draw(*choose, seed=training.seed, progress=count).to(place)
    return learning or choosing, choosing


def _epoch(
    network: ShapeNet,
    optimiser: torch.optim.Optimizer,
    samples: Samples,
    training: Training,
    epoch: int,
    rates: list[float],
) -> float:
    """Take a step per batch; return the mean loss."""
    # from seed and epoch alone: a resumed training goes on as if never stopped
    torch.manual_seed(training.seed * 100_003 + epoch)
    network.train()
    order = torch.randperm(len(samples)).to(samples.polar.device)
    total = 0.0
    for k, rate in enumerate(rates):
        rows = order[k * training.batch : (k + 1) * training.batch]
        polar = samples.polar[rows].float()
        # turned and mirrored bodies have the same shape
        polar = torch.roll(polar, int(torch.randint(polar.shape[2], (1,))), 2)
        if torch.rand(1).item() < 0.5:
            polar = torch.flip(polar, (2,))
        loss = surprise(network, polar, samples, rows).mean()
        total += take_step(optimiser, loss, rate, _LARGEST_GRADIENT)
    return total / len(rates)


def surprise(network: ShapeNet, polar: Tensor, samples: Samples, rows: Any) -> Tensor:
    """Return the negative log density of the truth, (rows,): the loss.

    The true component's weight and its Gaussians in log p and log L: where nothing tells shapes
    apart, the loss is least for a network that says so.
    """
    raw = network.body(polar, samples.numbers[rows])
    log_weight, log_p, sd_p, log_l, sd_l = (
        part.gather(1, samples.component[rows, None])[:, 0] for part in network.mixture(raw)
    )
    miss_p = (samples.log_p[rows] - log_p) * torch.exp(-sd_p)
    miss_l = (samples.log_l[rows] - log_l) * torch.exp(-sd_l)
    return sd_p + sd_l - log_weight + 0.5 * (miss_p * miss_p + miss_l * miss_l)


def judge(network: ShapeNet, samples: Samples) -> Mapping[str, float]:
    """Return the mean loss and the share of right d on samples that do not train."""
    network.eval()
    loss, right = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(samples), _STRIDE):
            rows = slice(start, start + _STRIDE)
            polar = samples.polar[rows].float()
            loss += surprise(network, polar, samples, rows).sum().item()
            weight = network.mixture(network.body(polar, samples.numbers[rows]))[0].exp()
            found = weight.reshape(-1, 6, 2).sum(2).argmax(1)
            right += int((found == samples.component[rows] // 2).sum())
    return {"loss": loss / len(samples), "d": right / len(samples)}


def stretch(network: ShapeNet, samples: Samples) -> None:
    """Set the factors on the uncertainties and the temperature of the weights from samples."""
    raw, rows = [], []
    with torch.inference_mode():
        for start in range(0, len(samples), _STRIDE):
            part = slice(start, start + _STRIDE)
            raw.append(network.body(samples.polar[part].float(), samples.numbers[part]))
        every = torch.cat(raw)
        logits = every.reshape(-1, 5, 12)[:, 0]
        mixture = network.mixture(every)
    rows = samples.component[:, None]
    for name, truth, at in (("stretch_p", samples.log_p, 1), ("stretch_l", samples.log_l, 3)):
        mean, log_sd = mixture[at].gather(1, rows)[:, 0], mixture[at + 1].gather(1, rows)[:, 0]
        pull = (truth - mean) * torch.exp(-log_sd)
        # the spread of nine in ten: a few crops that show next to nothing must not decide
        wide = torch.quantile(pull.abs(), 0.683)
        getattr(network, name).fill_(float(torch.log(wide)))
    heats = torch.linspace(0.6, 2.0, 57)
    losses = [
        float(torch.nn.functional.cross_entropy(logits / heat, samples.component)) for heat in heats
    ]
    network.cool.fill_(1 / float(heats[losses.index(min(losses))]))
