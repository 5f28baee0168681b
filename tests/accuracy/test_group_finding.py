"""Bounds on what grouping finds; ``--scale 1`` runs the whole study and keeps it."""

import pytest

from accuracy import study_groups
from accuracy.record import write

pytestmark = pytest.mark.accuracy


def most_misses(of, draws, allowed):
    """As many misses as the whole study allows, never fewer than one in a part of it."""
    return max(allowed * draws // of, 1)


@pytest.mark.timeout(3600)
def test_known_groups_are_found_and_one_is_left_whole(study_scale):
    if study_scale >= 1:
        result = study_groups.study(study_scale)
        write("groups", result)
        many, one, draws = result["groups"]["default"], result["one"], result["draws"]
        assert result["images"]["four"]["ari"] > 0.9
        assert result["images"]["one"]["k"] == 1
    else:
        draws = max(round(study_groups.DRAWS * study_scale), 2)
        found = [study_groups.one_draw(study_groups.several, 0, k + 1) for k in range(draws)]
        many = study_groups.summary(found, "default")
        broad = [study_groups.one_draw(study_groups.broad, 1, k + 1) for k in range(draws)]
        one = {"default": sum(d["default"]["k"] == 1 for d in broad)}
    assert many["separable"] >= 0.8 * draws
    assert many["separable"] - many["k_right"] <= most_misses(50, draws, 5)
    assert many["separable"] - many["ari_above_0.95"] <= most_misses(50, draws, 5)
    assert draws - one["default"] <= most_misses(50, draws, 3)
