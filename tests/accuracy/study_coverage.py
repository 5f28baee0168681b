"""How often the 95 % intervals hold the truth, over simulated sessions of sizes.

Run from the repository: ``PYTHONPATH=tests python -m accuracy.study_coverage --scale 1``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from accuracy.record import command_line
from accuracy.statistical import SETTINGS, Setting, draw, truths
from stempede.particles.clusters import design_effect, fraction, moments, quantiles

SESSIONS = 1000
SHARE = 0.3


def study(scale: float, seed: int = 0) -> dict[str, Any]:
    """Return coverage per setting and quantity, with the naive interval of the mean beside it."""
    n = max(round(scale * SESSIONS), 20)
    cells = {
        name: coverage(setting, n, np.random.default_rng([seed, k]))
        for k, (name, setting) in enumerate(SETTINGS.items())
    }
    return {"sessions": n, "seed": seed, "cells": cells}


def coverage(setting: Setting, n: int, rng: np.random.Generator) -> dict[str, Any]:
    """Draw n sessions of one setting and count the intervals that hold the truth."""
    known = truths(setting)
    hits = dict.fromkeys((*known, "fraction", "naive mean"), 0)
    effects, width = [], []
    for _ in range(n):
        sample, member = draw(setting, rng)
        found = moments(sample)
        effects.append(design_effect(sample, found["mean"], found["sd"].value))
        width.append(found["mean"].ci_high - found["mean"].ci_low)
        median, high = quantiles(sample, (0.5, 0.9))
        estimates = {**found, "median": median, "q90": high}
        for name, truth in known.items():
            hits[name] += bool(estimates[name].ci_low <= truth <= estimates[name].ci_high)
        share = fraction(sample, member)
        hits["fraction"] += bool(share.ci_low <= SHARE <= share.ci_high)
        naive = 1.96 * sample.x.std() / np.sqrt(len(sample.x))
        hits["naive mean"] += bool(abs(found["mean"].value - known["mean"]) <= naive)
    return {
        "headline": setting.headline,
        "coverage": {name: count / n for name, count in hits.items()},
        "median_design_effect": float(np.median(effects)),
        "median_relative_width_of_mean": float(np.median(width) / known["mean"]),
    }


if __name__ == "__main__":
    command_line("coverage", study)
