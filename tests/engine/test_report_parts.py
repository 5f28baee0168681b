"""Parts of the report: escaping, numbers, bins, fitted laws, choice of frames, ellipses."""

import math
from html import unescape

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stempede.particles.distributions import fit_sizes
from stempede.report.ellipses import Outlines, draw_ellipses
from stempede.report.figures import bin_edges
from stempede.report.html import Html, measured, number, span, table, tag
from stempede.report.overlays import choose, fit, frame_scores, grey
from stempede.report.sizes import Fit


@given(st.text(), st.text())
def test_text_and_attributes_are_escaped(text, attribute):
    made = tag("p", text, title=attribute)
    inside = made.removeprefix("<p title=").removesuffix("</p>")
    quoted, _, body = inside[1:].partition('">')
    assert "<" not in body
    assert '"' not in quoted
    assert unescape(body) == unescape(text)


def test_only_html_passes_as_it_is():
    assert tag("p", Html("<b>a</b>"), "<b>") == "<p><b>a</b>&lt;b&gt;</p>"
    assert tag("img", alt="a", src=None) == '<img alt="a">'


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (12.3456, "12.3"),
        (1234567.0, "1,234,567"),
        (0.000012, "1.20e-05"),
        (math.nan, "–"),
        (None, "–"),
        (7, "7"),
    ],
)
def test_numbers_keep_their_digits(value, written):
    assert number(value) == written


def test_value_and_half_width_share_decimals():
    assert measured(12.3456, 0.123) == ("12.35", "0.12")
    assert measured(1234.5, 17.0) == ("1,234", "17")
    assert measured(5.0, math.nan) == ("5.000", "")
    assert measured(math.nan, 1.0) == ("–", "")
    assert span(1.234, 1.567, "nm") == "1.23 to 1.57 nm"
    assert span(math.nan, 1.0) == "–"


def test_table_sorts_by_value_not_by_text():
    made = table(("a", "b"), [("x", 1234567.0), ("y", None)])
    assert 'data-sort="1234567.0"' in made
    assert "1,234,567" in made
    assert "–" in made


@settings(max_examples=60)
@given(
    st.lists(st.floats(0.1, 1e4), min_size=1, max_size=60),
    st.booleans(),
)
def test_bins_hold_all_but_far_outliers(sizes, outlier):
    values = np.array(sizes)
    edges = bin_edges(values)
    assert 7 <= len(edges) <= 61
    assert (np.diff(edges) > 0).all()
    assert edges[0] <= values.min()
    q1, q3 = np.quantile(values, (0.25, 0.75))
    beyond = values > edges[-1] * (1 + 1e-12)
    assert (values[beyond] > q3 + 5.9 * (q3 - q1)).all()


def test_densities_are_those_of_the_fitted_laws():
    rng = np.random.default_rng(3)
    sizes = np.concatenate([rng.lognormal(2, 0.1, 300), rng.lognormal(2.6, 0.15, 200)])
    x = np.linspace(1e-3, 60, 40_001)
    for law in fit_sizes(sizes):
        parts = tuple(zip(law.shares, law.locations, law.scales, strict=True))
        density = Fit(law.law, parts, law.aic, 0.0).pdf(x)
        below = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(x))])
        np.testing.assert_allclose(below, law.cdf(x) - law.cdf(x[:1]), atol=1e-4)


def test_scores_follow_share_and_contrast():
    frame = np.array([0, 0, 0, 2, 2, 3, 5])
    inner = np.array([1, 1, 0, 1, 1, 1, 1], bool)
    accepted = np.array([1, 0, 0, 1, 1, 0, 1], bool)
    contrast = np.array([-4.0, 9, 9, 4, 8, 9, np.nan])
    scores = frame_scores(np.array([0, 1, 2, 3, 5]), frame, inner, accepted, contrast)
    np.testing.assert_allclose(scores, [0.5 * 4, 0, 6, 0, 1])


@pytest.mark.parametrize(("n", "shown"), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (11, 3), (40, 6)])
def test_choice_spans_best_to_worst(n, shown):
    frames, scores = np.arange(n) + 7, np.random.default_rng(n).random(n)
    chosen = choose(frames, scores)
    assert len({c.frame for c in chosen}) == len(chosen) == shown
    if n > 1:
        assert chosen[0].score == scores.max()
        assert chosen[-1].score == scores.min()
        assert [c.rank for c in chosen][:: shown - 1] == ["best", "worst"]


def test_ellipses_lie_where_their_particles_are():
    image = np.full((81, 133), 100.0)
    one = Outlines(*(np.array([v]) for v in (30.0, 90.0, 50.0, 20.0, 0.0)), np.array([True]))
    rgb = draw_ellipses(image, one).astype(int)
    y, x = np.nonzero(np.ptp(rgb, axis=2) > 40)
    assert (x.min(), x.max()) == pytest.approx((65, 115), abs=3)
    assert (y.min(), y.max()) == pytest.approx((20, 40), abs=3)


def test_turned_ellipse_goes_from_x_towards_y():
    image = np.full((101, 121), 100.0)
    one = Outlines(*(np.array([v]) for v in (50.0, 60.0, 60.0, 6.0, 30.0)), np.array([True]))
    y, x = np.nonzero(np.ptp(draw_ellipses(image, one).astype(int), axis=2) > 40)
    slope = np.polyfit(x, y, 1)[0]
    assert math.degrees(math.atan(slope)) == pytest.approx(30, abs=4)


def test_large_frames_are_shrunk_by_means():
    image = np.zeros((600, 2400), np.uint16)
    image[:, ::2] = 200
    small, scale = fit(image, 1100)
    assert small.shape == (275, 1100)
    assert scale == pytest.approx(1100 / 2400)
    assert abs(small.mean() - 100) < 1


def test_grey_survives_nan_and_flat():
    flat = grey(np.full((9, 11), 5.0))
    assert flat.dtype == np.uint8
    assert grey(np.full((9, 11), np.nan)).max() == 0
