"""Denoising by a network: what it is shown of a frame, and the way back to electrons."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from stempede.backend import Backend
from stempede.inference import Network, check, find, require_torch
from stempede.preprocess.denoise_filters import spread, summed
from stempede.preprocess.denoise_noise import FrameNoise
from stempede_kernels.blind_spots import shown
from stempede_kernels.interop import as_cupy, as_torch

WITHOUT = "choose --set denoise.method=gaussian, which wants no torch"

# blur in px above which pixels are summed, so that the network meets columns of widths it knows
_WIDE_PX = 2.5
_ROWS, _RIM = 1024, 64
"""Rows shown at once, and rows beside them that reach into their answer."""


@dataclass(frozen=True)
class View:
    """A frame as the network wants it.

    Parameters
    ----------
    values : (h, w) float32 array
        Roots of electrons, of summed pixels where ``factor`` is above 1, less their mean, over
        their standard deviation.
    middle, deviation : float
    factor : int
    noise : FrameNoise
        Of the summed pixels.
    shape : (y, x)
        Of the frame.
    """

    values: Any
    middle: float
    deviation: float
    factor: int
    noise: FrameNoise
    shape: tuple[int, int]

    @classmethod
    def of(cls, image: Any, noise: FrameNoise, width_px: float, backend: Backend) -> View:
        """Return the view of a (y, x) float32 image; ``width_px`` from ``blur_width``."""
        xp = backend.xp
        factor = max(1, int(width_px / _WIDE_PX))
        own = noise.summed(factor)
        values = own.stabilised(summed(image, factor, xp))
        middle, deviation = float(values.mean()), float(values.std())
        # a frame of one value stays what it is
        flat = deviation <= 1e-6 * max(abs(middle), 1.0)
        shown = (values - middle) / (1.0 if flat else deviation)
        return cls(
            shown.astype(xp.float32),
            middle,
            deviation,
            factor,
            own,
            (image.shape[0], image.shape[1]),
        )

    def back(self, answer: Any, backend: Backend) -> Any:
        """Return the frame's units, (y, x) float32, of an answer in the network's."""
        means = self.noise.restored(answer * self.deviation + self.middle)
        return spread(means, self.factor, self.shape, backend)


def shipped(weights: str, backend: Backend) -> Network:
    """Return a denoising network that was trained before."""
    return Network.load(weights, backend, kind="denoise", without=WITHOUT)


def trainable(weights: str, backend: Backend) -> Any:
    """Return the module of a denoising network, its parameters open, checked as ``shipped``."""
    torch = require_torch(weights, WITHOUT)
    path = find(weights)
    check(path, kind="denoise")
    place = "cuda" if backend.is_gpu else "cpu"
    with warnings.catch_warnings():
        # TorchScript is what ships; its successor is weighed in the bench
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=Warning)
        return torch.jit.load(io.BytesIO(path.read_bytes()), map_location=place).eval()


@lru_cache(maxsize=2)
def adapted(weights: str, found: str, backend: Backend) -> Any:
    """Return the module of a session.

    Parameters
    ----------
    weights : str
        The network that was adapted.
    found : str
        Weights it was given then, as ``packed`` writes them.
    backend : Backend
    """
    module = trainable(weights, backend)
    unpack(module, found)
    return module


def denoised(network: Network, view: View, backend: Backend) -> Any:
    """Return the network's answer for a view, every pixel seen."""
    return _in_strips(view.values, lambda part: network(part[None])["denoised"][0], backend.xp)


def averaged(module: Any, view: View, passes: int, backend: Backend) -> Any:
    """Return the mean answer over masks and dropout; the same for the same view.

    Parameters
    ----------
    module : torch.jit.ScriptModule
    view : View
    passes : int
    backend : Backend
    """
    torch = require_torch("denoise", WITHOUT)

    def mean(part: Any) -> Any:
        tensor = as_torch(part[None])
        total = torch.zeros_like(tensor)
        rng = np.random.default_rng(0)
        with torch.inference_mode(), seeded(torch, 0):
            for _ in range(passes):
                keep = torch.from_numpy(shown(tensor.shape, rng)).to(tensor.device)
                total += module.guess(tensor, keep)
        answer = total[0] / passes
        return as_cupy(answer) if backend.is_gpu else answer.numpy()

    return _in_strips(view.values, mean, backend.xp)


class seeded:  # noqa: N801
    """Within it torch is seeded and sums in one order; after it all is as it was."""

    def __init__(self, torch: Any, seed: int) -> None:
        self._torch, self._seed = torch, seed

    def __enter__(self) -> None:
        self._state, self._threads = self._torch.get_rng_state(), self._torch.get_num_threads()
        self._torch.manual_seed(self._seed)
        self._torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        self._torch.set_rng_state(self._state)
        self._torch.set_num_threads(self._threads)


def packed(module: Any) -> str:
    """Return a module's weights as text: half precision, in the order of its parameters."""
    parts = [p.detach().cpu().numpy().astype(np.float16).tobytes() for p in module.parameters()]
    return base64.b64encode(b"".join(parts)).decode("ascii")


def unpack(module: Any, weights: str) -> None:
    """Give a module the weights of ``packed``."""
    torch = require_torch("denoise")
    values = np.frombuffer(base64.b64decode(weights), np.float16).astype(np.float32)
    start = 0
    with torch.no_grad():
        for parameter in module.parameters():
            part = values[start : start + parameter.numel()].reshape(tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(part.copy()))
            start += parameter.numel()


def _in_strips(values: Any, answer: Callable[[Any], Any], xp: Any) -> Any:
    """Answer for strips of rows with a rim: what the whole would give, in bounded memory."""
    height = values.shape[0]
    parts = []
    for top in range(0, height, _ROWS):
        low, bottom = max(0, top - _RIM), min(height, top + _ROWS)
        part = answer(values[low : min(height, bottom + _RIM)])
        parts.append(part[top - low : bottom - low])
    return parts[0] if len(parts) == 1 else xp.concatenate(parts)
