"""Bounds on the interval and edge-bias studies; ``--scale 1`` runs the whole and keeps it."""

import pytest
from scipy import stats

from accuracy import study_coverage, study_edge_bias
from accuracy.record import write

pytestmark = pytest.mark.accuracy

HEADLINE = ("mean", "relative_sd", "median", "q90", "fraction", "geometric_mean")


def bounds(low, high, n):
    """Counts that a true coverage within low ... high misses one time in a thousand."""
    return stats.binom.ppf(5e-4, n, low) / n, stats.binom.ppf(1 - 5e-4, n, high) / n


@pytest.mark.timeout(1800)
def test_intervals_hold_the_truth_as_often_as_they_say(study_scale):
    result = study_coverage.study(study_scale)
    if study_scale >= 1:
        write("coverage", result)
    n = result["sessions"]
    low, high = (0.93, 0.97) if study_scale >= 1 else bounds(0.93, 0.97, n)
    loose_low, loose_high = bounds(0.90, 0.985, n)
    wrong = {}
    for name, cell in result["cells"].items():
        for quantity in HEADLINE:
            found = cell["coverage"].get(quantity)
            least, most = (low, high) if cell["headline"] else (loose_low, loose_high)
            if found is not None and not least <= found <= most:
                wrong[name, quantity] = found
    assert not wrong
    # what the clustering is for: the naive interval of this setting covers half
    assert result["cells"]["60 frames of 400"]["coverage"]["naive mean"] < 0.75


def test_weights_remove_the_edge_bias(study_scale):
    result = study_edge_bias.study(study_scale)
    if study_scale >= 1:
        write("edge_bias", result)
    for name, cell in result["cells"].items():
        floor = 0.003 if "caption" in name else 0.001
        assert abs(cell["weighted_bias"]) < floor + 4 * cell["standard_error"], name
    large = result["cells"]["discs of 200 px"]
    assert large["raw_bias"] < -0.03
    assert abs(large["weighted_bias"]) < 0.25 * abs(large["raw_bias"])
