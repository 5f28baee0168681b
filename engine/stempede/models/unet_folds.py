"""Learn from a user's own masks, and say by folds how well: no image is scored that trained."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stempede.errors import ModelError
from stempede.models.course import News
from stempede.models.unet import UNet
from stempede.models.unet_samples import Tiles
from stempede.models.unet_train import Source, TrainedUNet, UNetTraining, train

THRESHOLDS = tuple(round(0.5 + 0.05 * k, 2) for k in range(9))
"""Probabilities at which masks are compared: 0.50 to 0.90."""

DEFAULT = 0.75


@dataclass(frozen=True)
class Example:
    """An image with its particles, as the network sees it.

    Parameters
    ----------
    name : str
    image : (y, x) float32 array
        Resampled and standardised; particles bright.
    labels : (y, x) int32 array
    origin : str
        What copies of one image share (``origin_of``).
    """

    name: str
    image: np.ndarray
    labels: np.ndarray
    origin: str


def origin_of(image: np.ndarray) -> str:
    """Return a hash of an image's sorted pixels: the same when it is turned or mirrored."""
    return hashlib.sha256(np.sort(image, axis=None).tobytes()).hexdigest()


@dataclass(frozen=True)
class Fold:
    """One fold's result.

    Parameters
    ----------
    number : int
        From 1.
    scored : tuple of int
        Examples that did not train.
    answers : tuple of dict
        ``probability`` and ``distance`` (y, x) of each.
    row : dict
        Of the table of folds.
    scan : list of dict
        A row per threshold.
    """

    number: int
    scored: tuple[int, ...]
    answers: tuple[dict[str, np.ndarray], ...]
    row: dict[str, Any]
    scan: list[dict[str, Any]]


def split(examples: Sequence[Example], folds: int, seed: int) -> list[list[int]]:
    """Return the examples of each fold; copies of an image, turned or not, share one.

    Raises
    ------
    ModelError
        If there are fewer different images than folds, or folds than 2.
    """
    groups: dict[str, list[int]] = {}
    for k, example in enumerate(examples):
        groups.setdefault(example.origin, []).append(k)
    if not 2 <= folds <= len(groups):
        raise ModelError(
            f"{folds} folds want 2 or more folds and as many different images; found "
            f"{len(groups)} of {len(examples)} images that are not turned copies of each other; "
            "choose --folds, or draw more masks"
        )
    members = list(groups.values())
    order = np.random.default_rng(seed).permutation(len(members))
    return [sorted(k for g in order[f::folds] for k in members[g]) for f in range(folds)]


def tiles_from(examples: Sequence[Example], training: UNetTraining) -> Source:
    """Return a source of tiles cut at random from examples, in turn."""
    side = training.tile_px
    padded = [_padded(example, side) for example in examples]

    def draw(epoch: int) -> Tiles:
        rng = np.random.default_rng([training.seed, epoch, 0x717E])
        images, labels = [], []
        for k in range(training.tiles):
            image, truth = padded[k % len(padded)]
            y, x = (int(rng.integers(0, s - side + 1)) for s in image.shape)
            images.append(image[y : y + side, x : x + side])
            labels.append(truth[y : y + side, x : x + side])
        return Tiles.of(images, labels)

    return draw


def cross_validate(
    examples: Sequence[Example],
    training: UNetTraining,
    start: UNet,
    folder: Path,
    *,
    folds: int = 5,
    device: str = "auto",
    news: News,
) -> list[Fold]:
    """Train once for each fold on the others and score what was left out.

    Parameters
    ----------
    examples : sequence of Example
    training : UNetTraining
    start : UNet
        First weights of every fold.
    folder : Path
        ``fold-1`` ... hold the checkpoints: folds that are done are not trained again.
    folds : int
    device, news
        As in ``unet_train.train``.
    """
    parts = split(examples, folds, training.seed)
    done = []
    for number, scored in enumerate(parts, start=1):
        learning = [e for k, e in enumerate(examples) if k not in scored]
        trained = fine_tune(
            learning,
            training,
            start,
            folder / f"fold-{number}",
            device=device,
            news=_named(news, f"fold {number} of {folds}"),
        )
        own = scan(learning, [answer(trained.network, e.image) for e in learning])
        # on the training folds alone; the scored one must not choose
        chosen = max(own, key=own.__getitem__)
        held = [examples[k] for k in scored]
        answers = tuple(answer(trained.network, e.image) for e in held)
        found = scan(held, answers)
        row = {
            "fold": number,
            "images": ", ".join(e.name for e in held),
            "trained_on": len(learning),
            "jaccard": found[DEFAULT],
            "threshold_by_training": chosen,
            "jaccard_there": found[chosen],
        }
        rows = [
            {"fold": number, "threshold": t, "jaccard": found[t], "jaccard_of_training": own[t]}
            for t in THRESHOLDS
        ]
        done.append(Fold(number, tuple(scored), answers, row, rows))
    return done


def fine_tune(
    examples: Sequence[Example],
    training: UNetTraining,
    start: UNet,
    folder: Path,
    *,
    device: str = "auto",
    news: News,
) -> TrainedUNet:
    """Train on examples from given weights on, or go on where that stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    network = UNet(training.base)
    network.load_state_dict(start.state_dict())
    about = {"start": _hash(start), "examples": [e.origin[:12] for e in examples]}
    source = tiles_from(examples, training)
    return train(training, network, source, None, folder, device=device, news=news, about=about)


def scan(
    examples: Sequence[Example], answers: Sequence[dict[str, np.ndarray]]
) -> dict[float, float]:
    """Return the mean Jaccard index of the images' masks at each threshold."""
    truths = [e.labels > 0 for e in examples]
    return {
        t: float(np.mean([jaccard(a["probability"] >= t, m) for a, m in zip(answers, truths)]))
        for t in THRESHOLDS
    }


def jaccard(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the shared over the joint area of two masks; 1 where both are empty."""
    either = np.count_nonzero(found | truth)
    return np.count_nonzero(found & truth) / either if either else 1.0


def answer(network: UNet, image: np.ndarray) -> dict[str, np.ndarray]:
    """Return what a network says of a (y, x) image."""
    with torch.inference_mode():
        found = network.eval()(torch.from_numpy(image[None]))
    return {name: value[0].numpy() for name, value in found.items()}


def loaded(script: Any) -> UNet:
    """Return a network with the weights of a loaded TorchScript file.

    Raises
    ------
    ModelError
        If the file holds no parameters, or those of another network.
    """
    weights = {name: value.clone() for name, value in script.state_dict().items()}
    try:
        network = UNet(len(weights["encode.0.layers.0.weight"]))
        network.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise ModelError(
            "training starts from weights of `stempede train unet`; this file holds other ones"
        ) from error
    return network


def tuned(training: UNetTraining, images: int) -> UNetTraining:
    """Return a training with at most 256 tiles for each image, however many epochs."""
    most = 256 * images // training.epochs
    return replace(training, tiles=max(1, min(training.tiles, most)))


def facts(training: UNetTraining, folds: Sequence[Fold]) -> dict[str, Any]:
    """Return what a card says of folds."""
    at_default = [fold.row["jaccard"] for fold in folds]
    return {
        **asdict(training),
        "folds": len(folds),
        "jaccard_mean": float(np.mean(at_default)),
        "jaccard_sd": float(np.std(at_default, ddof=1)),
        "jaccard": at_default,
        "threshold": DEFAULT,
    }


def _padded(example: Example, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return image and labels at least as large as a tile, what lies outside mirrored."""
    more = [(0, max(0, side - s)) for s in example.image.shape]
    image, labels = (np.pad(a, more, mode="symmetric") for a in (example.image, example.labels))
    return image, labels


def _hash(network: UNet) -> str:
    digest = hashlib.sha256()
    values: list[Tensor] = list(network.state_dict().values())
    for value in values:
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()[:12]


def _named(news: News, name: str) -> News:
    return lambda _, done, total, remark: news(name, done, total, remark)
