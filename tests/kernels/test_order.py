"""Order: medians and quantiles by selection are those of numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stempede_kernels.order import median, quantiles, row_medians


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 90), ties=st.booleans())
def test_quantiles_are_those_of_numpy(seed, n, ties):
    values = np.random.default_rng(seed).normal(0, 3, n).astype(np.float32)
    values = values.round() if ties else values
    shares = (0.0, 0.01, 0.5, 0.84, 1.0)
    expected = np.quantile(values.astype(np.float64), shares)
    np.testing.assert_allclose(quantiles(values, shares), expected, rtol=1e-12, atol=1e-12)
    assert median(values) == pytest.approx(np.median(values.astype(np.float64)), abs=1e-12)


def test_medians_of_rows():
    values = np.random.default_rng(1).normal(0, 3, (7, 12)).astype(np.float32)
    expected = np.median(values.astype(np.float64), axis=1)
    np.testing.assert_allclose(row_medians(values), expected, rtol=1e-12)
    np.testing.assert_array_equal(row_medians(values[:, :5]), np.median(values[:, :5], axis=1))
