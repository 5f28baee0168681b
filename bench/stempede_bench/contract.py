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
from typing import Any, ClassVar


@dataclass(frozen=True)
class Scene:
    """What a case of images is measured on.

    Parameters
    ----------
    side : int
        Rows and columns of a frame.
    count : int, optional
        Particles of a frame; by default as dense as 400 on 2048 x 2048.
    batch : int
        Frames per call.
    """

    side: int = 2048
    count: int | None = None
    batch: int = 1

    def __str__(self) -> str:
        """Return what differs from the usual scene, or nothing."""
        words = [
            f"{name}={value}" for name, value in vars(self).items() if value != getattr(USUAL, name)
        ]
        return ", ".join(words)


USUAL = Scene()


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

    @property
    def package(self) -> str:
        """Who made it: the first word of the name."""
        return self.name.split()[0].split(".")[0]


@dataclass(frozen=True)
class Work:
    """The least that any implementation must do per call; what the floor is counted from.

    Parameters
    ----------
    bytes : float
        Through memory: every input read once, every output written once.
    flops : float
        Floating-point operations that the method cannot do without.
    """

    bytes: float
    flops: float = 0.0


@dataclass(frozen=True)
class Timing:
    """Seconds per call of one contender.

    Parameters
    ----------
    name : str
    seconds : tuple of float
        One per repeat, in order: the k-th of every contender ran side by side.
    median_s, q1_s, q3_s : float
        Median and quartiles over the repeats.
    """

    name: str
    seconds: tuple[float, ...]
    median_s: float
    q1_s: float
    q3_s: float


@dataclass(frozen=True)
class Result:
    """Outcome of a case.

    Parameters
    ----------
    case : str
    scene : str
        What differs from the usual scene, or nothing.
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
    floor_s : float or None
        Seconds that this machine needs for the least work, by its measured rates.
    stages_s : mapping of str to float
        Median seconds of ours by stage, where it has stages.
    """

    case: str
    scene: str
    items: int
    unit: str
    timings: tuple[Timing, ...]
    ratios: Mapping[str, tuple[float, float, float]]
    agreement: Mapping[str, float] = field(default_factory=dict)
    goal: float | None = None
    floor_s: float | None = None
    stages_s: Mapping[str, float] = field(default_factory=dict)


class Case:
    """A benchmark: inputs, contenders, a gate.

    Parameters
    ----------
    scene : Scene
        What it is measured on; cases without images take none of it.
    """

    name: ClassVar[str] = ""
    unit: ClassVar[str] = "items"
    goal: float | None = None
    varies: ClassVar[tuple[str, ...]] = ()
    """Fields of the scene that this case follows."""

    def __init__(self, scene: Scene = USUAL) -> None:
        self.scene = scene

    def contenders(self) -> tuple[Contender, ...]:
        """Return the implementations, ours first."""
        raise NotImplementedError

    def items(self) -> int:
        """Return the number of things handled per call."""
        raise NotImplementedError

    def agree(self, outputs: Mapping[str, Any]) -> dict[str, float]:
        """Compare the outputs; raise ``DisagreementError`` where they differ too much."""
        raise NotImplementedError

    def work(self) -> Work | None:
        """Return the least work of a call, where it can be counted."""
        return None

    def stages(self) -> dict[str, float]:
        """Return the seconds of each stage of ours in its last call."""
        return {}


class DisagreementError(AssertionError):
    """Contenders do not compute the same thing: no speed is given."""
