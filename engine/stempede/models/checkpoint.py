"""Checkpoints of a training: plain arrays in an .npz file, nothing that could be executed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stempede.errors import ModelError

NAME = "checkpoint.npz"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Parameters
    ----------
    path : Path
        The checkpoint.
    training : mapping
        What decides the weights; a checkpoint of another training is refused.
    epoch : int
        Epochs done.
    history : list of dict
        A row per epoch.
    best : dict of str to tensor
        Weights of the epoch with the smallest loss on the choosing part.
    wall_s, cpu_s : float
        Spent before this process began.
    """

    path: Path
    training: Mapping[str, Any]
    epoch: int
    history: list[dict[str, float]]
    best: dict[str, Tensor]
    wall_s: float = 0.0
    cpu_s: float = 0.0
    began: tuple[float, float] = field(
        default_factory=lambda: (time.perf_counter(), time.process_time())
    )

    @classmethod
    def resume(
        cls,
        folder: Path,
        training: Mapping[str, Any],
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
    ) -> Progress:
        """Return the state of an interrupted training, or of one that begins.

        Raises
        ------
        ModelError
            If the folder holds the checkpoint of another training, or a broken one.
        """
        path = folder / NAME
        if not path.is_file():
            return cls(path, training, 0, [], _copy(network))
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            about = json.loads(str(arrays.pop("about")))
        except (ValueError, OSError, KeyError) as error:
            raise ModelError(
                f"{path} cannot be read ({error}); delete it to start again"
            ) from error
        if about["training"] != dict(training):
            raise ModelError(
                f"{path} belongs to a training with {about['training']}; found {dict(training)}; "
                "go on with the same options, or choose another --out"
            )
        network.load_state_dict(_part(arrays, "now"))
        _restore(optimiser, arrays)
        best = _part(arrays, "best")
        spent = (about["wall_s"], about["cpu_s"])
        return cls(path, training, about["epoch"], about["history"], best, *spent)

    def spent(self) -> tuple[float, float]:
        """Return the seconds this training took so far, on the wall and of the processor."""
        wall_s, cpu_s = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
        return self.wall_s + wall_s, self.cpu_s + cpu_s

    def after(
        self, row: dict[str, float], network: nn.Module, optimiser: torch.optim.Optimizer
    ) -> Progress:
        """Write the state after one more epoch and return it."""
        losses = [past["loss"] for past in self.history]
        best = _copy(network) if row["loss"] < min(losses, default=np.inf) else self.best
        state = replace(self, epoch=self.epoch + 1, history=[*self.history, row], best=best)
        wall_s, cpu_s = self.spent()
        about = {
            "training": dict(self.training),
            "epoch": state.epoch,
            "history": state.history,
            "wall_s": wall_s,
            "cpu_s": cpu_s,
        }
        arrays = {f"now/{k}": v.cpu().numpy() for k, v in network.state_dict().items()}
        arrays |= {f"best/{k}": v.cpu().numpy() for k, v in best.items()}
        for number, moments in optimiser.state_dict()["state"].items():
            arrays |= {f"adam/{number}/{k}": moments[k].cpu().numpy() for k in _MOMENTS}
        waiting = self.path.with_suffix(".part.npz")
        np.savez(waiting, about=np.array(json.dumps(about)), **arrays)
        waiting.replace(self.path)
        return state


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _part(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, Tensor]:
    start = f"{name}/"
    return {
        key[len(start) :]: torch.from_numpy(value)
        for key, value in arrays.items()
        if key.startswith(start)
    }


def _restore(optimiser: torch.optim.Optimizer, arrays: Mapping[str, np.ndarray]) -> None:
    """Give an optimiser back its moments."""
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in _part(arrays, "adam").items():
        number, name = key.split("/")
        moments.setdefault(int(number), {})[name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})
