"""Core against shell, and variation between sites, with errors that neighbours share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats

from stempede.columns.contrast import contrast
from stempede.columns.correlation import correlation_length, correlogram, inhomogeneity


def grid(n_a, n_b):
    j, i = np.indices((n_b, n_a))
    ij = np.column_stack([i.ravel(), j.ravel()]).astype(float)
    layer = np.minimum(
        np.minimum(ij[:, 0], n_a - 1 - ij[:, 0]), np.minimum(ij[:, 1], n_b - 1 - ij[:, 1])
    )
    return ij, layer >= 2, layer == 0


def shared(ij, se=1.5, neighbour=0.25):
    """Errors of staggered tilts: neighbours share a column."""
    apart = np.abs(ij[:, None] - ij[None]).sum(axis=2)
    return se**2 * np.where(apart == 0, 1.0, np.where(apart == 1, neighbour, 0.0))


def test_independent_errors_give_the_difference_of_means():
    ij, core, shell = grid(9, 8)
    value = np.random.default_rng(1).normal(0, 1.5, len(ij))
    found = contrast(value, shared(ij, neighbour=0.0), core, shell)
    assert found.difference == pytest.approx(value[core].mean() - value[shell].mean())
    se = 1.5 * np.sqrt(1 / core.sum() + 1 / shell.sum())
    assert found.spread == 0
    assert found.se == pytest.approx(se)
    # without a between-site variance the bootstrap is close to the normal law
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(found.difference) / se), abs=0.05)


def test_shared_columns_give_the_textbook_generalised_least_squares():
    ij, core, shell = grid(9, 8)
    c = shared(ij)
    value = linalg.cholesky(c, lower=True) @ np.random.default_rng(2).standard_normal(len(ij))
    value[core] += 2.0
    found = contrast(value, c, core, shell)
    used = core | shell
    x = np.column_stack([core, shell])[used].astype(float)
    inverse = np.linalg.inv(c[np.ix_(used, used)])
    covariance = np.linalg.inv(x.T @ inverse @ x)
    mean = covariance @ x.T @ inverse @ value[used]
    assert found.spread == 0
    assert found.difference == pytest.approx(mean[0] - mean[1])
    assert found.se == pytest.approx(np.sqrt([1, -1] @ covariance @ [1, -1]))


@settings(max_examples=10)
@given(st.floats(-20, 20), st.integers(0, 1000))
def test_a_common_tilt_changes_nothing_and_swapped_groups_only_the_sign(shift, seed):
    ij, core, shell = grid(7, 6)
    value = np.random.default_rng(seed).normal(0, 2, len(ij))
    found = contrast(value, shared(ij), core, shell, draws=99)
    moved = contrast(value + shift, shared(ij), core, shell, draws=99)
    swapped = contrast(value, shared(ij), shell, core, draws=99)
    assert moved.difference == pytest.approx(found.difference, abs=1e-9)
    assert (moved.se, moved.p) == (pytest.approx(found.se), found.p)
    assert swapped.difference == pytest.approx(-found.difference, abs=1e-9)


def test_variation_between_sites_is_found_and_widens_the_error():
    ij, core, shell = grid(16, 15)
    c = shared(ij, se=0.3)
    rng = np.random.default_rng(3)
    value = rng.multivariate_normal(np.zeros(len(ij)), c) + rng.normal(0, 1.2, len(ij))
    found = contrast(value, c, core, shell)
    assert found.spread == pytest.approx(1.2, rel=0.15)
    assert found.se > 3 * contrast(0.2 * value, c, core, shell).se
    assert inhomogeneity(value, c) == pytest.approx(1.2, rel=0.15)


def test_uniform_dots_are_rejected_as_often_as_promised():
    ij, core, shell = grid(8, 8)
    c = shared(ij)
    root = linalg.cholesky(c, lower=True)
    rng = np.random.default_rng(4)
    values = rng.standard_normal((400, len(ij))) @ root.T
    p = np.array(
        [contrast(v, c, core, shell, draws=199, seed=(k,)).p for k, v in enumerate(values)]
    )
    low, high = stats.binom.ppf([1e-3, 1 - 1e-3], 400, 0.05)
    assert low <= (p < 0.05).sum() <= high
    # what the covariance is for: sites taken as independent reject far more
    naive = stats.ttest_ind(values[:, core], values[:, shell], axis=1).pvalue
    assert (naive < 0.05).sum() > high


def test_too_few_sites_have_no_contrast_and_missing_ones_are_left_out():
    ij, core, shell = grid(6, 5)
    c = shared(ij)
    value = np.random.default_rng(5).normal(0, 1, len(ij))
    only = core.copy()
    only[np.flatnonzero(core)[1:]] = False
    assert np.isnan(contrast(value, c, only, shell).p)
    holes = value.copy()
    holes[[0, 3]] = np.nan
    keep = np.isfinite(holes)
    alone = contrast(holes[keep], c[np.ix_(keep, keep)], core[keep], shell[keep])
    assert contrast(holes, c, core, shell) == alone


def test_errors_alone_make_no_correlation():
    ij, _, _ = grid(12, 11)
    c = shared(ij)
    root = linalg.cholesky(c, lower=True)
    rng = np.random.default_rng(6)
    values = rng.standard_normal((60, len(ij))) @ root.T
    raw = np.mean([correlogram(v, 0 * c, ij)[1] for v in values], axis=0)
    left = np.mean([correlogram(v, c, ij)[1] for v in values], axis=0)
    assert raw[1] == pytest.approx(0.25 * 1.5**2 * 0.5, rel=0.25)  # rings hold diagonals too
    assert np.abs(left).max() < 0.1
    lengths = [correlation_length(v, c, ij) for v in values[:20]]
    assert np.isfinite(lengths).sum() <= 4


@pytest.mark.parametrize(("length", "low", "high"), [(4.0, 2.0, 8.0), (0.1, 0.5, 0.7)])
def test_the_length_of_a_field_is_found(length, low, high):
    ij, _, _ = grid(14, 13)
    apart = np.hypot(*(ij[:, None] - ij[None]).transpose(2, 0, 1))
    c = shared(ij, se=0.6)
    field = 4.0 * np.exp(-apart / length)
    rng = np.random.default_rng(7)
    values = rng.multivariate_normal(np.full(len(ij), 5.0), c + field, 9, method="cholesky")
    assert low <= np.median([correlation_length(v, c, ij) for v in values]) <= high


def test_a_correlogram_is_that_of_the_field():
    ij, _, _ = grid(20, 19)
    apart = np.hypot(*(ij[:, None] - ij[None]).transpose(2, 0, 1))
    c = shared(ij)
    rng = np.random.default_rng(8)
    field = 3.0 * np.exp(-apart / 1.5)
    values = rng.multivariate_normal(np.zeros(len(ij)), c + field, 30, method="cholesky")
    found = np.mean([correlogram(v, c, ij)[1] for v in values], axis=0)
    assert found[0] == pytest.approx(3.0, rel=0.12)
    assert found[3] == pytest.approx(3.0 * np.exp(-2), abs=0.15)
