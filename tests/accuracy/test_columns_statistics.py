"""Bounds on the statistics of columns; ``--scale 1`` runs the whole and keeps it."""

import numpy as np
import pytest
from scipy import stats

from accuracy import study_columns_statistics
from accuracy.record import write

pytestmark = pytest.mark.accuracy


def reached(rate, low, high, n):
    """Whether a rate seen in n draws is one that low ... high gives in 999 cases of 1,000."""
    least = stats.binom.ppf(5e-4, n, low) / n
    return least <= rate <= stats.binom.ppf(1 - 5e-4, n, high) / n


@pytest.mark.timeout(3600)
def test_averages_and_contrasts_are_as_sure_as_they_say(study_scale):
    result = study_columns_statistics.study(study_scale)
    whole = study_scale >= 1
    if whole:
        write("columns_statistics", result)
    cells = result["uniform"]
    dots = sum(c["dots"] for c in cells.values())
    rejected = sum(c["rejected_at_5_percent"] * c["dots"] for c in cells.values()) / dots
    assert 0.03 <= rejected <= 0.07 if whole else reached(rejected, 0.03, 0.07, dots)
    for name, cell in cells.items():
        assert reached(cell["rejected_at_5_percent"], 0.03, 0.07, cell["dots"]), name
    power, n = result["contrast"]["rejected_at_1_percent"], result["contrast"]["dots"]
    assert power >= 0.85 if whole else reached(power, 0.85, 1.0, n)
    wrong = {}
    for dose, quantities in result["pulls"].items():
        for name, pull in quantities.items():
            # spread of an estimated spread, and of a mean
            slack = 0.0 if whole else 4 / np.sqrt(2 * pull["dots"])
            if not 0.93 - slack <= pull["sd"] <= 1.07 + slack:
                wrong[dose, name] = pull
            if abs(pull["mean"]) > 4.5 / np.sqrt(pull["dots"]):
                wrong[dose, name, "mean"] = pull
    assert not wrong
