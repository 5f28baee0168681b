"""Noise: how likely a pixel's electrons are, given how many are expected there.

Fits need three things of it: the score (derivative of the log-likelihood by the expected
value), the Fisher information, and the log-likelihood itself for comparing models.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.special import gammaln

MODELS = ("poisson", "poisson-gaussian", "gaussian")

_RESOLVED = 0.7
"""Read noise in electrons up to which single electrons stand out, and are summed over."""

_MISFIT = 1.15
"""Scatter of residuals over that of the noise from which the model is held to be too simple."""

_FLOOR = 1e-6
_MEANS = np.geomspace(1e-4, 8, 40)


@dataclass(frozen=True)
class Noise:
    """Noise of a frame.

    Parameters
    ----------
    model : {"poisson", "poisson-gaussian", "gaussian"}
    read_noise : float
        Electrons rms, of ``poisson-gaussian``.
    variance, gain : float
        Of ``gaussian``: the variance of a pixel is ``variance + gain * expected``, in the
        squared unit of the image.
    dispersion : float
        Mean square of residuals in units of the noise, where electrons are counted: 1 where
        columns are as the model has them. Likelihoods are divided by it.

    Notes
    -----
    Up to a read noise of 0.7 electrons the likelihood of a Poisson-Gaussian pixel is the sum
    over whole numbers of electrons: an electron that stands out from the read noise is known to
    be one, which a normal approximation of variance ``expected + read_noise^2`` throws away.
    """

    model: str = "poisson"
    read_noise: float = 0.0
    variance: float = 1.0
    gain: float = 0.0
    dispersion: float = 1.0

    @property
    def resolved(self) -> bool:
        """Whether single electrons are summed over."""
        return self.model == "poisson-gaussian" and 0 < self.read_noise <= _RESOLVED

    @property
    def positive(self) -> bool:
        """Whether the expected value cannot be below zero."""
        return self.model != "gaussian"

    def score_information(
        self, electrons: np.ndarray, expected: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the score and the Fisher information of each pixel.

        Parameters
        ----------
        electrons, expected : (p,) float64 array
        """
        weight = self.information(expected)
        if not self.resolved:
            mean = expected if self.model == "gaussian" else np.maximum(expected, _FLOOR)
            return (electrons - mean) * weight, weight
        mean = np.maximum(expected, _FLOOR)
        return (self._electrons(electrons, mean)[0] / mean - 1) / self.dispersion, weight

    def information(self, expected: np.ndarray) -> np.ndarray:
        """Return the Fisher information of the expected value of each pixel."""
        if self.model == "gaussian":
            return 1 / self._variance(expected)
        mean = np.maximum(expected, _FLOOR)
        if self.resolved:
            weight = self._counted_information(mean)
        else:
            weight = 1 / (mean + self.read_noise**2 * (self.model == "poisson-gaussian"))
        return weight / self.dispersion

    def log_likelihood(self, electrons: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Return the log-likelihood of each pixel, up to a constant of the pixel's own."""
        if self.model == "gaussian":
            variance = self._variance(expected)
            return -0.5 * ((electrons - expected) ** 2 / variance + np.log(variance))
        mean = np.maximum(expected, _FLOOR)
        if self.model == "poisson":
            found = electrons * np.log(mean) - mean
        elif self.resolved:
            found = self._electrons(electrons, mean)[1]
        else:
            variance = mean + self.read_noise**2
            found = -0.5 * ((electrons - mean) ** 2 / variance + np.log(variance))
        return found if self.dispersion == 1 else found / self.dispersion

    def counted(self, electrons: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, Noise]:
        """Return pixels as numbers of electrons where those are resolved, and their noise.

        For comparing models that hardly change what single pixels are expected to hold: the
        mean number of electrons given the pixel stands for the number.
        """
        if not self.resolved:
            return electrons, self
        return self._electrons(electrons, np.maximum(expected, _FLOOR))[0], Noise(
            "poisson", dispersion=self.dispersion
        )

    def rule(self) -> tuple[bool, float, float]:
        """Return whether electrons are counted, else constant and slope of the variance."""
        if self.model == "poisson":
            return True, 0.0, 1.0
        if self.model == "gaussian":
            return False, self.variance, self.gain
        return False, self.read_noise**2, 1.0

    def fitted(self, electrons: np.ndarray, expected: np.ndarray) -> Noise:
        """Return this noise with what residuals tell of it.

        Of ``gaussian`` what is left open. Where electrons are counted, how far residuals
        scatter more than these do: columns that are no Gaussians, specimens that move and
        scans that repeat lines leave residuals that no number of electrons explains.
        """
        if len(electrons) < 16:
            return self
        if self.model != "gaussian":
            score, weight = replace(self, dispersion=1.0).score_information(electrons, expected)
            scatter = float((score**2 / weight).mean())
            return replace(self, dispersion=scatter if scatter > _MISFIT else 1.0)
        square = (electrons - expected) ** 2
        cut = 25 * np.median(square) + 1e-300
        square = np.minimum(square, cut)
        centre = expected.mean()
        spread = ((expected - centre) ** 2).sum()
        slope = ((expected - centre) * square).sum() / spread if spread > 0 else 0.0
        slope = max(0.0, float(slope))
        level = float(square.mean())
        start = max(level - slope * centre, 0.0)
        return Noise("gaussian", 0.0, max(start, 1e-3 * level, 1e-300), slope)

    def _variance(self, expected: np.ndarray) -> np.ndarray:
        return np.maximum(self.variance + self.gain * np.maximum(expected, 0), 1e-300)

    def _electrons(self, electrons: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean number of electrons given the pixel, and its log-likelihood."""
        span = int(np.ceil(6 * self.read_noise))
        first = np.maximum(np.rint(electrons) - span, 0)
        numbers = first + np.arange(2 * span + 1).reshape((-1,) + (1,) * electrons.ndim)
        log = -_log_factorial(numbers) - (electrons - numbers) ** 2 / (2 * self.read_noise**2)
        top = log.max(axis=0)
        weight = np.exp(log - top)
        # sum over k of weight_k mean^k, and its derivative, by Horner's rule
        total = np.broadcast_to(weight[-1], np.broadcast_shapes(weight[-1].shape, mean.shape))
        slope = np.zeros_like(total)
        for part in weight[-2::-1]:
            slope = slope * mean + total
            total = total * mean + part
        log_likelihood = first * np.log(mean) - mean + top + np.log(total)
        return first + mean * slope / total, log_likelihood

    def _counted_information(self, mean: np.ndarray) -> np.ndarray:
        """Return the information of a pixel: of electrons counted, times the share resolved."""
        share = np.interp(np.log(mean), np.log(_MEANS), _resolved_share(self.read_noise))
        bright = mean / (mean + self.read_noise**2)
        return np.where(mean > _MEANS[-1], bright, share) / mean


def _log_factorial(numbers: np.ndarray) -> np.ndarray:
    """Return log k! of whole numbers, from a table."""
    table = gammaln(np.arange(int(numbers.max(initial=0)) + 1) + 1.0)
    return table[numbers.astype(np.int64)]


@lru_cache(maxsize=32)
def _resolved_share(read_noise: float) -> np.ndarray:
    """Return, for each of ``_MEANS``, the share of a counted electron's information."""
    return np.array([_share(mean, read_noise) for mean in _MEANS])


def _share(mean: float, read_noise: float) -> float:
    """Integrate the squared score over what the pixel may read."""
    k = np.arange(0, int(mean + 8 * np.sqrt(mean) + 12))
    probability = np.exp(k * np.log(mean) - mean - gammaln(k + 1))
    step = read_noise / 8
    value = np.arange(-5 * read_noise, k[-1] + 5 * read_noise, step)
    density = probability * np.exp(-0.5 * ((value[:, None] - k) / read_noise) ** 2)
    total = density.sum(axis=1)
    kept = total > 1e-200
    posterior = (density[kept] * k).sum(axis=1) / total[kept]
    square = (posterior / mean - 1) ** 2 * total[kept]
    return float(mean * square.sum() * step / (read_noise * np.sqrt(2 * np.pi)))
