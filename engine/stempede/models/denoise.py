"""Make a denoising network: train, export, judge on what it has not seen."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from stempede.backend import Backend
from stempede.inference import Network
from stempede.models import card, export
from stempede.models.course import News
from stempede.models.denoise_samples import APART, ELECTRONS, WIDTHS_PX, Samples
from stempede.models.denoise_train import (
    JUDGED,
    STEPS,
    Trained,
    Training,
    held_out,
    misfit,
    train,
)
from stempede.models.shape import Made

NAME = "denoise"
# frames are large: one at a time keeps to the caches; float32 numbers of the widest layers
_BATCH = {"cpu": 1, "gpu": 8, "bytes": 1024 * 1024 * 100}
_BLURS_PX = np.geomspace(0.4, 8.0, 16)


def make(
    training: Training, folder: Path, *, news: News, steps: int = STEPS, judged: int = JUDGED
) -> Made:
    """Train a network and write ``denoise.pt`` and ``denoise.json`` into a folder.

    Parameters
    ----------
    training : Training
    folder : Path
        Made where missing; an interrupted training in it goes on.
    news : callable
        See ``course.News``.
    steps : int
        Of an epoch.
    judged : int
        Samples that choose the epoch, and others that judge the network.

    Raises
    ------
    ModelError
        If the folder holds another training.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trained = train(training, folder, news=news, steps=steps, judged=judged)
    # left open, so that a session can train it on
    script = export.to_script(trained.network, freeze=False)
    facts: dict[str, Any] = {"batch": _BATCH, "training": _training(training, trained, steps)}
    weights = export.save(script, card.denoise_card(script, **facts), folder, NAME)
    network = Network.load(weights, Backend.choose("cpu"), kind="denoise")
    facts["held_out"] = metrics(network, held_out(training.seed + 1, judged))
    text = card.denoise_card(script, **facts)
    export.save(script, text, folder, NAME)
    return Made(weights, text, [])


def metrics(network: Network, samples: Samples) -> dict[str, float]:
    """Return what the network loses on samples that did not train, beside the best blurs.

    Returns
    -------
    dict of str to float
        ``samples``; ``loss``, as in training; ``error_over_best_blur``: median of the mean
        squared error over that of the Gaussian which, knowing the truth, loses least.
    """
    answer = network(samples.seen)["denoised"]
    own = ((answer - samples.wanted) ** 2).mean(axis=(1, 2))
    blurs = [
        ((ndimage.gaussian_filter(samples.seen, (0, w, w)) - samples.wanted) ** 2).mean((1, 2))
        for w in _BLURS_PX
    ]
    loss = misfit(torch.from_numpy(answer), torch.from_numpy(samples.wanted))
    return {
        "samples": len(own),
        "loss": float(loss),
        "error_over_best_blur": float(np.median(own / np.min(blurs, axis=0))),
    }


def _training(training: Training, trained: Trained, steps: int) -> dict[str, Any]:
    return {
        "command": training.command,
        **asdict(training),
        "steps": steps,
        "widths_px": list(WIDTHS_PX),
        "apart_in_widths": list(APART),
        "electrons": list(ELECTRONS),
        "parameters": sum(p.numel() for p in trained.network.parameters()),
        "chosen_epoch": min(trained.history, key=lambda row: row["loss"])["epoch"],
        "wall_s": round(trained.wall_s),
        "cpu_s": round(trained.cpu_s),
        "torch_threads": torch.get_num_threads(),
    }
