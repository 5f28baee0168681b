"""Denoise: a quieter map beside the counts, to find columns on; counts stay what they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from stempede.errors import ModelError, RecipeError
from stempede.frames import Batch, Problem
from stempede.inference import check, find, require_torch
from stempede.preprocess.denoise_filters import blur_width, blurred, non_local
from stempede.preprocess.denoise_network import (
    WITHOUT,
    View,
    adapted,
    averaged,
    denoised,
    shipped,
)
from stempede.preprocess.denoise_noise import FrameNoise, electrons_of, noise_of
from stempede.preprocess.denoise_self import Denoiser

METHODS = ("none", "gaussian", "nlm", "pretrained", "self")


@dataclass(frozen=True)
class Denoise:
    """Write the map ``denoised``: the electrons expected of each pixel, as a method sees them.

    Places are looked for on it (``columns.peaks``). Whether something stands at a place, where
    exactly, and with what error is asked of the counts alone.

    Parameters
    ----------
    method : {"none", "gaussian", "nlm", "pretrained", "self"}
        ``none`` writes no map. ``gaussian`` blurs; ``nlm`` takes means over places that look
        alike; ``pretrained`` asks the shipped network; ``self`` one that was adapted to the
        session, which wants ``preprocess.denoiser`` among the recipe's ``[[prepare]]``.
    width_px : float
        Of the Gaussian; 0 takes the width that loses least in each frame.
    weights : str
        Of ``pretrained`` and ``self``: ``denoise``, which is shipped, or a ``.pt`` file with
        its card.
    passes : int
        Of ``self``: answers that are averaged, each with other pixels hidden.
    """

    method: Literal["none", "gaussian", "nlm", "pretrained", "self"] = "none"
    width_px: float = 0.0
    weights: str = "denoise"
    passes: int = 8

    name: ClassVar[str] = "preprocess.denoise"
    reads: ClassVar[tuple[str, ...]] = ("electrons", "valid", "frames")
    writes: ClassVar[tuple[str, ...]] = ("denoised",)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise RecipeError(
                f"method is one of {', '.join(METHODS)}; found '{self.method}'; correct it"
            )
        if self.width_px < 0 or self.passes < 1:
            raise RecipeError(
                "width_px is at least 0 and passes at least 1; found "
                f"{self.width_px:g} and {self.passes}; correct it"
            )

    def check(self) -> None:
        """Hold that the network can be run.

        Raises
        ------
        ModelError
            If torch, the weights or their card are missing or do not belong together.
        """
        if self.method in ("pretrained", "self"):
            require_torch(self.weights, WITHOUT)
            check(find(self.weights), kind="denoise")

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with the map ``denoised`` (b, y, x) float32, in electrons.

        Without an electron scale it is in the frame's own units.
        """
        if self.method == "none":
            return batch
        maps, problems = [], []
        for k, frame in enumerate(batch.frames):
            image = electrons_of(batch, k)
            noise, doubt = noise_of(batch, k, image)
            if doubt:
                problems.append(Problem(int(frame), self.name, doubt))
            maps.append(self._denoised(batch, image, noise))
        whole = batch.backend.xp.stack(maps).astype("float32")
        return batch.with_(maps={"denoised": whole}, problems=problems)

    def _denoised(self, batch: Batch, image: Any, noise: FrameNoise) -> Any:
        backend = batch.backend
        if not noise.variance > 0:
            return image
        width = blur_width(image, noise, backend)
        if self.method == "gaussian":
            return blurred(image, self.width_px or width, backend)
        if self.method == "nlm":
            return non_local(image, noise, width, backend)
        view = View.of(image, noise, width, backend)
        if self.method == "pretrained":
            answer = denoised(shipped(self.weights, backend), view, backend)
        else:
            found = batch.prepared.get(Denoiser.name, {}).get("weights")
            if not found:
                raise ModelError(
                    "denoise.method is self, but no network was adapted to this session; add "
                    f'[[prepare]] use = "{Denoiser.name}" to the recipe, or choose pretrained'
                )
            answer = averaged(adapted(self.weights, found, backend), view, self.passes, backend)
        return view.back(answer, backend)
