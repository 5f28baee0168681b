"""Quality: which frames a recipe's thresholds flag, said once each while they come."""

from __future__ import annotations

from typing import Any

from stempede.live.tally import Tally
from stempede.recipe import Recipe
from stempede.tables import FRAMES, Table

REDUCTION = "preprocess.flags"


class Alerts:
    """Applies the flags of a recipe to the frames so far.

    Parameters
    ----------
    recipe : Recipe
        One without ``preprocess.flags`` flags nothing.
    """

    def __init__(self, recipe: Recipe) -> None:
        found = [r for r in recipe.of_kind("reduce") if r.name == REDUCTION]
        self._reduction: Any = found[0] if found else None
        self.flags: dict[int, str] = {}

    def update(self, tally: Tally) -> list[dict[str, Any]]:
        """Return the flags that are new, one entry per frame."""
        self.flags, before = flags_of(self._reduction, tally), self.flags
        news = []
        for frame, flags in self.flags.items():
            fresh = set(flags.split(", ")) - set(before.get(frame, "").split(", "))
            if fresh - {""}:
                source = tally.frames[frame].facts["source"]
                news.append({"frame": frame, "source": source, "flags": sorted(fresh - {""})})
        return news


def flags_of(reduction: Any, tally: Tally) -> dict[int, str]:
    """Return the flags of each frame of a tally that has any."""
    if reduction is None or not tally.frames:
        return {}
    rows = [{k: v for k, v in row.items() if k in FRAMES.names} for row in tally.table()]
    made = reduction({"frames": Table.from_rows(FRAMES, rows)})["frames"]
    pairs = zip(made["frame"].tolist(), made["flags"].tolist(), strict=True)
    return {int(n): str(flags) for n, flags in pairs if flags}
