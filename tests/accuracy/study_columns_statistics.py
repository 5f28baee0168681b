"""Whether averages over columns, and core against shell, are as sure as they say.

Positions are drawn from their covariance at the noise of three recorded doses; what is measured
of them goes through the route's own stages. ``p04``, ``p05`` and ``p10`` are 200, 500 and
300 e/Å² on a counting, a counting and an analog detector.

Run from the repository: ``PYTHONPATH=tests python -m accuracy.study_columns_statistics --scale 1``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from accuracy.drawn_columns import NOISE, draw, together
from accuracy.record import command_line
from stempede.backend import Backend
from stempede.columns.cells import CellsStage
from stempede.columns.contrast import contrast
from stempede.columns.layers import Layers
from stempede.columns.network import Network
from stempede.columns.octahedra import Octahedra
from stempede.columns.rings import layers_of
from stempede.frames import Batch, Calibration, FrameRecord
from stempede.simulate.columns import Dot, Tilt
from stempede.tables import Table

UNIFORM_DOTS, CONTRAST_DOTS, PULL_DOTS = 400, 400, 300
PIXEL_NM = 0.015
SIZES = {"p04": (8, 8), "p05": (8, 8), "p10": (10, 10)}
SHAPES: dict[str, dict[str, Any]] = {
    "square": {},
    "cut corners": {"cut_corners": 2},
    "missing X": {"missing_x": 0.04, "cut_corners": 1},
}
TILT_DEG = 9.0
CONTRAST_DEG = 2.5


def study(scale: float, seed: int = 0) -> dict[str, Any]:
    """Return rejection, power and pulls, each by dose and shape."""
    uniform = {
        f"{dose}, {shape}": _tested(_dot(dose, shape), dose, round(scale * UNIFORM_DOTS), (seed, k))
        for k, (dose, shape) in enumerate((d, s) for d in NOISE for s in SHAPES)
    }
    # rim X stand between shell and core: 8/9 of the step is left in the sites' own tilts
    step = CONTRAST_DEG * 9 / 8
    shell = Dot(cells=(10, 10), tilt=Tilt("core-shell", TILT_DEG, TILT_DEG - step, layers=1))
    power = _tested(shell, "p10", round(scale * CONTRAST_DOTS), (seed, 90))
    pulls = {
        dose: _pulls(dose, max(2, round(scale * PULL_DOTS)), (seed, 91 + k))
        for k, dose in enumerate(NOISE)
    }
    return {
        "seed": seed,
        "uniform": uniform,
        "contrast": {"degrees": CONTRAST_DEG, **power},
        "pulls": pulls,
    }


def _dot(dose: str, shape: str) -> Dot:
    return Dot(cells=SIZES[dose], tilt=Tilt("uniform", TILT_DEG), **SHAPES[shape])


def _tested(dot: Dot, dose: str, n: int, seed: tuple[int, ...]) -> dict[str, float]:
    """Compare core and shell of n dots."""
    p, difference, truth = (np.empty(n) for _ in range(3))
    for k in range(n):
        tables, known = draw(dot, NOISE[dose], (*seed, k))
        network = Network.of(tables["columns"], pixel_size_yx_nm=(PIXEL_NM, PIXEL_NM))
        layer = layers_of(network.i, network.j)
        tilt = network.staggered
        found = contrast(tilt.value, tilt.covariance(), layer >= 2, layer == 0, seed=(*seed, k))
        p[k], difference[k] = found.p, found.difference
        sites = known["truth_sites"]
        own = sites["staggered_tilt_deg"]
        truth[k] = own[sites["layer"] >= 2].mean() - own[sites["layer"] == 0].mean()
    return {
        "dots": n,
        "true_difference_deg": float(truth.mean()),
        "mean_difference_deg": float(difference.mean()),
        "rejected_at_5_percent": float(np.mean(p < 0.05)),
        "rejected_at_1_percent": float(np.mean(p < 0.01)),
    }


def _pulls(dose: str, n: int, seed: tuple[int, ...]) -> dict[str, Any]:
    """Return mean and spread of (found - true) / se for n dots of each shape."""
    pulls: dict[str, list[float]] = {}
    shapes = {name: _dot(dose, name) for name in SHAPES}
    shell = Tilt("core-shell", 9.0, 2.0, layers=2)
    shapes["core-shell"] = Dot(cells=(10, 10), tilt=shell)
    for number, (name, dot) in enumerate(shapes.items()):
        drawn = [draw(dot, NOISE[dose], (*seed, number, k), frame=k) for k in range(n)]
        found = _measured([tables for tables, _ in drawn])
        for k, (_, truth) in enumerate(drawn):
            group = "core - shell of core-shell" if name == "core-shell" else "core - shell"
            for quantity, pull in _pulls_of(found, truth, k, group).items():
                pulls.setdefault(quantity, []).append(pull)
    return {
        quantity: {"dots": len(v), "mean": float(np.mean(v)), "sd": float(np.std(v))}
        for quantity, v in sorted(pulls.items())
    }


def _measured(drawn: list[dict[str, Table]]) -> dict[str, Table]:
    """Pass drawn columns through the stages that follow the fit."""
    tables = together(drawn)
    records = tuple(
        FrameRecord(k, "", k, (640, 640), "uint16", Calibration(PIXEL_NM, PIXEL_NM, "file", 0.0))
        for k in range(len(drawn))
    )
    backend = Backend.choose("cpu")
    batch = Batch(np.zeros((len(drawn), 0, 0), np.float32), records, backend, tables=tables)
    batch = CellsStage()(Octahedra()(batch))
    return Layers()(batch.tables) | {"cells": batch.tables["cells"]}


def _pulls_of(
    found: dict[str, Table], truth: dict[str, Table], k: int, contrast_name: str
) -> dict[str, float]:
    sites, lattice, crystals = truth["truth_sites"], truth["truth_crystals"], found["crystals"]
    tilt, layer = sites["staggered_tilt_deg"], sites["layer"]
    true = {
        "staggered_tilt_deg": tilt.mean(),
        "core_minus_shell_deg": tilt[layer >= 2].mean() - tilt[layer == 0].mean(),
        "a_nm": lattice["a_nm"][0],
        "b_nm": lattice["b_nm"][0],
    }
    named = {"core_minus_shell_deg": contrast_name}
    pulls = {
        named.get(name, name): (crystals[name][k] - value) / crystals[f"se_{name}"][k]
        for name, value in true.items()
    }
    rows = found["layers"]
    own = (rows["frame"] == k) & (rows["quantity"] == "staggered_tilt_deg")
    for row in np.flatnonzero(own):
        number = rows["layer"][row]
        pull = (rows["mean"][row] - tilt[layer == number].mean()) / rows["se"][row]
        pulls[f"layer {number} staggered_tilt_deg"] = pull
    for name in ("a_nm", "b_nm"):
        own = (rows["frame"] == k) & (rows["quantity"] == name) & (rows["layer"] == 0)
        pulls[f"layer 0 {name}"] = (rows["mean"][own][0] - true[name]) / rows["se"][own][0]
    return pulls


if __name__ == "__main__":
    command_line("columns_statistics", study)
