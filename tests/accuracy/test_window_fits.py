"""Limits of the study of fits in windows; ``--scale 1`` runs the whole and keeps it."""

import numpy as np
import pytest

from accuracy import study_window_fits
from accuracy.record import write

pytestmark = pytest.mark.accuracy

SCATTER = {
    "free 5 60": 1.05,
    "free 5 300": 1.05,
    "free 5 3000": 1.05,
    "free 7 60": 1.12,
    "free 7 300": 1.05,
    "free 7 3000": 1.05,
    **{name: 1.15 for name in study_window_fits.SETTINGS if name.startswith("shared")},
}
LOST = {"shared offset held 7": 0.12, "shared 15": 0.01}


@pytest.mark.timeout(1800)
def test_window_fits_reach_the_bound_and_know_their_errors(study_scale):
    result = study_window_fits.study(study_scale)
    if study_scale >= 1:
        write("window_fits", result)
    n = 2 * result["columns per cell"]
    # three standard errors of a standard deviation from so many errors in y and x
    slack = 3.0 / np.sqrt(2 * n) if study_scale < 1 else 0.0
    wrong = {}
    for name, cell in result["cells"].items():
        checks = {
            "scatter": cell["scatter_over_bound"] <= SCATTER[name] + slack,
            "bias": cell["bias_px"] <= max(cell["bias_allowed_px"], bias_noise(name, n)),
            "pull": 0.95 - slack <= cell["pull_sd"] <= 1.05 + slack,
            "lost": cell["lost"] <= LOST.get(name, 0.005) + slack,
            "phase": cell["phase_p"] > 1e-4,
        }
        failed = [check for check, fine in checks.items() if not fine]
        if failed:
            wrong[name] = failed, cell
    assert not wrong


def bias_noise(name, n):
    """Four standard errors of a mean, for a width of 2.6 px."""
    return 4 * 2.6 / np.sqrt(float(name.split()[-1])) / np.sqrt(n / 2)
