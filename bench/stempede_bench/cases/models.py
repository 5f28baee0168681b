"""The networks: as TorchScript, which ships, against eager torch and TorchScript's successors.

Weights are untrained, for eager torch cannot be had of the frozen files; the same work.
"""

from __future__ import annotations

import io
import shutil
import warnings
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np

from stempede_bench.contract import Case, Contender, DisagreementError, Work

CROPS, SIDE_PX = 4096, 1024

# what 32-bit arithmetic in another order may change, and 16-bit arithmetic
_SAME, _SAME_BFLOAT16 = 1e-3, 5e-2
_BFLOAT16 = "torch eager, bfloat16"


class _Network(Case):
    """The way of ``inference.Network``, and others with the same weights, batch by batch."""

    weights: ClassVar[str]
    compared: ClassVar[tuple[str, ...]]

    @property
    def images(self) -> np.ndarray:
        """What is looked at, (n, h, w)."""
        raise NotImplementedError

    def eager(self) -> Any:
        """Return the network as torch has it while it trains."""
        raise NotImplementedError

    def items(self) -> int:
        """Return the images of a call."""
        return len(self.images)

    @cached_property
    def network(self) -> Any:
        """The network, its first weights always the same."""
        import torch

        torch.manual_seed(0)
        return self.eager().eval()

    @cached_property
    def batch(self) -> int:
        """Images at once, as the shipped card says."""
        return int(self._card.batch["cpu"])

    @cached_property
    def _card(self) -> Any:
        from stempede.inference import Card, find

        return Card.read(find(self.weights).with_suffix(".json"))

    def work(self) -> Work:
        """Images are read once; multiply-adds, each counted twice, cannot be left out."""
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            self.network(torch.zeros(1, *self.images.shape[1:]))
        return Work(bytes=self.images.nbytes, flops=counter.get_total_flops() * self.items())

    def contenders(self) -> tuple[Contender, ...]:
        """Return TorchScript, eager in 32 and 16 bits, export, and compile where it can be."""
        ways = {
            f"torch eager, batches of {self.batch}": self.network,
            _BFLOAT16: partial(_in_bfloat16, self.network),
            "torch.export": self._exported(),
        }
        if any(shutil.which(name) for name in ("c++", "g++", "clang++")):
            import torch

            # of a package of its own, so that --peers torch leaves out minutes of compiling
            ways["inductor torch.compile"] = torch.compile(self.network)
        ours = f"stempede.inference TorchScript, batches of {self.batch}"
        return tuple(self._contender(*way) for way in {ours: self._script(), **ways}.items())

    def _contender(
        self, name: str, module: Callable[[Any], Any], batch: int | None = None
    ) -> Contender:
        from stempede.backend import Backend
        from stempede.inference import Network

        network = Network(self._card, module, Backend.choose("cpu"), batch or self.batch)
        return Contender(name, partial(network, self.images))

    def _script(self) -> Any:
        import torch

        from stempede.models.export import to_script

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*torch.jit.*", category=Warning)
            return torch.jit.load(io.BytesIO(to_script(self.network)))

    def _exported(self) -> Any:
        import torch

        example = torch.zeros(self.batch, *self.images.shape[1:])
        return torch.export.export(self.network, (example,)).module()

    def agree(self, outputs: Mapping[str, Any]) -> dict[str, float]:
        """Compare the answers: all of ours with all of each other way."""
        ours, *others = outputs
        away = {
            name: max(
                float(np.abs(outputs[ours][key] - outputs[name][key]).max())
                for key in self.compared
            )
            for name in others
        }
        wrong = {n: d for n, d in away.items() if d > (_SAME_BFLOAT16 if n == _BFLOAT16 else _SAME)}
        if wrong:
            raise DisagreementError(f"largest differences {wrong}")
        bfloat16 = away.pop(_BFLOAT16, 0.0)
        return {
            "largest difference": max(away.values(), default=0.0),
            "with bfloat16": bfloat16,
        }


class ShapeNetwork(_Network):
    """Crops to shapes."""

    name = "shape-network"
    unit = "crops"
    weights = "shape"
    compared: ClassVar[tuple[str, ...]] = ("weight", "se_log_p", "se_log_l")

    def eager(self) -> Any:
        """Return the network of shapes."""
        from stempede.models.shapenet import ShapeNet

        return ShapeNet()

    @cached_property
    def images(self) -> np.ndarray:
        """Crops as a measured session gives them."""
        from stempede.simulate.crops import training_crops

        images = training_crops(512, seed=5).images
        return np.tile(images, (CROPS // len(images), 1, 1))

    def contenders(self) -> tuple[Contender, ...]:
        """Return the ways of every network, and one large batch."""
        whole = self._contender("torch TorchScript, one batch", self._script(), CROPS)
        return (*super().contenders(), whole)


class UNetwork(_Network):
    """Frames to what is a particle."""

    name = "unet"
    unit = "frames"
    weights = "unet"
    compared: ClassVar[tuple[str, ...]] = ("probability", "distance")

    def eager(self) -> Any:
        """Return a U-Net as large as the shipped one."""
        from stempede.models.unet import UNet

        return UNet(int(self._card.text["training"]["base"]))

    @cached_property
    def images(self) -> np.ndarray:
        """One frame of 1024 x 1024 pixels."""
        rng = np.random.default_rng(6)
        return rng.standard_normal((1, SIDE_PX, SIDE_PX), dtype=np.float32)


class DenoiseNetwork(UNetwork):
    """Frames of a lattice to what they are a draw of."""

    name = "denoise"
    weights = "denoise"
    compared: ClassVar[tuple[str, ...]] = ("denoised",)

    def eager(self) -> Any:
        """Return a network that denoises."""
        from stempede.models.denoise_net import DenoiseNet

        return DenoiseNet()


def _in_bfloat16(network: Callable[[Any], dict[str, Any]], images: Any) -> dict[str, Any]:
    """Return a network's answers, convolutions in 16 bits."""
    import torch

    with torch.autocast(images.device.type, torch.bfloat16):
        answers = network(images)
    return {name: value.float() for name, value in answers.items()}
