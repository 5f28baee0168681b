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
