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
_REPEATS = 7
_GPU_BATCH = 8192
# float32 numbers that the widest layers hold at once, for each number of the crop
_BYTES_PER_PIXEL = 40


def to_script(network: nn.Module) -> bytes:
    """Return a network as TorchScript: scripted, frozen, normalisation folded into weights.

    What torch adds for its own error messages, among it the paths of this machine's sources, is
    left out.
    """
    with warnings.catch_warnings():
        # TorchScript is what ships; its successor is weighed in the bench
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=Warning)
        frozen = torch.jit.freeze(torch.jit.script(network.eval()))
        buffer = io.BytesIO()
        torch.jit.save(frozen, buffer)
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

    Small batches stay in the caches; large ones do not and are slower.
    """
    rates = {}
    with torch.inference_mode():
        for batch in _BATCHES:
            images = torch.randn(batch, *shape)
            module(images)
            seconds = []
            for _ in range(_REPEATS):
                started = time.perf_counter()
                module(images)
                seconds.append(time.perf_counter() - started)
            rates[batch] = batch / min(seconds)
    return rates


def batches(rates: dict[int, float], shape: tuple[int, int]) -> dict[str, int]:
    """Return the ``batch`` of a card: the fastest on a CPU, a large one on a GPU."""
    fastest = max(rates, key=lambda batch: rates[batch])
    per_image = shape[0] * shape[1] * 4 * _BYTES_PER_PIXEL
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
