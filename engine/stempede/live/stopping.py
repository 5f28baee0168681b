"""Stopping: when a quantity is known well enough, and how many more frames that takes.

Two rules. *Precision*: stop when the relative half-width of the 95 % interval reaches a target
(sequential fixed width; Chow and Robbins, Ann. Math. Stat. 36 (1965) 457), with a variance over
sampling units and at least 20 frames; looking after every frame needs no correction, to first
order. *Significance*: stop when an asymptotic confidence sequence leaves zero out
(Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, Ann. Stat. 52 (2024) 2613); it holds at all
times together and takes about 2.4 times the frames.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from stempede.errors import InputError

LEVEL = 0.95
NORMAL = 1.959964
"""Quantile of the normal law at that level."""
LEAST_FRAMES = 20
LEAST_AREAS = 3
"""Fewer areas than this say little of a sample; a warning says so."""
LEAST_UNITS = 8
"""Areas that a rule wants where frames name their area, and from which the sequence begins."""
TUNED_FOR = 50
"""Units at which the confidence sequence is narrowest against the plain interval."""
SLACK = 12.0
"""The variance is taken as (1 + SLACK / n) of what n units show: the first look at which it
happens to be small is the one that stops, and that bias is of order 1 / n."""

QUANTITIES = ("mean_size", "relative_sd", "core_shell", "tilt", "difference")
_GROUP = re.compile(r"group_\d+")


@dataclass(frozen=True)
class Estimate:
    """A quantity after some frames.

    Parameters
    ----------
    value, se : float
        NaN where there is too little.
    n_units : int
        Sampling units.
    df : float
        Degrees of freedom, fewer than units where a few hold most particles.
    """

    value: float
    se: float
    n_units: int
    df: float

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval at this one look."""
        return _student(round(max(self.df, 1.0), 1)) * self.se

    @property
    def band(self) -> float:
        """Half of the confidence sequence, which holds at all looks together.

        Widened as Student's t is against the normal law: the theorem is asymptotic.
        """
        small = _student(round(max(self.df, 1.0), 1)) / NORMAL
        return self.se * math.sqrt(self.n_units) * sequence_width(self.n_units) * small

    @property
    def careful(self) -> float:
        """Half-width by which the precision rule stops."""
        return self.half_width * math.sqrt(1.0 + SLACK / max(self.n_units, 1))


class Running:
    """A statistic of sums over sampling units, with the standard error between units.

    Parameters
    ----------
    statistic : {"ratio", "relative_sd"}
        ``ratio``: second sum over the first (a weighted mean, or a share). ``relative_sd``: of
        sums of weights, weighted sizes, and weighted squares.
    """

    def __init__(self, statistic: str = "ratio") -> None:
        self.statistic = statistic
        k = 3 if statistic == "relative_sd" else 2
        self._units: dict[Hashable, np.ndarray] = {}
        self._total, self._products = np.zeros(k), np.zeros((k, k))
        self._squares = 0.0
        self.n_frames = 0

    def add(self, unit: Hashable, sums: Sequence[float] | np.ndarray, sign: int = 1) -> None:
        """Add the sums of one frame to its unit; ``sign`` -1 takes a frame back."""
        before = self._units.get(unit, np.zeros(len(self._total)))
        after = before + sign * np.asarray(sums, dtype=np.float64)
        self._units[unit] = after
        self._products += np.outer(after, after) - np.outer(before, before)
        self._squares += after[0] ** 2 - before[0] ** 2
        self._total += after - before
        self.n_frames += sign

    @property
    def n_units(self) -> int:
        """Units with anything in them."""
        return len(self._units)

    def estimate(self) -> Estimate:
        """Return the statistic now: delta method over units, as a cluster-robust estimator."""
        n, total = self.n_units, self._total
        if n < 2 or not total[0] > 0:
            return Estimate(math.nan, math.nan, n, 1.0)
        value, gradient = self._value(total)
        # leaving one unit out enlarges its residual by n / (n - 1): CR3 for units alike
        variance = (n / (n - 1)) ** 2 * float(gradient @ self._products @ gradient)
        effective = total[0] ** 2 / self._squares if self._squares > 0 else 1.0
        return Estimate(value, math.sqrt(max(variance, 0.0)), n, max(effective - 1.0, 1.0))

    def _value(self, total: np.ndarray) -> tuple[float, np.ndarray]:
        mean = total[1] / total[0]
        by_mean = np.zeros(len(total))
        by_mean[:2] = -mean / total[0], 1.0 / total[0]
        if self.statistic == "ratio":
            return float(mean), by_mean
        square = total[2] / total[0]
        variance = square - mean**2
        if not variance > 0:
            return math.nan, by_mean * math.nan
        by_square = np.array([-square / total[0], 0.0, 1.0 / total[0]])
        by_variance = by_square - 2 * mean * by_mean
        sd = math.sqrt(variance)
        return float(sd / mean), by_variance / (2 * mean * sd) - sd / mean**2 * by_mean


@lru_cache(maxsize=4096)
def _student(df: float) -> float:
    # what ``stats.t.ppf`` calls, without the second that loading ``stats`` takes
    from scipy.special import stdtrit

    return float(stdtrit(df, 0.5 + LEVEL / 2))


@lru_cache(maxsize=4096)
def sequence_width(n: int, tuned_for: int = TUNED_FOR, level: float = LEVEL) -> float:
    """Return the half-width of the asymptotic confidence sequence, in units' standard deviations.

    Parameters
    ----------
    n : int
        Units so far.
    tuned_for : int
        Units at which it is to be narrowest.
    level : float
    """
    alpha = 1 - level
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1) / tuned_for
    grown = n * rho2 + 1
    return math.sqrt(2 * grown / (n**2 * rho2) * math.log(math.sqrt(grown) / alpha))


@dataclass(frozen=True)
class Goal:
    """What is to be known, and how well.

    Parameters
    ----------
    quantity : str
        ``mean_size relative_sd tilt core_shell group_K`` or ``difference``.
    target : float or None
        Relative half-width; None asks for significance.
    samples : (str, str) or empty
        Of ``difference``: two samples whose mean sizes are compared.
    """

    quantity: str
    target: float | None
    samples: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Goal:
        """Read ``mean_size=1%``, ``group_0=5%``, ``core_shell=significant``, ``difference=A,B``.

        Raises
        ------
        InputError
            The text is no goal.
        """
        name, equals, wanted = (part.strip() for part in text.partition("="))
        known = name in QUANTITIES or _GROUP.fullmatch(name)
        if name == "difference" and wanted.count(",") == 1:
            a, b = (s.strip() for s in wanted.split(","))
            return cls(name, None, (a, b))
        if known and wanted == "significant" and name != "difference":
            return cls(name, None)
        number = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(%?)", wanted)
        if not (known and equals and number) or name == "difference":
            raise InputError(
                f"--stop-when wants QUANTITY=PERCENT or QUANTITY=significant with one of "
                f"mean_size, relative_sd, tilt, core_shell, group_0 ..., or difference=A,B; "
                f"found '{text}'"
            )
        target = float(number[1]) * (0.01 if number[2] else 1.0)
        if not 0 < target < 1:
            raise InputError(f"a half-width above 0 and below 100 % wanted, found '{text}'")
        return cls(name, target)

    def __str__(self) -> str:
        if self.samples:
            return f"difference={','.join(self.samples)}"
        return f"{self.quantity}=" + (
            "significant" if self.target is None else f"{100 * self.target:g}%"
        )


@dataclass(frozen=True)
class Verdict:
    """How far a goal is.

    Parameters
    ----------
    goal : Goal
    estimate : Estimate
    n_frames : int
    enough : bool
    more_frames : int or None
        Frames still wanted, by the variance between units seen so far.
    caution : str
        What a reader must know of it.
    """

    goal: Goal
    estimate: Estimate
    n_frames: int
    enough: bool
    more_frames: int | None
    caution: str = ""


def judge(goal: Goal, running: Running, *, n_areas: int | None = None) -> Verdict:
    """Return whether a goal is reached.

    Parameters
    ----------
    goal : Goal
    running : Running
    n_areas : int, optional
        Areas visited, where frames name theirs: areas are the units then.
    """
    found, frames = running.estimate(), running.n_frames
    least = max(2, LEAST_UNITS if n_areas is not None else LEAST_FRAMES)
    ready = frames >= LEAST_FRAMES and found.n_units >= least and math.isfinite(found.se)
    caution = _caution(n_areas)
    if not math.isfinite(found.se) or not found.value:
        return Verdict(goal, found, frames, enough=False, more_frames=None, caution=caution)
    if goal.target is None:
        reached = found.band < abs(found.value)
        more = _more_for_significance(found, frames)
    else:
        reached = found.careful <= goal.target * abs(found.value)
        more = _more_for_precision(found, frames, goal.target)
    if ready and reached:
        return Verdict(goal, found, frames, enough=True, more_frames=0, caution=caution)
    per_unit = frames / max(found.n_units, 1)
    floor = max(LEAST_FRAMES - frames, math.ceil((least - found.n_units) * per_unit), 1)
    more = None if more is None else max(more, floor)
    return Verdict(goal, found, frames, enough=False, more_frames=more, caution=caution)


def judge_difference(goal: Goal, one: Running, other: Running) -> Verdict:
    """Return whether two samples differ: their sequences at half the error each keep apart."""
    a, b = one.estimate(), other.estimate()
    frames = one.n_frames + other.n_frames
    difference = Estimate(
        a.value - b.value, math.hypot(a.se, b.se), min(a.n_units, b.n_units), min(a.df, b.df)
    )
    halves = [_band_at_half_error(e) for e in (a, b)]
    ready = min(one.n_frames, other.n_frames) >= LEAST_FRAMES
    enough = ready and abs(difference.value) > sum(halves)
    return Verdict(goal, difference, frames, enough=bool(enough), more_frames=None)


def _band_at_half_error(e: Estimate) -> float:
    n = max(e.n_units, 1)
    wider = sequence_width(n, level=(1 + LEVEL) / 2) / sequence_width(n)
    return e.band * wider


def _caution(n_areas: int | None) -> str:
    if n_areas is not None and n_areas < LEAST_AREAS:
        return (
            f"fewer than {LEAST_AREAS} areas were visited: "
            "the numbers are of these areas, not of the sample"
        )
    if n_areas is None:
        return "frames name no area: each counts as a place of its own"
    return ""


def _more_for_precision(found: Estimate, frames: int, target: float) -> int:
    """Frames until the interval is narrow enough, if the variance between units stays."""
    wanted = target * abs(found.value)
    share = (found.careful / wanted) ** 2
    return max(0, math.ceil(frames * (share - 1)))


def _more_for_significance(found: Estimate, frames: int) -> int | None:
    """Frames until the sequence leaves zero out, if value and variance stay; None: too many."""
    n, sd = found.n_units, found.se * math.sqrt(found.n_units)
    if sd == 0:
        return 0
    small = found.band / (found.se * math.sqrt(n) * sequence_width(n))
    signal, units = abs(found.value) / sd, n
    while small * sequence_width(units) >= signal:
        units = math.ceil(units * 1.1) + 1
        if units > 100 * max(n, 10):
            return None
    return math.ceil((units - n) * frames / max(n, 1))
