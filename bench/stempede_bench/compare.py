"""What changed between two measurements: ratios of medians with intervals, never a verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_RESAMPLES = 2000

Key = tuple[str, str, str]


def compare(before: Path, after: Path) -> str:
    """Return a table of all that both files measured.

    The interval holds the middle 95 % of ratios of medians over resampled repeats: it covers
    what scatters within each run, not that a machine is faster on one day than on another.

    Parameters
    ----------
    before, after : path
        Files that ``stempede bench --json`` wrote.
    """
    one, two = (json.loads(file.read_text("utf-8")) for file in (before, after))
    lines = [_told("A", before, one["machine"]), _told("B", after, two["machine"])]
    if one["machine"].get("fingerprint") != two["machine"].get("fingerprint"):
        lines.append("not the same machine or libraries: the last column also holds that")
    lines.append(f"{'':<60}{'A, ms':>10}{'B, ms':>10}   B over A [95 %]")
    first, second = dict(_seconds(one)), dict(_seconds(two))
    lines += [_line(key, first[key], second[key]) for key in first if key in second]
    missing = sorted({case for case, _, _ in set(first) ^ set(second)})
    if missing:
        lines.append(f"only in one of them: {', '.join(missing)}")
    return "\n".join(lines)


def ratio_of_medians(one: np.ndarray, two: np.ndarray) -> tuple[float, float, float]:
    """Return (low, ratio, high) of the median of ``two`` over that of ``one``."""
    rng = np.random.default_rng(0)
    medians = [
        np.median(rng.choice(seconds, (_RESAMPLES, len(seconds))), axis=1) for seconds in (one, two)
    ]
    low, high = np.percentile(medians[1] / medians[0], (2.5, 97.5))
    return float(low), float(np.median(two) / np.median(one)), float(high)


def _seconds(measured: Mapping[str, Any]) -> Iterator[tuple[Key, np.ndarray]]:
    for result in measured["results"]:
        for timing in result["timings"]:
            key = (result["case"], result.get("scene", ""), timing["name"])
            yield key, np.array(timing.get("seconds") or [timing["median_s"]])


def _line(key: Key, one: np.ndarray, two: np.ndarray) -> str:
    low, ratio, high = ratio_of_medians(one, two)
    name = " · ".join(filter(None, key))
    medians = "".join(f"{1e3 * np.median(s):>10.1f}" for s in (one, two))
    return f"{name[:59]:<60}{medians}   {ratio:.3f} [{low:.3f}, {high:.3f}]"


def _told(letter: str, file: Path, machine: Mapping[str, Any]) -> str:
    facts = (machine["processor"], machine.get("device"), machine["commit"], machine["date"])
    return f"{letter}  {file.name}: {', '.join(str(fact) for fact in facts if fact)}"
