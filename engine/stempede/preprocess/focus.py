"""Focus: how much of a frame's detail is fine, above its noise."""

from __future__ import annotations

from typing import Any

SIDE_PX = 512
MIDDLE = (0.02, 0.08)
FINE = (0.08, 0.25)
NOISE = (0.4, 0.5)
"""Bands of spatial frequency, cycles per px."""


def sharpness(image: Any, xp: Any) -> float:
    """Return the power of fine detail over that of middling detail, both above the noise.

    The spectrum is that of the frame's middle under a Hann window; the noise is taken as white
    and read off near the Nyquist frequency. Frames of one session are comparable; a frame far
    below the others is out of focus, drifted or empty.

    Parameters
    ----------
    image : (y, x) float32 array
        Any scale and offset.
    xp : module
        NumPy or CuPy.

    Returns
    -------
    float
        0 where nothing fine stands above the noise; NaN where nothing middling does.
    """
    height, width = (min(SIDE_PX, n) for n in image.shape)
    y0, x0 = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    middle = image[y0 : y0 + height, x0 : x0 + width]
    window = xp.hanning(height)[:, None] * xp.hanning(width)
    power = xp.abs(xp.fft.rfft2((middle - middle.mean()) * window)) ** 2
    frequency = xp.hypot(xp.fft.fftfreq(height)[:, None], xp.fft.rfftfreq(width))

    def mean_power(band: tuple[float, float]) -> float:
        inside = (frequency >= band[0]) & (frequency < band[1])
        return float(power[inside].mean()) if bool(inside.any()) else float("nan")

    floor = mean_power(NOISE)
    middling, fine = mean_power(MIDDLE) - floor, mean_power(FINE) - floor
    return max(fine, 0.0) / middling if middling > 0 else float("nan")
