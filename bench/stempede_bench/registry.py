"""Names of the cases; each is imported when it is run."""

from __future__ import annotations

import importlib

from stempede_bench.contract import Case

CASES: dict[str, str] = {
    "features": "stempede_bench.cases.features:Features",
    "distance": "stempede_bench.cases.kernels:Distance",
    "watershed": "stempede_bench.cases.kernels:Watershed",
    "route": "stempede_bench.cases.route:Route",
}


def load(name: str) -> Case:
    """Return a case by name."""
    module, attribute = CASES[name].split(":")
    case: Case = getattr(importlib.import_module(module), attribute)()
    return case
