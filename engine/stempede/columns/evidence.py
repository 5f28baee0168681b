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
    pairs, noise = system.pairs, system.problem.noise
    own = system.state.intensity[pairs.column] * system.parts.value
    observed, expected = system.observed[pairs.pixel], system.expected[pairs.pixel]
    without = expected - own
    there = noise.log_likelihood(observed, expected)
    return pairs.sum_over_column(there - noise.log_likelihood(observed, without))


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
    return system.pairs.sum_over_column(own[system.pairs.pixel])
