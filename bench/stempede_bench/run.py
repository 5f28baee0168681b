"""Runs benchmark cases, prints a table and writes one JSON.

    python -m stempede_bench.run [CASE ...] [--repeats N] [--json FILE]

One thread is used unless ``NUMBA_NUM_THREADS`` says otherwise: ratios are per core.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

for _variable in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

from stempede_bench.contract import DisagreementError, Result  # noqa: E402
from stempede_bench.measure import machine, run_case  # noqa: E402
from stempede_bench.registry import CASES, load  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases; exit status 1 where contenders disagree."""
    parser = argparse.ArgumentParser(prog="stempede bench", description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all when left out")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write all numbers here")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.cases) - set(CASES))
    if unknown:
        parser.error(f"unknown case {', '.join(unknown)}; known are {', '.join(CASES)}")
    results, failed = [], False
    for name in options.cases or list(CASES):
        try:
            result = run_case(load(name), options.repeats)
        except DisagreementError as error:
            print(f"{name}: no speed given, the contenders disagree: {error}")
            failed = True
            continue
        print(describe(result), flush=True)
        results.append(result)
    if options.json:
        text = json.dumps({"machine": machine(), "results": [asdict(r) for r in results]}, indent=1)
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text + "\n")
        print(f"written: {options.json}")
    return int(failed)


def describe(result: Result) -> str:
    """Return the lines of one case: a row per contender, the ratio and the agreement."""
    lines = [f"{result.case}: {result.items} {result.unit} per call"]
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
            f"{rate:12,.0f} {result.unit}/s{ratio}"
        )
    lines.append("  agreement: " + ", ".join(f"{k} {v:.3g}" for k, v in result.agreement.items()))
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
