"""Roots of counts: unit variance, and a way back without bias."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stempede_kernels.anscombe import mean_root, restore, stabilise


@pytest.mark.parametrize(("mean", "read"), [(8.0, 0.0), (60.0, 0.0), (6.0, 1.5), (2.0, 4.0)])
def test_roots_have_about_unit_variance(mean, read):
    rng = np.random.default_rng(0)
    counts = rng.poisson(mean, 200_000) + read * rng.standard_normal(200_000)
    assert stabilise(counts, read).var() == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize("mean", [0.0, 0.02, 0.2, 1.0, 3.0, 20.0, 400.0])
def test_mean_root_of_poisson_counts_comes_back_as_their_mean(mean):
    k = np.arange(int(mean + 12 * mean**0.5 + 20))
    log_factorial = np.concatenate([[0], np.cumsum(np.log(k[1:]))])
    share = np.exp(k * np.log(mean) - mean - log_factorial) if mean else (k == 0).astype(float)
    assert restore((share * stabilise(k)).sum()) == pytest.approx(mean, rel=0.025, abs=1e-9)


@given(mean=st.floats(0, 1e4), read=st.floats(0, 4))
@settings(max_examples=60)
def test_mean_root_is_what_restore_takes_back(mean, read):
    root = mean_root(np.array([mean, 1e4]), read)
    np.testing.assert_allclose(restore(root, read), [mean, 1e4], rtol=2e-4, atol=2e-3)


def test_dark_values_below_zero_stay_numbers():
    assert stabilise(np.array([-5.0, -0.1]), 0.2)[0] == 0
    assert np.isfinite(restore(stabilise(np.array([-5.0, 0.0, 2.0]), 0.2), 0.2)).all()
