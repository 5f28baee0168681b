"""The shape network: as TorchScript, which ships, against eager torch on the same crops."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

import numpy as np

from stempede_bench.contract import Case, Contender, DisagreementError, Work

CROPS = 4096
_KERNEL_FLOPS = 1.8e6
"""Two per product of a crop: three convolutions, tones, plane and dense layers."""


class ShapeNetwork(Case):
    """The way of ``inference.Network`` and eager torch with the same weights, batch by batch."""

    name = "shape-network"
    unit = "crops"

    def items(self) -> int:
        """Return the crops of a call."""
        return CROPS

    def work(self) -> Work:
        """Crops are read once; products cannot be left out."""
        return Work(bytes=4.0 * CROPS * 44 * 44, flops=_KERNEL_FLOPS * CROPS)

    @cached_property
    def crops(self) -> np.ndarray:
        """Crops as a measured session gives them."""
        from stempede.simulate.crops import training_crops

        images = training_crops(512, seed=5).images
        return np.tile(images, (CROPS // len(images), 1, 1))

    def contenders(self) -> tuple[Contender, ...]:
        """Return TorchScript, eager, and eager with one large batch."""
        import torch

        from stempede.backend import Backend
        from stempede.inference import Card, Network, find
        from stempede.models.export import to_script
        from stempede.models.shapenet import ShapeNet

        torch.manual_seed(0)
        eager = ShapeNet().eval()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*torch.jit.*", category=Warning)
            script = torch.jit.load(io.BytesIO(to_script(eager)))
        # untrained weights, for eager torch cannot be had of the frozen file; the same work
        card = Card.read(find("shape").with_suffix(".json"))
        backend, batch = Backend.choose("cpu"), int(card.batch["cpu"])
        ways = (
            (f"stempede.inference TorchScript, batches of {batch}", script, batch),
            (f"torch eager, batches of {batch}", eager, batch),
            ("torch TorchScript, one batch", script, CROPS),
            ("torch eager, one batch", eager, CROPS),
        )
        return tuple(
            Contender(name, partial(Network(card, module, backend, size), self.crops))
            for name, module, size in ways
        )

    def agree(self, outputs: Mapping[str, Any]) -> dict[str, float]:
        """Compare the mixtures: weights, and starts of log p."""
        ours, *others = outputs.values()
        worst = max(
            float(np.abs(ours[name] - other[name]).max())
            for other in others
            for name in ("weight", "se_log_p", "se_log_l")
        )
        if worst > 1e-3:
            raise DisagreementError(f"largest difference {worst}")
        return {"largest difference": worst}
