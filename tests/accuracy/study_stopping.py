"""How often the interval at which a session stops holds the truth, over simulated sessions.

Run from the repository: ``PYTHONPATH=tests python -m accuracy.study_stopping --scale 1``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from accuracy.record import command_line
from stempede.live.stopping import LEAST_FRAMES, LEAST_UNITS, Goal, Running, judge

SESSIONS = 1000
LONGEST = 800
MEAN = 40.0


@dataclass(frozen=True)
class Session:
    """How frames of a simulated session are drawn.

    Parameters
    ----------
    icc : float
        Correlation of size within a frame.
    spread : float
        Standard deviation over mean within a frame.
    skewed : bool
        Log-normal sizes; else normal.
    per_frame : float
        Particles in a frame on average; the counts are over-dispersed.
    area_sd : float
        Relative standard deviation of the mean between areas.
    frames_per_area : int
    named : bool
        Frames name their area.
    target : float
    """

    icc: float = 0.0
    spread: float = 0.15
    skewed: bool = False
    per_frame: float = 50.0
    area_sd: float = 0.0
    frames_per_area: int = 8
    named: bool = False
    target: float = 0.01


SETTINGS = {
    "independent": Session(),
    "icc 0.02": Session(icc=0.02),
    "icc 0.05": Session(icc=0.05),
    "skewed": Session(spread=0.35, skewed=True, icc=0.02, target=0.02),
    "skewed, icc 0.05": Session(spread=0.35, skewed=True, icc=0.05, target=0.02),
    "few particles": Session(per_frame=6, icc=0.05, target=0.02),
    "areas drift by 1 %": Session(icc=0.02, area_sd=0.01, named=True),
    "areas drift by 2 %, skewed": Session(
        icc=0.02, area_sd=0.02, spread=0.35, skewed=True, named=True, target=0.02
    ),
}
UNNAMED = {"areas drift by 1 %, not named": Session(icc=0.02, area_sd=0.01)}


def study(scale: float, seed: int = 0) -> dict[str, Any]:
    """Return, per setting, how often each rule's interval holds the truth, and what it took."""
    n = max(round(scale * SESSIONS), 20)
    cells = {
        name: coverage(setting, n, np.random.default_rng([seed, k]))
        for k, (name, setting) in enumerate({**SETTINGS, **UNNAMED}.items())
    }
    return {"sessions": n, "seed": seed, "cells": cells}


def coverage(setting: Session, n: int, rng: np.random.Generator) -> dict[str, Any]:
    """Draw n sessions of one setting and look at each after every frame."""
    stopped = [one(setting, rng) for _ in range(n)]
    held, plain, frames, always, ended, ratio = (np.array(c) for c in zip(*stopped, strict=True))
    return {
        "precision": float(held.mean()),
        "plain_interval_at_the_stop": float(plain.mean()),
        "sequence": float(always.mean()),
        "median_frames": float(np.median(frames)),
        "did_not_stop": float((~ended).mean()),
        "band_over_interval": float(np.median(ratio)),
    }


def one(setting: Session, rng: np.random.Generator) -> tuple[bool, bool, int, bool, bool, float]:
    """Run one session until the precision rule stops it.

    Returns
    -------
    held : bool
        The interval of fixed width that was promised, mean +- target, holds the true mean.
    plain : bool
        So does the 95 % interval of the frames at the stop.
    frames : int
    always : bool
        The confidence sequence held it at every look from the least number of units on.
    ended : bool
        The rule stopped it before the longest session.
    ratio : float
        Width of the sequence over that of the interval, at the stop.
    """
    goal, running, always = Goal("mean_size", setting.target), Running(), True
    areas = 0
    for k, sizes in enumerate(_frames(setting, rng)):
        area = k // setting.frames_per_area
        areas = area + 1
        unit = area if setting.named else k
        running.add(unit, (len(sizes), sizes.sum()))
        if k + 1 < LEAST_FRAMES:
            continue
        verdict = judge(goal, running, n_areas=areas if setting.named else None)
        found = verdict.estimate
        error = abs(found.value - MEAN)
        if found.n_units >= LEAST_UNITS:
            always = always and error <= found.band
        if verdict.enough:
            break
    plain, fixed = found.half_width, setting.target * found.value
    ratio = found.band / plain
    return error <= fixed, error <= plain, k + 1, always, verdict.enough, ratio


def _frames(setting: Session, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the sizes seen in each frame."""
    between = np.sqrt(setting.icc / (1 - setting.icc)) * setting.spread
    log_sd = np.sqrt(np.log1p(setting.spread**2))
    level = 1.0
    for k in range(LONGEST):
        if k % setting.frames_per_area == 0:
            level = 1.0 + setting.area_sd * rng.standard_normal()
        n = rng.poisson(rng.gamma(4.0, setting.per_frame / 4.0))
        if setting.skewed:
            drawn = np.exp(log_sd * rng.standard_normal(n) - log_sd**2 / 2)
        else:
            drawn = 1.0 + setting.spread * rng.standard_normal(n)
        yield MEAN * level * (1.0 + between * rng.standard_normal()) * drawn


if __name__ == "__main__":
    command_line("stopping", study)
