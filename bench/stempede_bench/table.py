"""The table of a README, drawn from measurements that were kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HEAD = "| case | per call | stempede | peer | ratio |\n|---|---|---|---|---|"


def markdown(measured: Sequence[Mapping[str, Any]]) -> str:
    """Return a row per case and peer: medians, and ratios with their quartiles.

    Parameters
    ----------
    measured : sequence of mappings
        What ``stempede bench --json`` wrote, read back.
    """
    return "\n".join([HEAD, *(row for file in measured for row in _rows(file["results"]))])


def _rows(results: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = []
    for result in results:
        ours, *peers = result["timings"]
        name = result["case"] + (f", {result['scene']}" if result.get("scene") else "")
        head = f"| {name} | {result['items']:,} {result['unit']} | {_time(ours['median_s'])}"
        if not peers:
            rows.append(f"{head} | | |")
        for peer in peers:
            low, median, high = result["ratios"][peer["name"]]
            rows.append(
                f"{head} | {_time(peer['median_s'])}, {peer['name']} "
                f"| {median:.3g} [{low:.3g}, {high:.3g}] |"
            )
    return rows


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"
