"""What is known of a frame's noise, and values in which it is the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stempede.frames import Batch
from stempede_kernels.anscombe import restore, stabilise

# noise stands alone where columns, however narrow, have no power left
_CORNER = 0.4
_TWICE = 2.5
"""Factor by which noise may miss what its electrons let expect."""


@dataclass(frozen=True)
class FrameNoise:
    """Noise of a frame.

    Parameters
    ----------
    counted : bool
        Whether the frame holds electrons: Poisson noise, and read noise added.
    read : float
        rms of the read noise in electrons.
    variance : float
        Mean variance of a pixel, in the frame's units.
    """

    counted: bool
    read: float
    variance: float

    def stabilised(self, image: Any) -> Any:
        """Return values of about the same noise everywhere: roots of electrons."""
        return stabilise(image, self.read) if self.counted else image

    def restored(self, values: Any) -> Any:
        """Return the frame's units of means of such values."""
        return restore(values, self.read) if self.counted else values

    def summed(self, factor: int) -> FrameNoise:
        """Return the noise of sums over factor × factor pixels."""
        return FrameNoise(self.counted, self.read * factor, self.variance * factor**2)


def electrons_of(batch: Batch, k: int) -> Any:
    """Return the map ``electrons`` of the k-th frame, (y, x), what is not valid filled in."""
    xp = batch.backend.xp
    image = batch.maps["electrons"][k]
    valid = batch.maps["valid"][k] & xp.isfinite(image)
    if bool(valid.all()):
        return image
    return xp.where(valid, image, image[valid].mean() if bool(valid.any()) else 0.0)


def noise_of(batch: Batch, k: int, image: Any) -> tuple[FrameNoise, str]:
    """Return the noise of the k-th frame of a batch, and what is doubtful about it.

    Parameters
    ----------
    batch : Batch
        With the noise fields of ``frames``.
    k : int
    image : (y, x) float32 array
        Its electrons, or arbitrary units.

    Returns
    -------
    FrameNoise
        That of electrons only where the frame's own noise is within a factor of 2.5 of theirs.
    str
        Why a frame that is said to hold electrons is not taken to; else empty.
    """
    frames, xp = batch.tables["frames"], batch.backend.xp
    floor = white_variance(image, xp)
    model = str(frames["noise_model"][k]) or "poisson"
    if model == "gaussian":
        return FrameNoise(counted=False, read=0.0, variance=floor), ""
    read = float(np.nan_to_num(frames["read_noise_electrons"][k]))
    read = read if model == "poisson-gaussian" else 0.0
    expected = max(float(image.mean()), 0.0) + read**2
    if expected / _TWICE <= floor <= expected * _TWICE:
        return FrameNoise(counted=True, read=read, variance=expected), ""
    doubt = (
        f"noise has a variance of {floor:.3g} where the frame's electrons let expect "
        f"{expected:.3g}: its values are no counts (filtered or normalised before?); denoised as "
        "if its noise were the same everywhere; use raw counts, or set counts.noise=gaussian"
    )
    return FrameNoise(counted=False, read=0.0, variance=floor), doubt if expected else ""


def white_variance(image: Any, xp: Any) -> float:
    """Return the variance of white noise: the power at the shortest periods along both axes."""
    power = abs(xp.fft.rfft2(image - image.mean())) ** 2
    high_y = abs(xp.fft.fftfreq(image.shape[0])) > _CORNER
    high_x = xp.fft.rfftfreq(image.shape[1]) > _CORNER
    return float(power[high_y][:, high_x].mean()) / image.size
