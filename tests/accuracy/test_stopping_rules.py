"""Bounds on the stopping study; ``--scale 1`` runs the whole and keeps it."""

import pytest
from scipy import stats

from accuracy import study_stopping
from accuracy.record import write

pytestmark = pytest.mark.accuracy

LEAST = 0.935


def test_sessions_that_stop_hold_the_truth(study_scale):
    result = study_stopping.study(study_scale)
    if study_scale >= 1:
        write("stopping", result)
    n = result["sessions"]
    least = LEAST if study_scale >= 1 else stats.binom.ppf(5e-4, n, LEAST) / n
    wrong = {
        (name, rule): cell[rule]
        for name, cell in result["cells"].items()
        if name in study_stopping.SETTINGS
        for rule in ("precision", "plain_interval_at_the_stop", "sequence")
        if cell[rule] < least
    }
    assert not wrong
    assert all(c["did_not_stop"] == 0 for c in result["cells"].values())
    # what names of areas are for: without them the interval is too narrow
    unnamed = result["cells"]["areas drift by 1 %, not named"]
    if study_scale >= 1:
        assert unnamed["plain_interval_at_the_stop"] < 0.9
