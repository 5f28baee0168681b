"""Evidence: how much each column adds to the likelihood of a frame."""

from __future__ import annotations

import numpy as np

from stempede.columns.joint import System


def gains(system: System) -> np.ndarray:
    """Return (n,) log-likelihoods gained by each column over its absence, the rest as it is.

    Parameters
    ----------
    system : System
        At the optimum. Columns whose pixels were not read gain nothing.
    """
    noise, found = system.problem.noise, []
    for part, start, pixel, value in system.chunks():
        own = value * np.repeat(system.state.intensity[part], np.diff(start))
        without = noise.log_likelihood(system.observed[pixel], system.expected[pixel] - own)
        found.append(_sums(system.likelihood[pixel] - without, start))
    return np.concatenate([np.zeros(0), *found])


def deviances(system: System) -> np.ndarray:
    """Return (n,) deviances of the pixels in each column's reach.

    Poisson deviance where electrons are counted, else squared residuals over their variance.
    """
    noise = system.problem.noise
    observed, expected = noise.counted(system.observed, system.expected)[0], system.expected
    if noise.model == "gaussian" or (noise.model == "poisson-gaussian" and not noise.resolved):
        score, information = noise.score_information(observed, expected)
        own = score**2 / information
    else:
        mean = np.maximum(expected, 1e-12)
        log = np.where(observed > 0, observed, 1) / mean
        own = 2 * (np.where(observed > 0, observed * np.log(log), 0) - (observed - mean))
    parts = [_sums(own[pixel], start) for _, start, pixel, _ in system.chunks()]
    return np.concatenate([np.zeros(0), *parts])


def _sums(values: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the sums of values from each start to the next."""
    if not len(values):
        return np.zeros(len(start) - 1)
    first = np.minimum(start[:-1], len(values) - 1)
    return np.add.reduceat(values, first) * (start[1:] > start[:-1])
