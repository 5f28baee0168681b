"""Bounds on the shipped shape network: right symmetries, true errors, and turning does not show."""

import numpy as np
import pytest

pytest.importorskip("torch")

from accuracy import study_shape_network
from accuracy.record import write

pytestmark = pytest.mark.accuracy


@pytest.fixture(scope="module")
def result(study_scale):
    found = study_shape_network.study(study_scale)
    if study_scale >= 1:
        write("shape_network", found)
    return found


def test_symmetries_are_right_and_sureness_is_earned(result):
    # the crops of a block of 128 share their blur and grain: as if there were a third of them
    slack = 3 * np.sqrt(3 * 0.025 / result["crops"])
    assert result["d_right"] > 0.97 - slack
    assert result["d_right_where_sure"] > 0.99 - slack
    assert result["sure"] > 0.9


def test_outlines_overlap_before_any_refinement(result):
    assert result["outline_jaccard_mean"] > 0.94
    assert result["outline_jaccard_p_above_0.6"] > 0.95
    assert result["outline_jaccard_p_below_0.6"] > 0.86


def test_stated_errors_are_true(result):
    for name in ("log_p", "log_l"):
        assert 0.66 < result["within_one_error"][name] < 0.8, name
        assert 0.93 < result["within_two_errors"][name] < 0.99, name
    # in groups of like stated error, where there are enough to tell
    for row in result["by_error"]:
        if row["of"] != "d" and row["n"] > 500:
            assert 0.5 < row["found"] / row["stated"] < 2, row


def test_turned_crops_keep_their_answers_within_the_stated_error(result):
    turned = result["turned"]
    assert turned["same_d"] > 0.985
    assert turned["within_error_log_p"] > 0.94
    assert turned["within_error_log_l"] > 0.94
    assert turned["within_error_d"] > 0.98


def test_errors_grow_as_particles_shrink(result):
    rows = result["by_size"]
    assert rows[-1]["median_relative_error_p"] < rows[0]["median_relative_error_p"]
    assert rows[-1]["d_right"] > 0.97
