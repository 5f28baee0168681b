"""From a trained network to the two files that ship: TorchScript and its card."""

from __future__ import annotations

import io
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

_BATCHES = (32, 64, 128, 256, 512, 1024)
_REPEATS = 9
_NEAR_BEST = 0.9
_GPU_BATCH = 8192
# float32 numbers that the widest layers hold at once, for each number of the crop
_BYTES_PER_PIXEL = 40


def to_script(network: nn.Module, *, freeze: bool = True) -> bytes:
    """Return a network as TorchScript: scripted, frozen, normalisation folded into weights.

    What torch adds for its own error messages, among it the paths of this machine's sources, is
    left out.

    Parameters
    ----------
    network : torch.nn.Module
    freeze : bool
        False keeps the parameters as they are trained, for a training that starts from them;
        they are folded where the file is loaded to run.
    """
    with warnings.catch_warnings():
        # TorchScript is what ships; its successor is weighed in the bench
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=Warning)
        script = torch.jit.script(network.eval())
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.freeze(script) if freeze else script, buffer)
    return _without_sources(buffer)


def _without_sources(archive: io.BytesIO) -> bytes:
    """Copy a TorchScript archive without its debug records; the same network, the same bytes."""
    clean = io.BytesIO()
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(clean, "w", zipfile.ZIP_STORED) as new:
        for item in old.infolist():
            if not item.filename.endswith(".debug_pkl"):
                # a fixed date, and records where they may be mapped into memory
                new.writestr(zipfile.ZipInfo(item.filename), old.read(item))
    return clean.getvalue()


def measure_batches(module: Any, shape: tuple[int, int]) -> dict[int, float]:
    """Return images per second by batch size, the best of a few runs on this CPU.

    Sizes are run in turn, so that a machine whose speed drifts is unfair to none.
    """
    stacks = {batch: torch.randn(batch, *shape) for batch in _BATCHES}
    best = dict.fromkeys(_BATCHES, float("inf"))
    with torch.inference_mode():
        for images in stacks.values():
            module(images)
        for _ in range(_REPEATS):
            for batch, images in stacks.items():
                started = time.perf_counter()
                module(images)
                best[batch] = min(best[batch], time.perf_counter() - started)
    return {batch: batch / seconds for batch, seconds in best.items()}


def batches(rates: dict[int, float], shape: tuple[int, int]) -> dict[str, int]:
    """Return the ``batch`` of a card: the fastest on a CPU, a large one on a GPU.

    Small batches stay in the caches. Of those within a tenth of the fastest, the smallest.
    """
    fast = _NEAR_BEST * max(rates.values())
    per_image = shape[0] * shape[1] * 4 * _BYTES_PER_PIXEL
    fastest = min(batch for batch, rate in rates.items() if rate >= fast)
    return {"cpu": fastest, "gpu": _GPU_BATCH, "bytes": per_image}


def save(script: bytes, card: dict[str, Any], folder: Path, name: str) -> Path:
    """Write ``name.pt`` and its card; the card, which names the hash, comes last."""
    from stempede.models.card import write

    path = folder / f"{name}.pt"
    waiting = folder / f"{name}.part"
    waiting.write_bytes(script)
    waiting.replace(path)
    write(card, folder / f"{name}.json")
    return path
