"""Bounds on errors of averages over dots; ``--scale 1`` runs the whole study and keeps it."""

import pytest

from accuracy import study_dot_averages
from accuracy.record import write

pytestmark = pytest.mark.accuracy


@pytest.mark.timeout(7200)
def test_errors_of_averages_are_true(study_scale):
    # one block of dots per dose by default
    result = study_dot_averages.study(study_scale if study_scale >= 1 else 0.6 * study_scale)
    if study_scale >= 1:
        write("dot_averages", result)
    wrong = {}
    for dose, cell in result["cells"].items():
        for quantity in study_dot_averages.QUANTITIES:
            figures = cell[quantity]
            # the spread of a spread from n numbers is its share 1 / sqrt(2 n)
            slack = 0.0 if study_scale >= 1 else 4 * figures["se_sd"]
            if not 0.93 - slack <= figures["sd"] <= 1.07 + slack:
                wrong[dose, quantity] = figures
    assert not wrong
