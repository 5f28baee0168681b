"""Denoising leaves answers as they are; ``--scale 1`` runs the whole study and keeps it."""

import pytest

from accuracy import study_denoising
from accuracy.record import write

pytestmark = pytest.mark.accuracy


@pytest.mark.timeout(3600)
def test_no_denoiser_shrinks_tilts_or_fills_what_is_empty(study_scale):
    if study_scale >= 1:
        methods = study_denoising.METHODS
        result = study_denoising.study(study_scale)
        write("denoising", result)
    else:
        methods = ("none", "pretrained")
        result = study_denoising.study(study_scale, methods=methods, doses=(200,))
    cells = result["doses"]["200"]
    plain = cells["none"]
    wrong = {}
    for method in methods[1:]:
        cell = cells[method]
        # the same counts are fitted: what differs is where a few fits began, which weighs more
        # where there are few
        apart = 0.03 if study_scale >= 1 else 0.12
        for name in ("slope_of_dot_means", "slope_of_sites", "variance_over_expected"):
            if abs(cell[name] - plain[name]) > apart:
                wrong[method, name] = cell[name], plain[name]
        if cell["recall"] < plain["recall"] - 0.01:
            wrong[method, "recall"] = cell["recall"], plain["recall"]
    for method, rare in result["rare_at_200"].items():
        if rare["vacancies_kept"] < 1:
            wrong[method, "vacancies kept"] = rare["vacancies_kept"]
    assert not wrong
