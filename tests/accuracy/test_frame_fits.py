"""Bounds on fits of whole frames: errors that are true, and few columns lost."""

import pytest

from accuracy import study_frame_fits
from accuracy.record import write

pytestmark = pytest.mark.accuracy

FAINT = ("200 e/A2", "300 e/A2, pulse heights")
"""Ten electrons in a column: the likelihood is no paraboloid."""


@pytest.mark.timeout(7200)
def test_errors_of_fitted_columns_are_true(study_scale):
    result = study_frame_fits.study(study_scale)
    if study_scale >= 1:
        write("frame_fits", result)
    # the spread of a spread from n numbers is its share 1 / sqrt(2 n)
    slack = 0.0 if study_scale >= 1 else 0.12
    for case, species in result.items():
        widest = 0.15 if case in FAINT else 0.06
        for name, figures in species.items():
            where = f"{case}, {name}"
            assert abs(figures["pull_sd"] - 1) < widest + slack, where
            assert abs(figures["pull_mean"]) < 0.1 + slack, where
            assert figures["lost"] < 0.01, where
            assert figures["seen"] + figures["inferred"] > 0.98, where
            assert figures["rms_over_error"] < 1 + widest + slack, where
