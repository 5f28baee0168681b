"""Make a shape network: train, export, judge on what it has not seen, draw the diagnostics."""

from __future__ import annotations

import io
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from stempede.backend import Backend
from stempede.inference import Network
from stempede.models import card, diagnostics, export, heldout
from stempede.models.course import News
from stempede.models.samples import SPLIT, parts
from stempede.models.shapenet import SIZE
from stempede.models.train import Trained, Training, train

NAME = "shape"


@dataclass(frozen=True)
class Made:
    """What was made: the weights' file, its card as text, and the diagnostics' files."""

    weights: Path
    card: dict[str, Any]
    files: list[Path]


def make(training: Training, folder: Path, *, device: str = "auto", news: News) -> Made:
    """Train a network and write ``shape.pt``, ``shape.json`` and ``diagnostics/`` into a folder.

    Parameters
    ----------
    training : Training
    folder : Path
        Made where missing; an interrupted training in it goes on.
    device : {"auto", "cpu", "gpu"}
        Where it trains. It is judged on the CPU.
    news : callable
        See ``course.News``.

    Raises
    ------
    ModelError
        If the folder holds another training, or the device cannot be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trained = train(training, folder, device=device, news=news)
    script = export.to_script(trained.network)
    facts: dict[str, Any] = {
        "batch": export.batches(_rates(script), (SIZE, SIZE)),
        "training": _training(training, trained),
        "held_out": {},
    }
    weights = export.save(script, card.shape_card(script, **facts), folder, NAME)
    network = Network.load(weights, Backend.choose("cpu"), kind="shape")
    first, n = parts(training.crops)[2]
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        news("judging", done, n, "")

    held = heldout.judge(network, first, n, seed=training.seed, news=count)
    facts["held_out"] = heldout.metrics(held)
    text = card.shape_card(script, **facts)
    export.save(script, text, folder, NAME)
    files = diagnostics.write(folder / "diagnostics", held, trained.history)
    return Made(weights, text, files)


def _rates(script: bytes) -> dict[int, float]:
    """Measure the file as it will be loaded."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=Warning)
        module = torch.jit.load(io.BytesIO(script))
    return export.measure_batches(module, (SIZE, SIZE))


def _training(training: Training, trained: Trained) -> dict[str, Any]:
    return {
        "command": training.command,
        **asdict(training),
        "split": SPLIT,
        "chosen_epoch": min(trained.history, key=lambda row: row["loss"])["epoch"],
        "device": trained.device,
        "wall_s": round(trained.wall_s),
        "cpu_s": round(trained.cpu_s),
        "torch_threads": torch.get_num_threads(),
    }
