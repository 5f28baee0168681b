"""Names of the cases; each is imported when it is run."""

from __future__ import annotations

import importlib

from stempede_bench.contract import Case

CASES: dict[str, str] = {
    "features": "stempede_bench.cases.features:Features",
    "distance": "stempede_bench.cases.kernels:Distance",
    "watershed": "stempede_bench.cases.kernels:Watershed",
    "route": "stempede_bench.cases.route:Route",
    "fit-5-squares": "stempede_bench.cases.fits:Squares5",
    "fit-7-squares": "stempede_bench.cases.fits:Squares7",
    "fit-5-poisson": "stempede_bench.cases.fits:Poisson5",
    "fit-7-poisson": "stempede_bench.cases.fits:Poisson7",
    "refinement": "stempede_bench.cases.fits:Refinement",
}


def load(name: str) -> Case:
    """Return a case by name."""
    module, attribute = CASES[name].split(":")
    case: Case = getattr(importlib.import_module(module), attribute)()
    return case
