"""Log-likelihoods of a column tried at many places, on the CPU."""

from math import exp, log, pi

import numpy as np
from numba import njit

from stempede_kernels.threads import spread

_plain = njit(cache=True, nogil=True, error_model="numpy")

LEAST = 0.02
"""Electrons below which a pixel of a counted frame holds none."""

_FLOOR = 1e-6
_SMALL = 1e-3


def place_gains(pixels, observed, without, places, light, sigma, noise):
    """Return (k, s, g) log-likelihoods gained by columns at places."""
    found = np.zeros((len(observed), light.shape[1], places.shape[1]))
    spread(_some, len(observed), pixels, observed, without, places, light, sigma, noise, found)
    return found


@_plain
def _some(begin, end, pixels, observed, without, places, light, sigma, noise, found):
    for k in range(begin, end):
        _one(k, pixels, observed, without, places, light, sigma, noise, found)


@_plain
def _one(k, pixels, observed, without, places, light, sigma, noise, found):
    """Try the places of one column; noise is (counted, constant, slope) of a pixel's variance."""
    n, counted = observed.shape[1], noise[0] > 0
    profile = np.empty(n)
    for g in range(places.shape[1]):
        total = 0.0
        for p in range(n):
            dy, dx = pixels[k, p, 0] - places[k, g, 0], pixels[k, p, 1] - places[k, g, 1]
            square = 0.5 * (dy * dy + dx * dx) / (sigma[k] * sigma[k])
            value = 0.0
            if np.isfinite(observed[k, p]) and square < 36:
                value = exp(-square) / (2 * pi * sigma[k] * sigma[k])
            profile[p] = value
            total += value
        for s in range(light.shape[1]):
            if counted:
                gain = _counted(profile, observed[k], without[k], light[k, s])
                found[k, s, g] = gain - light[k, s] * total
            else:
                found[k, s, g] = _normal(profile, observed[k], without[k], light[k, s], noise)


@_plain
def _counted(profile, observed, without, light):
    """Return the sum over pixels that hold electrons of these times the log of the gain."""
    gain = 0.0
    for p in range(len(profile)):
        if profile[p] > 0 and observed[p] > LEAST:
            more = light * profile[p] / max(without[p], _FLOOR)
            if more < _SMALL:
                gain += observed[p] * more * (1 - more * (0.5 - more / 3))
            else:
                gain += observed[p] * log(1 + more)
    return gain


@_plain
def _normal(profile, observed, without, light, noise):
    """Return the gain where pixels are normal with a variance that follows the mean."""
    gain = 0.0
    for p in range(len(profile)):
        if profile[p] > 0:
            mean = without[p] + light * profile[p]
            before = max(noise[1] + noise[2] * max(without[p], 0.0), 1e-300)
            after = max(noise[1] + noise[2] * max(mean, 0.0), 1e-300)
            gain += (observed[p] - without[p]) ** 2 / before - (observed[p] - mean) ** 2 / after
            if noise[2] > 0:
                gain -= log(after / before)
    return 0.5 * gain
