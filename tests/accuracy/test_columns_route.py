"""Bounds on tilts through the whole route; ``--scale 1`` runs the whole study and keeps it."""

import numpy as np
import pytest

from accuracy import study_columns_route
from accuracy.record import write

pytestmark = pytest.mark.accuracy


@pytest.mark.timeout(3600)
def test_tilts_have_true_errors_and_no_pull(study_scale):
    result = study_columns_route.study(study_scale)
    whole = study_scale >= 1
    if whole:
        write("columns_route", result)
    wrong = {}
    for dose, cell in result["cells"].items():
        uniform = cell["uniform"]
        slack = 0.0 if whole else 4.5 * np.sqrt(0.05 * 0.95 / uniform["sites"])
        if not 0.93 - slack <= uniform["covered_95"] <= 0.97 + slack:
            wrong[dose, "coverage"] = uniform["covered_95"]
        if uniform["with_tilt"] < 0.97 - (0.0 if whole else 0.02):
            wrong[dose, "with a tilt"] = uniform["with_tilt"]
        for name in ("slope_of_dot_means", "slope_of_sites"):
            slope = cell.get("random", {}).get(name, 1.0)
            slack = 0.0 if whole else 4 * cell.get("random", {}).get(f"se_{name}", 0.0)
            if abs(slope - 1) > 0.03 + slack:
                wrong[dose, name] = slope
    assert not wrong
