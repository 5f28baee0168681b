"""Names of the cases, by the group they are asked for with; each is imported when it is run."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from stempede_bench.contract import Case, Scene

GROUPS: dict[str, dict[str, str]] = {
    "kernels": {
        "features": "stempede_bench.cases.features:Features",
        "distance": "stempede_bench.cases.kernels:Distance",
        "watershed": "stempede_bench.cases.kernels:Watershed",
        "fit-5-squares": "stempede_bench.cases.fits:Squares5",
        "fit-7-squares": "stempede_bench.cases.fits:Squares7",
        "fit-5-poisson": "stempede_bench.cases.fits:Poisson5",
        "fit-7-poisson": "stempede_bench.cases.fits:Poisson7",
        "refinement": "stempede_bench.cases.fits:Refinement",
        "superellipse-fit": "stempede_bench.cases.shapes:Fitting",
        "superellipse-drawing": "stempede_bench.cases.shapes:Drawing",
    },
    "routes": {
        "route": "stempede_bench.cases.route:Route",
        "route-shapes": "stempede_bench.cases.route:Shapes",
        "columns-route": "stempede_bench.cases.route:Columns",
    },
    "io": {
        "codecs": "stempede_bench.cases.reading:Codecs",
        "tiff": "stempede_bench.cases.reading:Tiff",
    },
    "models": {
        "shape-network": "stempede_bench.cases.models:ShapeNetwork",
        "unet": "stempede_bench.cases.models:UNetwork",
        "denoise": "stempede_bench.cases.models:DenoiseNetwork",
    },
    "session": {"session": "stempede_bench.cases.session:Session"},
}

CASES: dict[str, str] = {name: where for group in GROUPS.values() for name, where in group.items()}


def named(words: Sequence[str]) -> list[str]:
    """Return the cases that some words mean: groups, cases, or ``all``, which is also none.

    ``all`` leaves out the session, which takes minutes where the others take seconds.

    Raises
    ------
    ValueError
        A word is neither.
    """
    cases: list[str] = []
    for word in words or ("all",):
        if word == "all":
            cases += [name for name in CASES if name not in GROUPS["session"]]
        elif word in GROUPS:
            cases += GROUPS[word]
        elif word in CASES:
            cases.append(word)
        else:
            known = ", ".join(("all", *GROUPS, *CASES))
            raise ValueError(f"'{word}' is no case and no group; known are {known}")
    return list(dict.fromkeys(cases))


def load(name: str, scene: Scene | None = None) -> Case:
    """Return a case by name, on a scene or on its usual one."""
    module, attribute = CASES[name].split(":")
    kind = getattr(importlib.import_module(module), attribute)
    case: Case = kind() if scene is None else kind(scene)
    return case
