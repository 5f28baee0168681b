"""Normalise: particles bright, in units of the background's noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stempede.frames import Batch
from stempede.preprocess.defects import pixel_noise
from stempede.preprocess.focus import sharpness
from stempede.preprocess.polarity import Polarity, frame_sign


@dataclass(frozen=True)
class Normalise:
    """Divide by the pixel noise and turn the contrast so that particles are bright.

    Parameters
    ----------
    polarity : {"auto", "dark", "bright"}
        Contrast of the particles against their support. ``auto``: a frame with clear
        evidence decides for itself (a session may mix bright field and HAADF), the
        others follow the session's vote (``preprocess.polarity``).
    """

    polarity: str = "auto"

    name: ClassVar[str] = "preprocess.normalise"
    reads: ClassVar[tuple[str, ...]] = ("images", "valid")
    writes: ClassVar[tuple[str, ...]] = ("images", "frames")

    def __post_init__(self) -> None:
        if self.polarity not in ("auto", "dark", "bright"):
            raise ValueError(
                f"polarity is 'auto', 'dark' or 'bright'; found '{self.polarity}'; correct it"
            )

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch in units of noise.

        ``frames`` gets ``noise polarity focus valid_fraction``.
        """
        backend, xp = batch.backend, batch.backend.xp
        vote = batch.prepared.get(Polarity.name, {}).get("sign", 0)
        valid = batch.maps["valid"]
        images, noises, names, sharp = xp.empty_like(batch.images), [], [], []
        for k, image in enumerate(batch.images):
            sign = {"dark": -1, "bright": 1}.get(self.polarity) or frame_sign(
                image, valid[k], vote, backend
            )
            noise = pixel_noise(image, xp)
            xp.multiply(image, np.float32(sign / noise), out=images[k])
            noises.append(noise)
            names.append("bright" if sign > 0 else "dark")
            sharp.append(sharpness(image, xp))
        frames = batch.tables["frames"].with_columns(
            {
                "noise": np.array(noises),
                "polarity": np.array(names, np.dtypes.StringDType()),
                "focus": np.array(sharp),
                "valid_fraction": np.array([int(xp.count_nonzero(v)) / v.size for v in valid]),
            }
        )
        return batch.with_(images=images, tables={"frames": frames})
