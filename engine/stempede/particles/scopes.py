"""What an ensemble is taken over: the whole session or one sample, and its sampling units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stempede.particles.clusters import LEAST_AREAS, LEAST_FRAMES, Sample
from stempede.tables import Table


@dataclass(frozen=True)
class Scope:
    """Frames that are judged together.

    Parameters
    ----------
    name : str
        ``session`` or ``sample``.
    sample : str
        Label of the sample, empty for the session.
    frames : (n,) int64 array
        Frame numbers, rising; frames that were measured, with or without particles.
    unit : (n,) int64 array
        Sampling unit of each frame.
    unit_kind : str
        ``area`` where any frame names its area, else ``frame``.
    """

    name: str
    sample: str
    frames: np.ndarray
    unit: np.ndarray
    unit_kind: str

    @property
    def n_units(self) -> int:
        """Sampling units that were looked at."""
        return int(self.unit.max(initial=-1)) + 1

    @property
    def shortage(self) -> str:
        """Why no interval can be given; empty where one can."""
        if len(self.frames) < LEAST_FRAMES:
            return f"CI not available: fewer than {LEAST_FRAMES} frames"
        if self.n_units < LEAST_AREAS:
            return f"CI not available: fewer than {LEAST_AREAS} areas"
        return ""

    def rows_of(self, particles: Table) -> np.ndarray:
        """Return which (n,) particles lie in these frames."""
        member: np.ndarray = np.isin(particles["frame"], self.frames)
        return member

    def sample_of(self, frame: np.ndarray, x: np.ndarray, w: np.ndarray) -> Sample:
        """Return sizes x with weights w, seen in the given frames of this scope."""
        unit = self.unit[np.searchsorted(self.frames, frame)]
        return Sample(x, w, unit, self.n_units, not self.shortage)


def scopes(frames: Table) -> list[Scope]:
    """Return the session and, where frames are labelled, each sample.

    Areas are told apart within their sample; a frame without an area is a unit of its own.

    Parameters
    ----------
    frames : Table
        ``frames`` of a run; those whose state is not ``measured`` are left out.

    Returns
    -------
    list of Scope
        The session first, samples in alphabetical order. Empty without a measured frame.
    """
    measured = frames.take(np.asarray(frames["state"] == "measured"))
    if not len(measured):
        return []
    measured = measured.take(np.argsort(measured["frame"], kind="stable"))
    samples = np.asarray(measured["sample"])
    found = [_scope("session", "", measured)]
    names = sorted({str(s) for s in samples})
    if names != [""]:
        found += [_scope("sample", s, measured.take(samples == s)) for s in names if s]
    return found


def _scope(name: str, sample: str, frames: Table) -> Scope:
    keys = [
        f"{s}\0{a}" if a else f"\0{f}"
        for s, a, f in zip(frames["sample"], frames["area"], frames["frame"], strict=True)
    ]
    _, unit = np.unique(keys, return_inverse=True)
    kind = "area" if any(frames["area"]) else "frame"
    return Scope(name, sample, np.asarray(frames["frame"]), unit.reshape(-1), kind)
