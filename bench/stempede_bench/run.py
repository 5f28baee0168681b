"""Runs benchmark cases against named peers, prints a table, writes JSON and a page.

    stempede bench [kernels|routes|io|models|all|CASE ...] [--peers A,B] [--vary side=512,1024]
    stempede bench compare A.json B.json      what changed between two measurements, with intervals
    stempede bench table FILE.json            a table for a README

One thread is used unless ``NUMBA_NUM_THREADS`` says otherwise: ratios are per core.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

for _variable in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

from stempede_bench.compare import compare  # noqa: E402
from stempede_bench.contract import USUAL, Case, DisagreementError, Result, Scene  # noqa: E402
from stempede_bench.measure import machine, run_case  # noqa: E402
from stempede_bench.registry import CASES, GROUPS, load, named  # noqa: E402
from stempede_bench.table import markdown  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases; exit status 1 where contenders disagree."""
    options = _parser().parse_args(arguments)
    first, *files = options.cases or [""]
    if first == "compare":
        print(compare(*_two(files)))
        return 0
    if first == "table":
        print(markdown([json.loads(Path(f).read_text("utf-8")) for f in files]))
        return 0
    try:
        names = named(options.cases)
        variations = _variations(options.vary)
    except ValueError as error:
        _parser().error(str(error))
    peers = None if options.peers is None else set(options.peers.split(","))
    results, failed = [], False
    for name in names:
        for case in _on_scenes(name, variations):
            try:
                result = run_case(case, options.repeats, peers=peers)
            except DisagreementError as error:
                print(f"{name}: no speed given, the contenders disagree: {error}")
                failed = True
                continue
            print(describe(result), flush=True)
            results.append(result)
    measured = {"machine": machine(), "results": [asdict(r) for r in results]}
    if options.json:
        _write(options.json, json.dumps(measured, indent=1) + "\n")
    if options.html:
        from stempede_bench.page import page

        _write(options.html, page(measured))
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stempede bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words = f"groups ({', '.join(('all', *GROUPS))}) or cases ({', '.join(CASES)})"
    parser.add_argument("cases", nargs="*", help=f"{words}; all when left out")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument(
        "--peers", help="packages that may compete, such as skimage,scipy; '' for none"
    )
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="FIELD=A,B,…",
        help="one after the other: side, px; count, particles of a frame; batch, frames of a call",
    )
    parser.add_argument("--json", type=Path, help="write all numbers here")
    parser.add_argument("--html", type=Path, help="write a page with plots here")
    return parser


def _two(files: Sequence[str]) -> tuple[Path, Path]:
    if len(files) != 2:
        _parser().error("compare wants two JSON files: stempede bench compare A.json B.json")
    return Path(files[0]), Path(files[1])


def _variations(words: Sequence[str]) -> list[Scene]:
    """Return the scenes asked for; one field is changed at a time."""
    scenes = []
    for word in words:
        field, _, values = word.partition("=")
        if field not in vars(USUAL) or not values:
            raise ValueError(f"--vary wants {' or '.join(vars(USUAL))}=A,B,…; found '{word}'")
        scenes += [replace(USUAL, **{field: int(value)}) for value in values.split(",")]
    return scenes


def _on_scenes(name: str, scenes: Sequence[Scene]) -> Iterator[Case]:
    """Yield a case on each scene that changes something it follows, else on its usual one."""
    usual = load(name)
    changed = [s for s in scenes if any(getattr(s, f) != getattr(USUAL, f) for f in usual.varies)]
    if scenes and usual.varies:
        yield from (load(name, s) for s in scenes if s in changed or s == USUAL)
    else:
        yield usual


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    print(f"written: {file}")


def describe(result: Result) -> str:
    """Return the lines of one case: a row per contender, ratio, floor, stages and agreement."""
    scene = f" ({result.scene})" if result.scene else ""
    lines = [f"{result.case}{scene}: {result.items} {result.unit} per call"]
    for timing in result.timings:
        spread = f"[{1e3 * timing.q1_s:.1f}, {1e3 * timing.q3_s:.1f}]"
        rate = result.items / timing.median_s
        ratio = ""
        if timing.name in result.ratios:
            low, median, high = result.ratios[timing.name]
            goal = f", goal {result.goal:g}" if result.goal else ""
            ratio = f"  {median:.2f}x [{low:.2f}, {high:.2f}]{goal}"
        lines.append(
            f"  {timing.name:<36} {1e3 * timing.median_s:9.1f} ms {spread:<20}"
            f"{rate:12,.{0 if rate >= 10 else 2}f} {result.unit}/s{ratio}"
        )
    if result.floor_s:
        share = result.floor_s / result.timings[0].median_s
        floor = f"{1e3 * result.floor_s:.2f} ms by memory or arithmetic"
        lines.append(f"  floor {floor}: ours has {share:.1%} of that speed")
    whole = sum(result.stages_s.values())
    if whole:
        ranked = sorted(result.stages_s.items(), key=lambda item: -item[1])
        shares = ", ".join(f"{stage} {s / whole:.0%}" for stage, s in ranked if s > 0.01 * whole)
        lines.append(f"  stages: {shares}")
    lines.append("  agreement: " + ", ".join(f"{k} {v:.3g}" for k, v in result.agreement.items()))
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
