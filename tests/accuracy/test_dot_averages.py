"""Bounds on errors of averages over dots; ``--scale 1`` runs the whole study and keeps it."""

import numpy as np
import pytest

from accuracy import study_dot_averages
from accuracy.record import write

pytestmark = pytest.mark.accuracy


@pytest.mark.timeout(7200)
def test_errors_of_averages_are_true(study_scale):
    if study_scale < 1:
        # eight dots of one dose, seven averages of each, some of them correlated: the spread of
        # all is then known to about 0.12
        pulls = study_dot_averages.pulls("p05", 8)
        assert len(pulls) >= 40
        assert 0.5 < np.sqrt((pulls**2).mean()) < 1.5
        return
    result = study_dot_averages.study(study_scale)
    write("dot_averages", result)
    wrong = {}
    for dose, cell in result["cells"].items():
        for quantity in study_dot_averages.QUANTITIES:
            figures = cell[quantity]
            if not 0.93 <= figures["sd"] <= 1.07:
                wrong[dose, quantity] = figures
    assert not wrong
