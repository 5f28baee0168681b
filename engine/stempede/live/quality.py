"""Quality: which frames a recipe's thresholds flag, said once each while they come."""

from __future__ import annotations

import time
import tomllib
from typing import Any

from stempede.live.tally import Tally
from stempede.stage import find
from stempede.tables import FRAMES, Table

REDUCTION = "preprocess.flags"
SHARE = 0.1
"""Flags are medians over all frames: no more of the time than this goes into them."""
DRIFT = ("drift_y_px", "drift_x_px")


class Alerts:
    """Applies the flags of a recipe to the frames so far.

    Parameters
    ----------
    reduction : Reduce or None
        As ``flagging`` returns it; None flags nothing.
    """

    def __init__(self, reduction: Any) -> None:
        self._reduction = reduction
        self.flags: dict[int, str] = {}
        self._seen: tuple[int, int] | None = None
        self._not_before = 0.0

    def update(
        self, tally: Tally, provisional: Table | None = None, *, at_once: bool = False
    ) -> list[dict[str, Any]]:
        """Return the flags that are new, one entry per frame; to be called often.

        Parameters
        ----------
        tally : Tally
        provisional : Table, optional
            ``frames`` of the reductions so far, which know the drift.
        at_once : bool
            However long it took last.
        """
        seen = (tally.version, id(provisional))
        started = time.monotonic()
        if seen == self._seen or (started < self._not_before and not at_once):
            return []
        self._seen = seen
        self.flags, before = flags_of(self._reduction, tally, provisional), self.flags
        now_s = time.monotonic()
        self._not_before = now_s + (now_s - started) / SHARE
        news = []
        for frame, flags in self.flags.items():
            fresh = set(flags.split(", ")) - set(before.get(frame, "").split(", "))
            if fresh - {""}:
                source = tally.frames[frame].facts["source"]
                news.append({"frame": frame, "source": source, "flags": sorted(fresh - {""})})
        return news


def reduce_entries(recipe: str) -> dict[str, dict[str, Any]]:
    """Return the parameters of each reduction of a recipe's text, without importing a stage."""
    entries = tomllib.loads(recipe).get("reduce", [])
    return {e["use"]: {k: v for k, v in e.items() if k != "use"} for e in entries}


def flagging(recipe: str) -> Any:
    """Return the reduction that flags frames, None where a recipe's text names none."""
    entries = reduce_entries(recipe)
    return find("reduce", REDUCTION)(**entries[REDUCTION]) if REDUCTION in entries else None


def size_of(recipe: str) -> str:
    """Return the headline size measure of a recipe's text."""
    sizes = [str(e["size"]) for e in reduce_entries(recipe).values() if "size" in e]
    return sizes[0] if sizes else "major_axis"


def flags_of(reduction: Any, tally: Tally, provisional: Table | None) -> dict[int, str]:
    """Return the flags of each frame of a tally that has any."""
    if reduction is None or not tally.frames:
        return {}
    rows = [{k: v for k, v in row.items() if k in FRAMES.names} for row in tally.table()]
    if provisional is not None:
        drift = zip(*(provisional[name].tolist() for name in ("frame", *DRIFT)), strict=True)
        known = {n: dict(zip(DRIFT, shift)) for n, *shift in drift}
        rows = [{**row, **known.get(row["frame"], {})} for row in rows]
    made = reduction({"frames": Table.from_rows(FRAMES, rows)})["frames"]
    pairs = zip(made["frame"].tolist(), made["flags"].tolist(), strict=True)
    return {int(n): str(flags) for n, flags in pairs if flags}
