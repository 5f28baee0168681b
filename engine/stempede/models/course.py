"""The course of a training, whatever the network: bounds, place, rates, steps, what it took."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from stempede.errors import ModelError

News = Callable[[str, int, int, str], None]
"""Called with what is being done, how much of it is done, of how much, and a remark."""


def hold(training: Any, least: Mapping[str, int], wrong: Iterable[str] = ()) -> None:
    """Refuse a training whose numbers are below the least, or of which else something is wrong.

    Raises
    ------
    ModelError
        Says every number that is wrong.
    """
    found = [
        f"{name} >= {low} (found {getattr(training, name)})"
        for name, low in least.items()
        if getattr(training, name) < low
    ]
    found.extend(wrong)
    if found:
        raise ModelError(f"training wants {', '.join(found)}; correct it")


def choose_place(device: str) -> str:
    """Return where torch trains: ``cuda`` or ``cpu``.

    Raises
    ------
    ModelError
        If the device is none of auto, cpu and gpu, or a GPU is asked for and there is none.
    """
    there = torch.cuda.is_available()
    if device not in ("auto", "cpu", "gpu") or (device == "gpu" and not there):
        raise ModelError(
            f"device is auto, cpu, or gpu where torch finds one; found '{device}'; use --device cpu"
        )
    return "cuda" if there and device != "cpu" else "cpu"


def one_cycle(step: int, steps: int, warm_share: float = 0.2) -> float:
    """Return a step's rate, as a share of the peak: up first, then down along a cosine."""
    warm = warm_share * steps
    if step < warm:
        return 0.04 + 0.96 * step / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))


def take_step(
    optimiser: torch.optim.Optimizer, loss: Tensor, rate: float, largest_gradient: float
) -> float:
    """Change what an optimiser holds by the gradient of a loss; return the loss."""
    held = [p for group in optimiser.param_groups for p in group["params"]]
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(held, largest_gradient)
    optimiser.step()
    return loss.item()
