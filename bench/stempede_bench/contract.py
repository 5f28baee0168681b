"""What a benchmark case is, and what a result says.

The contract: inputs come from a fixed seed; every contender works on the same inputs through
its public interface; a gate compares their outputs before anything is timed and refuses a
speed on disagreement; contenders run in turn (A B A B …) after a warm-up, so that a machine
whose speed drifts is unfair to none; the median and the interquartile range are given; on a
device the clock stops after a synchronisation; losses are printed like gains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Contender:
    """One implementation under measurement.

    Parameters
    ----------
    name : str
        Package and function, so that a reader can find it.
    call : callable
        Takes no argument; returns the output that the gate compares.
    """

    name: str
    call: Callable[[], Any]


@dataclass(frozen=True)
class Timing:
    """Seconds per call of one contender.

    Parameters
    ----------
    name : str
    median_s, q1_s, q3_s : float
        Median and quartiles over the repeats.
    repeats : int
    """

    name: str
    median_s: float
    q1_s: float
    q3_s: float
    repeats: int


@dataclass(frozen=True)
class Result:
    """Outcome of a case.

    Parameters
    ----------
    case : str
    items : int
        Things handled per call.
    unit : str
        What an item is (``particles``).
    timings : tuple of Timing
        Ours first.
    ratios : mapping of str to (q1, median, q3)
        Peer time over our time, pair by pair; above 1 we are faster.
    agreement : mapping of str to float
        What the gate measured.
    goal : float or None
        Ratio to reach against the baseline.
    """

    case: str
    items: int
    unit: str
    timings: tuple[Timing, ...]
    ratios: Mapping[str, tuple[float, float, float]]
    agreement: Mapping[str, float] = field(default_factory=dict)
    goal: float | None = None


class Case(Protocol):
    """A benchmark: inputs, contenders, a gate."""

    name: str
    unit: str
    goal: float | None

    def contenders(self) -> tuple[Contender, ...]:
        """Return the implementations, ours first."""
        ...

    def items(self) -> int:
        """Return the number of things handled per call."""
        ...

    def agree(self, outputs: Mapping[str, Any]) -> dict[str, float]:
        """Compare the outputs; raise ``DisagreementError`` where they differ too much."""
        ...


class DisagreementError(AssertionError):
    """Contenders do not compute the same thing: no speed is given."""
