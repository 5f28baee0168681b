"""Bounds on what registration of a series finds and on what its sum is worth."""

import pytest

from accuracy import study_series
from accuracy.record import write

pytestmark = pytest.mark.accuracy

MOST_SHIFT_ERROR_A = 0.1
MOST_TILT_RATIO = 1.1
"""Tilt error in a sum of scans over that in one scan of their dose."""

KINDS = ("dot", "lattice fills the frame", "dot of 5 cells", "stage jumps by 40 px")


@pytest.mark.timeout(7200)
def test_series_are_registered_and_their_sums_are_worth_one_scan(study_scale):
    result = study_series.study(study_scale)
    if study_scale >= 1:
        write("series", result)
    for kind in KINDS:
        assert result[kind]["jumps"] == 0, kind
        assert result[kind]["shift_rms_A"] < MOST_SHIFT_ERROR_A, kind
        assert result[kind]["dropped_scans"] == 0, kind
    slack = 0.0 if study_scale >= 1 else 0.05
    assert result["dot"]["tilt_ratio"] < MOST_TILT_RATIO + slack
    assert result["dot"]["column_ratio"] < MOST_TILT_RATIO + slack
    assert 0.7 < result["dot"]["pull_sd"] < 1.1
    assert result["ways to sum"]["whole pixels"]["scatter_ratio"] < 1.05 + slack
