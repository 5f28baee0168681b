"""Sections of the page that account for the run: problems, provenance, speed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from stempede.report.folder import RunFolder
from stempede.report.html import Html, counted, facts, number, section, table, tag

MAX_PROBLEMS = 300


def subtitle(run: RunFolder) -> str:
    """Return when and from what the run was made."""
    document = run.document
    parts = [document.get("origin"), document.get("finished_at") or document.get("started_at")]
    return " · ".join(str(p) for p in parts if p)


def warnings(run: RunFolder) -> list[Any]:
    """Return what a reader must know of any run before its numbers: provisional, all failed."""
    said: list[Any] = []
    if run.provisional:
        total = run.document.get("n_frames")
        share = f" {len(run.frames):,} of {total:,} frames are done." if total else ""
        said.append(
            [
                f"Provisional: the run is {state(run)}.{share} Every number below is of "
                "what was measured so far; ",
                tag("code", f"stempede resume {run.path}"),
                " completes it.",
            ]
        )
    states = run.frames.text("state")
    if states and all(s == "problem" for s in states):
        said.append(f"No frame could be measured: all {len(states):,} failed, see Problems.")
    return said


def footer(items: str) -> Html:
    """Return where the numbers behind the page lie."""
    return tag(
        "footer",
        "Tables are Parquet folders beside this page (",
        tag("code", f"pandas.read_parquet('{items}')"),
        "); figures are in ",
        tag("code", "figures/"),
        " as SVG and PNG. Lengths are (y, x) in pixels, y down; angles turn from +x to +y.",
    )


def problems(run: RunFolder) -> Html:
    """Return the failed items with their reasons."""
    rows = run.problems.rows()
    if not rows:
        said = "None: every frame was measured." if len(run.frames) else "No frames yet."
        return section("problems", "Problems", tag("p", said))
    lines = [
        [
            int(r.get("frame", -1)),
            tag("span", PurePosixPath(str(r.get("source", ""))).name, title=r.get("source")),
            str(r.get("stage", "")),
            tag("span", r.get("reason", ""), class_="wrap"),
        ]
        for r in rows[:MAX_PROBLEMS]
    ]
    rest = ""
    if len(rows) > MAX_PROBLEMS:
        rest = f" The first {MAX_PROBLEMS} are shown; all are in problems/*.parquet."
    return section(
        "problems",
        "Problems",
        tag("p", f"{counted(len(rows), 'item')} not measured, in no number above.{rest}"),
        table(("frame", "source", "stage", "reason"), lines, tall=True),
    )


def provenance(run: RunFolder) -> Html:
    """Return what is needed to repeat the run."""
    document = run.document
    known = facts(
        [
            ("run folder", str(run.path.resolve())),
            ("state", state(run)),
            *((label, _plain(document.get(key))) for key, label in _FACTS.items()),
            ("versions", _plain(document.get("versions"))),
        ]
    )
    recipe = document.get("recipe")
    shown = recipe if isinstance(recipe, str) else json.dumps(recipe, indent=1, default=str)
    # what is listed above or below, or is long and says nothing to a reader
    left_out = ("recipe", "chunks", "timings", "ledger")
    rest = {k: v for k, v in document.items() if k not in left_out}
    notes = [str(n) for key in ("notes", "run_notes") for n in document.get(key) or ()]
    return section(
        "provenance",
        "Provenance",
        known,
        tag("ul", *(tag("li", n) for n in notes[:50])) if notes else None,
        tag("details", tag("summary", "Recipe in full"), tag("pre", shown)) if recipe else None,
        tag(
            "details",
            tag("summary", "run.json, without chunks and timings"),
            tag("pre", json.dumps(rest, indent=1, default=str, ensure_ascii=False)),
        ),
    )


_FACTS = {
    "command": "command",
    "origin": "source",
    "recipe_name": "recipe",
    "recipe_overrides": "settings",
    "recipe_hash": "recipe hash",
    "device": "device",
    "workers": "workers",
    "threads": "threads per worker",
    "host": "host",
    "started_at": "started",
    "finished_at": "finished",
}


def state(run: RunFolder) -> str:
    """Return the state of a run in words."""
    words = "under way, or was cut off" if run.state == "running" else run.state or "not recorded"
    return f"{words}, reductions not run" if run.document.get("reduced") is False else words


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = document.get(key)
    return found if isinstance(found, Mapping) else {}


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return " ".join(str(v) for v in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    return str(value)


def speed(run: RunFolder, n_items: int, items: str) -> Html | None:
    """Return throughput, time per stage and bytes over the bus.

    Parameters
    ----------
    run : RunFolder
    n_items : int
        Rows that were found, by the name ``items``.
    items : str
        ``particles`` or ``columns``.
    """
    document = run.document
    timings = {k: float(v) for k, v in _mapping(document, "timings").items() if _is_number(v)}
    if not timings:
        return None
    total = sum(timings.values()) or 1.0
    rows = [
        [
            name,
            seconds,
            100 * seconds / total,
            tag("span", class_="bar", style=f"width:{100 * seconds / total:.1f}%"),
        ]
        for name, seconds in sorted(timings.items(), key=lambda item: -item[1])
    ]
    return section(
        "speed",
        "Speed",
        tag("p", _throughput(run, n_items, items)),
        table(
            ("stage", "seconds", "share, %", ""),
            rows,
            caption="Time per stage, summed over workers",
            formats={1: ",.2f", 2: ".1f"},
        ),
        _ledger(document),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _throughput(run: RunFolder, n_items: int, items: str) -> str:
    whole = run.document.get("wall_s")
    seconds = run.document.get("measure_s") or whole
    n_frames = len(run.frames)
    if not _is_number(seconds) or not seconds:
        return f"{n_frames:,} frames."
    rate = 60 * n_items / float(seconds)
    return (
        f"{n_frames:,} frames and {n_items:,} {items} in {number(float(seconds))} s: "
        f"{number(n_frames / float(seconds))} frames/s, {number(rate)} {items}/min. "
        f"The whole run took {number(float(whole or seconds))} s, reductions included."
    )


def _ledger(document: Mapping[str, Any]) -> Html | None:
    ledger = _mapping(document, "ledger")
    rows = []
    for stage, moved in ledger.items():
        if isinstance(moved, Mapping):
            up, down = (moved.get(k, 0) for k in ("up", "down"))
            rows.append([stage, up / 1e6, down / 1e6])
    if not rows:
        return None
    return table(
        ("stage", "to the device, MB", "to the host, MB"),
        rows,
        caption="Megabytes handed to the device and back, by stage (on a CPU: none is copied)",
        formats={1: ",.1f", 2: ",.1f"},
    )
