"""Words: the parts of the live page that are text, as escaped HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from stempede.dashboard.board import Board
from stempede.live.stopping import LEAST_FRAMES, Estimate

PROBLEMS = 40
ORDERS = {"all": "the oldest", "latest-first": "the newest"}


def heading(board: Board) -> str:
    """Return what the page is of, and that its numbers are provisional."""
    source = board.document.get("live", {}).get("source", board.document.get("origin", ""))
    name = escape(Path(str(source)).name or "waiting for the run")
    state = board.status.get("state", board.document.get("state", "not begun"))
    settled = board.document.get("reduced") and not board.document.get("watching")
    kind = "final" if settled else "provisional"
    words = (
        "The run is settled: its tables and report are final."
        if settled
        else "Numbers are of the frames so far; the final pass settles them."
    )
    return (
        f'<div class="top"><h1>{name}</h1><span class="state {escape(state)}">{escape(state)}'
        f'</span><span class="state {kind}" title="{escape(words)}">{kind}</span></div>'
    )


def numbers(board: Board) -> str:
    """Return the figures at the top: size, spread, frames, rate, delay, backlog."""
    status, tally = board.status, board.tally
    tiles = []
    if tally is not None and tally.curve.n:
        mean, spread = tally.curve.mean[-1], tally.curve.spread[-1]
        name = "mean staggered tilt" if board.is_columns else f"mean {tally.size.replace('_', ' ')}"
        tiles.append(_tile(name, _with_interval(mean, tally.unit, 2), "large"))
        if not board.is_columns:
            tiles.append(_tile("σ/d", _with_interval(spread, "", 3), "large"))
        items = sum(len(s.sizes) for s in tally.frames.values())
        tiles.append(_tile("octahedra" if board.is_columns else "particles", f"{items:,}"))
    tiles.append(_tile("frames", f"{status.get('measured', 0):,}"))
    behind = int(status.get("backlog", 0) or 0)
    tiles.append(_tile("waiting", f"{behind:,}", "late" if behind > 10 else ""))
    tiles.append(_tile("rate", f"{status.get('frames_per_s', 0) or 0:.2f} /s"))
    delay = status.get("latency_s")
    tiles.append(_tile("delay", "–" if delay is None else f"{delay:.1f} s"))
    bad = len({p["frame"] for p in tally.problems}) if tally is not None else 0
    tiles.append(_tile("problems", f"{bad:,}", "late" if bad else ""))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(name: str, value: str, kind: str = "") -> str:
    return f'<div class="tile {kind}"><span>{escape(name)}</span><b>{value}</b></div>'


def _with_interval(estimate: Estimate, unit: str, digits: int) -> str:
    if not math.isfinite(estimate.value):
        return "–"
    text = f"{estimate.value:.{digits}f}"
    if estimate.n_units >= 5 and math.isfinite(estimate.half_width):
        text += f" <small>± {estimate.half_width:.{digits}f}</small>"
    return f"{text} {escape(unit)}".strip()


def notices(board: Board) -> str:
    """Return what the operator should know now: waiting, behind, goals, warnings."""
    status = board.status
    lines = []
    preparing = status.get("preparing")
    if not board.status:
        lines.append(("wait", "Waiting for the watcher."))
    elif preparing and status.get("state") == "watching":
        lines.append(
            ("wait", f"Waiting for {preparing[1]} frames to begin with; {preparing[0]} are here.")
        )
    behind, rate = status.get("backlog", 0) or 0, status.get("frames_per_s", 0) or 0
    if behind and not preparing and not status.get("measured"):
        lines.append(("wait", "The first frames are being measured; loading takes its time."))
    elif behind > 10 and not preparing:
        time = f", about {behind / rate:.0f} s" if rate else ""
        order = ORDERS.get(str(status.get("policy")), "")
        lines.append(("warn", f"{behind:,} frames behind{time}; none is lost, {order} first."))
    if status.get("incomplete"):
        lines.append(("wait", f"{status['incomplete']:,} files are not whole yet."))
    lines += [_goal(g, board) for g in status.get("goals", ())]
    for caution in dict.fromkeys(g["caution"] for g in status.get("goals", ()) if g["caution"]):
        lines.append(("note", caution[0].upper() + caution[1:] + "."))
    flagged = [e for e in status.get("events", ()) if e["event"] in ("flag", "problem")][-3:]
    lines += [("warn", _event(e)) for e in reversed(flagged)]
    return "".join(f'<p class="{kind}">{escape(words)}</p>' for kind, words in lines)


def _goal(goal: Mapping[str, Any], board: Board) -> tuple[str, str]:
    """Return one stopping rule in words: what is known now, and how many more frames it takes."""
    name = str(goal["goal"])
    value, half = goal["value"], goal["half_width"]
    if not value or half is None:
        return "wait", f"{name}: nothing to judge by yet."
    quantity = name.partition("=")[0]
    lengths = board.tally.unit if board.tally is not None and not board.is_columns else ""
    unit = {"mean_size": lengths, "difference": lengths, "tilt": "deg", "core_shell": "deg"}
    now = f"{value:.4g} ± {half:.2g} {unit.get(quantity, '')}".rstrip()
    share = 100 * half / abs(value)
    now += f" ({share:.0f} %)" if share >= 10 else f" ({share:.2g} %)"
    if goal.get("reached_at"):
        return "enough", f"Enough: {name} was reached at {goal['reached_at']} frames; now {now}."
    if goal["more_frames"] is None:
        return "wait", f"{name}: now {now}; no forecast yet."
    least = f" (at least {LEAST_FRAMES} in all)" if goal["n_frames"] < LEAST_FRAMES else ""
    return "wait", f"{name}: now {now}; about {goal['more_frames']:,} more frames{least}."


def _event(event: Mapping[str, Any]) -> str:
    name = Path(str(event.get("source") or event.get("path") or "")).name
    what = ", ".join(event["flags"]) if "flags" in event else str(event.get("reason", ""))
    return f"{name or event.get('stage', event['event'])}: {what}"


def problems(board: Board) -> str:
    """Return the problem rows, the newest first."""
    rows = [] if board.tally is None else board.tally.problems[-PROBLEMS:][::-1]
    if not rows:
        return '<h2>Problems</h2><p class="none">None.</p>'
    lines = "".join(
        f"<tr><td>{int(p['frame'])}</td><td>{escape(Path(str(p['source'])).name)}</td>"
        f"<td>{escape(str(p['stage']))}</td><td>{escape(str(p['reason']))}</td></tr>"
        for p in rows
    )
    return f'<h2>Problems</h2><div class="scroll"><table>{lines}</table></div>'


def groups(board: Board) -> str:
    """Return the shape groups so far, where the recipe groups."""
    table = board.provisional.get("groups")
    if board.is_columns or table is None or not len(table):
        return ""
    shares = {
        int(g): (float(f), int(n))
        for g, f, n in zip(table["group"], table["fraction"], table["n"], strict=True)
    }
    if len(shares) < 2:
        return ""
    bars = "".join(
        f'<div class="bar"><span>group {g}</span><i style="width:{60 * share:.1f}%"></i>'
        f"<b>{100 * share:.1f} %</b></div>"
        for g, (share, _) in sorted(shares.items())
    )
    frames = board.status.get("provisional_frames", 0)
    return f"<h2>Groups <small>provisional, of {frames} frames</small></h2>{bars}"
