"""Make a U-Net: on simulated scenes, or on a user's own masks by folds; export and card."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stempede.inference import find
from stempede.models import card, export, unet_figures
from stempede.models.course import News
from stempede.models.unet import UNet
from stempede.models.unet_folds import (
    DEFAULT,
    THRESHOLDS,
    Example,
    Fold,
    cross_validate,
    facts,
    fine_tune,
    jaccard,
    loaded,
)
from stempede.models.unet_samples import Tiles, simulated
from stempede.models.unet_train import TrainedUNet, UNetTraining, train_on_simulation

NAME = "unet"
PARTICLE_PX = 28.0
"""Diameter of particles that a network looks at: the middle of what scenes show."""

# a frame's side at most, and float32 numbers at once for each of its pixels
_TILE_PX, _BYTES_PER_PIXEL = 1024, 4 * 8 * 12
# scenes that judge; their numbers lie beyond all that train and choose
_JUDGING, _JUDGING_FIRST = 200, 1 << 31


@dataclass(frozen=True)
class MadeUNet:
    """What was made: the weights' file, its card as text, other files, and folds if any."""

    weights: Path
    card: dict[str, Any]
    files: list[Path]
    folds: tuple[Fold, ...] = ()


def make_simulated(
    training: UNetTraining,
    folder: Path,
    *,
    device: str = "auto",
    news: News,
    judging: int = _JUDGING,
) -> MadeUNet:
    """Train on scenes alone and write ``unet.pt``, ``unet.json`` and ``diagnostics/``.

    Parameters
    ----------
    training : UNetTraining
    folder : Path
        Made where missing; an interrupted training in it goes on.
    device : {"auto", "cpu", "gpu"}
    news : callable
        See ``course.News``.
    judging : int
        Scenes that are looked at last, to say how well it does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trained = train_on_simulation(training, folder, device=device, news=news)
    tiles = simulated(judging, training.tile_px, first=_JUDGING_FIRST, seed=training.seed)
    held = held_out(trained.network, tiles)
    about = {
        "command": command(training),
        **asdict(training),
        "on": "simulated scenes alone (stempede.simulate.scenes)",
        "chosen_epoch": min(trained.history, key=lambda row: row["loss"])["epoch"],
        **_spent(trained),
    }
    weights, text = _save(trained.network, folder, about, held)
    figure = unet_figures.learning(folder / "diagnostics", trained.history)
    return MadeUNet(weights, text, figure)


def make_tuned(
    examples: Sequence[Example],
    training: UNetTraining,
    folder: Path,
    *,
    start: str = NAME,
    folds: int = 5,
    device: str = "auto",
    news: News,
) -> MadeUNet:
    """Train on examples from given weights on; score by folds; write weights, card and tables.

    Parameters
    ----------
    examples : sequence of Example
    training : UNetTraining
    folder : Path
        Gets ``unet.pt`` and ``unet.json`` (trained on all), ``folds.csv``, ``folds.json``,
        ``thresholds.csv`` and ``diagnostics/``; an interrupted training in it goes on.
    start : str
        Weights to start from: a shipped network or a ``.pt`` file of this command.
    folds : int
    device, news
        As in ``make_simulated``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = load(start)
    done = cross_validate(examples, training, first, folder, folds=folds, device=device, news=news)
    trained = fine_tune(examples, training, first, folder, device=device, news=news)
    held = facts(training, done)
    about = {
        **asdict(training),
        "on": f"{len(examples)} images, from the weights '{start}'",
        **_spent(trained),
    }
    weights, text = _save(trained.network, folder, about, held)
    files = [
        unet_figures.table(folder / "folds.csv", [fold.row for fold in done]),
        unet_figures.table(folder / "thresholds.csv", [r for fold in done for r in fold.scan]),
        unet_figures.numbers(folder / "folds.json", {"folds": [f.row for f in done], **held}),
        *unet_figures.scans(folder / "diagnostics", done),
    ]
    return MadeUNet(weights, text, files, tuple(done))


def load(weights: str) -> UNet:
    """Return a network to start from: a shipped one by name, or a ``.pt`` file.

    Raises
    ------
    ModelError
        If there is none, its hash is not the card's, or it is no U-Net that can be trained.
    """
    from stempede.inference import check

    path = find(weights)
    check(path, kind="unet")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=Warning)
        script = torch.jit.load(io.BytesIO(path.read_bytes()), map_location="cpu")
    return loaded(script)


def held_out(network: UNet, tiles: Tiles) -> dict[str, Any]:
    """Return what a card says of tiles that did not train: Jaccard index by threshold."""
    with torch.inference_mode():
        parts = [network(tiles.images[k : k + 16])["probability"] for k in range(0, len(tiles), 16)]
    found, truth = torch.cat(parts).numpy(), tiles.masks.numpy()
    whole = {f"{t:.2f}": jaccard(found >= t, truth) for t in THRESHOLDS}
    return {"tiles": len(tiles), "jaccard": whole, "threshold": DEFAULT}


def command(training: UNetTraining) -> str:
    """Return the command that trains this network."""
    return (
        f"stempede train unet --base {training.base} --epochs {training.epochs} "
        f"--tiles {training.tiles} --seed {training.seed}"
    )


def _save(
    network: UNet, folder: Path, about: dict[str, Any], held: dict[str, Any]
) -> tuple[Path, dict[str, Any]]:
    script = export.to_script(network, freeze=False)
    text = card.unet_card(
        script,
        name=NAME,
        particle_px=PARTICLE_PX,
        # a tile fills the caches of a CPU alone
        batch={"cpu": 1, "gpu": 16, "bytes": _TILE_PX**2 * _BYTES_PER_PIXEL},
        training=about,
        held_out=held,
    )
    return export.save(script, text, folder, NAME), text


def _spent(trained: TrainedUNet) -> dict[str, Any]:
    return {
        "device": trained.device,
        "wall_s": round(trained.wall_s),
        "cpu_s": round(trained.cpu_s),
        "torch_threads": torch.get_num_threads(),
        "parameters": int(np.sum([p.numel() for p in trained.network.parameters()])),
    }
