"""The ``groups`` table: how many, how large and of what shape the particles of each group are."""

from __future__ import annotations

from typing import Any

import numpy as np

from stempede.particles.clusters import fraction, mean_and_sd
from stempede.particles.ensemble_tables import features_of_groups
from stempede.particles.scopes import Scope
from stempede.tables import GROUPS, Table


def group_means(scope: Scope, particles: Table, rows: np.ndarray, group: np.ndarray) -> Table:
    """Describe each group by mean, spread, interval and quartiles of every real field.

    Means carry Miles-Lantuejoul weights; intervals take the frame, or the area, as the unit.

    Parameters
    ----------
    scope : Scope
        The session.
    particles : Table
        ``particles``.
    rows : (n,) int64 array
        Accepted particles.
    group : (n,) int64 array
        Their group; -1 where they have none.

    Returns
    -------
    Table
        ``groups``: one row per group and feature.
    """
    weight = np.nan_to_num(particles["weight"][rows], nan=1.0)
    frame = particles["frame"][rows]
    whole = scope.sample_of(frame, np.ones(len(rows)), weight)
    found: list[dict[str, Any]] = []
    for k in range(int(group.max(initial=-1)) + 1):
        member = group == k
        share = fraction(whole, member)
        common = {
            "group": k,
            "fraction": share.value,
            "fraction_ci_low": share.ci_low,
            "fraction_ci_high": share.ci_high,
        }
        for feature in features_of_groups(particles):
            x = particles[feature][rows]
            there = member & np.isfinite(x)
            sample = scope.sample_of(frame[there], x[there], weight[there])
            mean, sd = mean_and_sd(sample)
            found.append(
                {
                    **common,
                    "n": int(there.sum()),
                    "n_frames": len(np.unique(frame[there])),
                    "feature": feature,
                    "mean": mean.value,
                    "sd": sd,
                    "ci_low": mean.ci_low,
                    "ci_high": mean.ci_high,
                    **_quartiles(x[there], weight[there]),
                }
            )
    return Table.from_rows(GROUPS, found)


def _quartiles(x: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """Return the weighted median and quartiles; they hold where a mean does not (p to 30)."""
    names = ("quartile_low", "median", "quartile_high")
    if not len(x):
        return dict.fromkeys(names, np.nan)
    found = np.quantile(x, (0.25, 0.5, 0.75), weights=weight, method="inverted_cdf")
    return dict(zip(names, found.tolist(), strict=True))
